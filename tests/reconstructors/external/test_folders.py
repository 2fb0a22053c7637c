"""Folders of results that are there already, and commands that write them."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import outside
import pictures
import pytest
import rows
import torch
from PIL import Image

from afterimage.core import images, layout
from afterimage.core.errors import ImageError, ParamsError, WeightsError
from afterimage.datasets import sources
from afterimage.observations.frames import Frames
from afterimage.observations.frames.store import Stored
from afterimage.reconstructors.external import folder


def written(project: Path, files: dict[str, Any]) -> dict[str, Any]:
    """A folder of images by name; returns what a row says of it."""
    for name, pixels in files.items():
        path = project / "results" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return {"path": "results", "sha256": folder.digest(project / "results")}


@pytest.mark.parametrize("observes", ["holes", "features"])
def test_images_are_found_by_key(tmp_path: Path, observes: str) -> None:
    row = written(tmp_path, {"a.png": outside.pixels(7), "b_1.png": outside.pixels(8)})
    given = outside.observation(observes)
    found = outside.load(tmp_path, "folder", observes, **row)
    answer = found(given).images
    wanted = images.to_tensor(np.stack([outside.pixels(7), outside.pixels(8)]))
    if observes == "holes":
        wanted = torch.where(given.masks > 0.5, wanted, given.images)
    assert torch.equal(answer, wanted)
    assert found.stored_only


@pytest.mark.parametrize("name", ["room 1/a.b", "é/_-x", "plain"])
def test_a_file_s_own_name_is_known_by_its_key(tmp_path: Path, name: str) -> None:
    assert folder.key_of(name) == sources.key(name)
    row = written(tmp_path, {f"{name}.png": outside.pixels(0)})
    assert sources.key(name) in outside.load(tmp_path, "folder", "holes", **row).files[""]


def test_what_is_wrong_with_a_folder_is_named(tmp_path: Path) -> None:
    given = outside.observation("holes")
    row = written(tmp_path, {"a.png": outside.pixels(7)})
    with pytest.raises(ImageError, match=r"results: has no b_1\.png"):
        outside.load(tmp_path, "folder", "holes", **row)(given)
    row = written(tmp_path, {"b_1.png": outside.pixels(8, 30)})
    with pytest.raises(ImageError, match=r"b_1\.png: is 30 x 30 px, and its original 32 x 32 px"):
        outside.load(tmp_path, "folder", "holes", **row)(given)
    (tmp_path / "results/b_1.png").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="results: the sha256 of its images is [0-9a-f]{64}, expected "):
        outside.load(tmp_path, "folder", "holes", **row)
    row["sha256"] = folder.digest(tmp_path / "results")
    with pytest.raises(ImageError, match=r"b_1\.png: not an image"):
        outside.load(tmp_path, "folder", "holes", **row)(given)
    row = written(tmp_path, {"a.jpg": outside.pixels(7)})
    with pytest.raises(WeightsError, match=r"a\.png: .*a\.jpg is of the same image; expected one file an image"):
        outside.load(tmp_path, "folder", "holes", **row)
    with pytest.raises(WeightsError, match="there is no such folder"):
        outside.load(tmp_path, "folder", "holes", path="gone", sha256="0")


def test_the_level_of_a_frame_is_found_by_the_frame(tmp_path: Path) -> None:
    originals = pictures.shards_of(tmp_path / layout.shards("mine"), {"train": [1], "val": [1], "test": [2]})
    rows.written(rows.observed("frames"), "cctv", originals, tmp_path / layout.observation("cctv"))
    stored = Stored(tmp_path / layout.observation("cctv"), originals, {})
    keys = next(stored.given("mild", 2)).keys
    size = stored.size
    files = {
        f"{level}/{key}.png": np.full((size, size, 3), 100 * place + number, np.uint8)
        for place, level in enumerate(stored.cases())
        for number, key in enumerate(keys)
    }
    row = written(tmp_path, files)
    found = outside.load(tmp_path, "folder", "frames", given=stored.indices, **row)
    for place, level in enumerate(stored.cases()):
        answer = images.to_uint8(found(next(stored.given(level, 2)).observation).images)
        assert answer[:, 0, 0, 0].tolist() == [100 * place, 100 * place + 1]
    with pytest.raises(ImageError, match="there are results of test images only"):
        found(Frames(["0"], (size, size), [np.zeros((size, size, 3), np.uint8)]))


COPY = """
import pathlib, sys
from PIL import Image, ImageOps
images, masks, answers = map(pathlib.Path, sys.argv[1:])
for path in images.iterdir():
    image = Image.open(path)
    if masks.is_dir() and (masks / path.name).exists():
        image.paste((10, 20, 30), mask=Image.open(masks / path.name).convert("L"))
    image.save(answers / path.name)
"""
WORDS = ["{images}", "{masks}", "{answers}"]


def command(tmp_path: Path, observes: str, program: str) -> Any:
    words = [sys.executable, "-c", program, *WORDS]
    return outside.load(tmp_path, "command", observes, command=words, version="1", trust=True)


def test_a_command_reads_and_writes_folders(tmp_path: Path) -> None:
    given = outside.observation("holes")
    answer = images.to_uint8(command(tmp_path, "holes", COPY)(given).images)
    missing = given.masks[:, 0].numpy() > 0.5
    assert np.unique(answer[missing], axis=0).tolist() == [[10, 20, 30]]
    np.testing.assert_array_equal(answer[~missing], images.to_uint8(given.images)[~missing])
    given = outside.observation("frames")
    answer = images.to_uint8(command(tmp_path, "frames", COPY)(given).images)
    np.testing.assert_array_equal(answer[0], given.frames[0])
    assert answer.shape == (2, outside.SIDE, outside.SIDE, 3)


def test_what_is_wrong_with_a_command_is_a_line(tmp_path: Path) -> None:
    given = outside.observation("frames")
    with pytest.raises(WeightsError, match="ended with status 1: ValueError: no$"):
        command(tmp_path, "frames", "raise ValueError('no')")(given)
    with pytest.raises(ImageError, match=r"the command wrote no a\.png"):
        command(tmp_path, "frames", "")(given)
    words = {"version": "1", "trust": True}
    with pytest.raises(WeightsError, match="no-such-program: cannot be run: No such file"):
        outside.load(tmp_path, "command", "frames", command=["no-such-program", *WORDS], **words)(given)
    with pytest.raises(ValueError, match="expected a word with {answers}, the folder that it writes"):
        outside.load(tmp_path, "command", "frames", command=["x", "{images}"], **words)
    with pytest.raises(ParamsError, match="format 'command' takes holes and frames"):
        outside.load(tmp_path, "command", "features", command=["x", *WORDS], **words)
