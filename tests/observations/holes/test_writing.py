"""The fixed masks of validation and test images are stored once, behind a gate."""

import json
from pathlib import Path

import numpy as np
import pytest
import rows
from pictures import encoded, noise, shards_of
from PIL import Image
from rows import observed

from afterimage.core import layout, outputs, shards
from afterimage.core.errors import CheckError, HoleError, ShardError
from afterimage.core.images import encode_png
from afterimage.observations.holes import writing
from afterimage.observations.holes.row import draw
from afterimage.observations.holes.store import HoledImages, StoredHoles


@pytest.fixture
def images(tmp_path) -> Path:
    return shards_of(tmp_path / "shards", {"train": [5], "val": [3], "test": [2, 2]})


def test_fixed_masks_are_stored_beside_their_images(images, tmp_path):
    rows.written(observed("holes", shape="boxes"), "two", images, tmp_path / "once")
    rows.written(observed("holes", shape="boxes"), "two", images, tmp_path / "twice")
    files = sorted(path.name for path in (tmp_path / "once").iterdir())
    tars = ["test-000000.tar", "test-000001.tar", "val-000000.tar"]
    assert files == sorted(["gates.json", "index.json", "test.npy", "val.npy", *tars])
    for name in files:
        assert (tmp_path / "once" / name).read_bytes() == (tmp_path / "twice" / name).read_bytes()
    for split in writing.FIXED:
        stored = StoredHoles(tmp_path / "once", split)
        assert stored.table.keys == shards.Table(images, split).keys
        for key in stored.table.keys:
            np.testing.assert_array_equal(stored[key], draw(observed("holes", shape="boxes"), key, None, 32, 32))
    with pytest.raises(ShardError, match="has no mask of `other`"):
        stored["other"]


def test_what_covers_an_input_is_found_by_its_target(tmp_path):
    folder = tmp_path / "images"
    described, expected = {}, {}
    for split in ("train", "val", "test"):
        path = folder / f"{split}-000000.tar"
        with shards.writer(path) as put:
            for number in range(2):
                key = f"{split}{number}"
                original = np.maximum(np.asarray(noise(32, 32)), 60)
                expected[key] = np.zeros((32, 32), bool)
                expected[key][5 + number : 15, 8:20] = True
                occluded = np.where(expected[key][..., None], np.uint8(0), original)
                put(f"{key}.png", encode_png(original))
                put(f"{key}.input.png", encode_png(occluded))
        described[split] = [shards.describe(path)]
    mine = observed("holes", shape="pairs")
    shards.write_index(folder, {"dataset": "mine", "size": 32}, described)
    with pytest.raises(HoleError, match="its images are no pairs, which holes of the shape `pairs` are found in"):
        rows.written(mine, "two", folder, tmp_path / "holes")
    shards.write_index(folder, {"dataset": "mine", "size": 32, "pairs": True}, described)
    rows.written(mine, "two", folder, tmp_path / "holes")
    for split in ("train", "val", "test"):
        held = HoledImages(folder, split, mine, tmp_path / "holes")
        for number in range(2):
            np.testing.assert_array_equal(held.mask(number, 3, 32, 32), expected[f"{split}{number}"])
    with pytest.raises(HoleError, match="`a` has no input beside it"):
        draw(mine, "a", None, 32, 32)


def test_the_index_says_what_was_drawn(images, tmp_path):
    mine = observed("holes", shape="strokes")
    rows.written(mine, "scribble", images, tmp_path / "holes")
    index = shards.load_index(tmp_path / "holes")
    assert {name: index[name] for name in ("kind", "observation", "dataset", "size", "missing")} == {
        "kind": "holes",
        "observation": "scribble",
        "dataset": "mine",
        "size": 32,
        "missing": "white",
    }
    assert index["row"] == mine.model_dump()
    assert index["images"] == outputs.sha256(images / "index.json")
    assert "file" not in index


def test_the_file_that_masks_come_from_is_in_the_index(images, tmp_path):
    mask = np.zeros((32, 32), bool)
    mask[3:9, 4:20] = True
    path = tmp_path / "mask.png"
    path.write_bytes(encoded(Image.fromarray(mask)))
    rows.written(observed("holes", shape="file", path=str(path)), "two", images, tmp_path / "holes")
    assert shards.load_index(tmp_path / "holes")["file"] == outputs.sha256(path)


def test_a_gate_holds_what_was_stored_against_the_images(images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows.written(observed("holes"), "two", images, tmp_path / "holes")
    (gate,) = json.loads((tmp_path / "holes" / layout.GATES).read_text())["gates"]
    assert (gate["name"], gate["passed"], len(gate["checks"])) == ("holes/two", True, 4)
    assert gate["counts"] == {"splits": {"val": {"samples": 3}, "test": {"samples": 4}}}
    small = encode_png(Image.fromarray(np.eye(8, dtype=bool)))
    monkeypatch.setattr(writing.images, "encode_png", lambda image: small)
    with pytest.raises(CheckError, match=r"holes/two: .* key val_a0000, fault mask: the mask is 8 x 8 px, expected"):
        rows.written(observed("holes"), "two", images, tmp_path / "again")
    assert not (tmp_path / "again").exists()
