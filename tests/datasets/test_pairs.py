"""Pairs of images on their way from a folder through shards to the gate."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pictures
import pytest
from PIL import Image

from afterimage.core import outputs, shards
from afterimage.core.errors import AfterimageError, CheckError, ShardError, SourceError
from afterimage.datasets import sharding, sources
from afterimage.validation import checks

SPLITS = ("train", "val", "test")


def row(folder: Path, **values: Any) -> Any:
    data = {"source": "folder", "path": str(folder), "size": 16, "pairs": pictures.PAIRS, "group": "image", **values}
    return sources.Dataset.kind_of(data).model_validate(data)


def sharded(folder: Path, **values: Any) -> Path:
    mine = row(folder, **values)
    sources.fetch(mine, "mine", folder.parent / "raw")
    sharding.write(mine, "mine", folder.parent / "raw", folder.parent / "shards", jobs=1)
    return folder.parent / "shards"


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def rewrite(path: Path, change: Callable[[list[dict[str, str]]], Any]) -> None:
    """Edit the lines of a table."""
    lines = table(path)
    change(lines)
    outputs.write_csv(path, list(lines[0]), [list(line.values()) for line in lines])


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.fixture
def scenes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Shards of 24 pairs, whole images."""
    monkeypatch.chdir(tmp_path)
    return sharded(pictures.pairs(tmp_path / "in"))


def gate(folder: Path) -> dict[str, Any]:
    result = folder.parent / "result.json"
    checks.check_images("mine", folder, folder.parent / "raw", checks.Allowed(), result)
    return json.loads(result.read_text())


def test_a_sample_is_a_target_with_its_input(scenes: Path) -> None:
    index = shards.load_index(scenes)
    assert index["pairs"] is True
    assert sum(index["splits"][split]["samples"] for split in SPLITS) == 24
    listed = {line["key"]: line for line in table(scenes / "samples.csv")}
    assert len(listed) == 24
    for split in SPLITS:
        targets, inputs = shards.Table(scenes, split), shards.Table(scenes, split, shards.INPUT)
        assert targets.keys == inputs.keys
        for place, key in enumerate(targets.keys):
            assert (listed[key]["image"], listed[key]["input"]) == (key, key.replace("_mean", "_real"))
            for opened, name in ((targets, key), (inputs, listed[key]["input"])):
                original = Image.open(scenes.parent / "in" / f"{name.replace('--', '/')}.png")
                expected = original.crop((4, 0, 44, 40)).resize((16, 16), Image.Resampling.LANCZOS)
                assert (pixels(opened.bytes(place)) == np.asarray(expected)).all()
        assert [data for _, data, _ in shards.read(scenes, split, shards.INPUT)] == [
            inputs.bytes(place) for place in range(len(inputs))
        ]


def test_both_get_the_same_cuts_in_the_same_looks(tmp_path: Path) -> None:
    same = {
        f"{n}_{role}.png": pictures.png(seed=n) for n in range(24) for role in ("real", "mean")
    }  # the same picture twice, so that the same treatment gives the same pixels
    folder = sharded(pictures.folder(tmp_path / "in", same), tile=24, stride=12, augment=2)
    assert any("_a1" in key for key in shards.Table(folder, "train").keys)
    for split in SPLITS:
        both = zip(shards.read(folder, split), shards.read(folder, split, shards.INPUT), strict=True)
        for target, partner in both:
            assert target == partner


def test_original_bytes_of_both_are_kept_where_nothing_changes_them(tmp_path: Path) -> None:
    files = {
        f"{n}_{role}.jpg": pictures.jpeg(16, 16, seed=2 * n + place)
        for n in range(24)
        for place, role in enumerate(("real", "mean"))
    }
    folder = sharded(pictures.folder(tmp_path / "in", files))
    for key, data, extension in shards.read(folder, "test", shards.INPUT):
        assert extension == "jpg"
        assert data == files[f"{key.replace('_mean', '_real')}.jpg"]


def test_an_image_alone_is_its_own_input(tmp_path: Path) -> None:
    folder = pictures.pairs(tmp_path / "in")
    for number in range(12):
        pictures.folder(folder, {f"plain{number}.png": pictures.png(20, 20, seed=100 + number)})
    with pytest.raises(SourceError, match=r"plain\d+.png: neither pattern of `pairs` found"):
        sharded(folder)
    out = sharded(folder, pairs={**pictures.PAIRS, "alone": True})
    result = gate(out)
    said = {check["check"] for check in result["checks"]}
    assert "every image is the input or the target of one other, or alone" in said
    same = {}
    for split in SPLITS:
        inputs = {key: data for key, data, _ in shards.read(out, split, shards.INPUT)}
        same |= {key: data == inputs[key] for key, data, _ in shards.read(out, split)}
    assert {key.startswith("plain") for key, alike in same.items() if alike} == {True}
    assert sum(same.values()) == 12


def test_webdataset_reads_pairs(scenes: Path) -> None:
    import webdataset

    names = [str(scenes / shard["name"]) for shard in shards.load_index(scenes)["splits"]["train"]["shards"]]
    found = list(webdataset.WebDataset(names, shardshuffle=False))
    targets, inputs = shards.Table(scenes, "train"), shards.Table(scenes, "train", shards.INPUT)
    assert [sample["__key__"] for sample in found] == targets.keys
    assert [sample["png"] for sample in found] == [targets.bytes(place) for place in range(len(targets))]
    assert [sample["input.png"] for sample in found] == [inputs.bytes(place) for place in range(len(inputs))]


def test_a_pair_with_one_damaged_image_is_set_aside_whole(tmp_path: Path) -> None:
    damaged = {"cam0/scene04_real.png": pictures.truncated(48, 40)}
    folder = pictures.folder(pictures.pairs(tmp_path / "in"), damaged)
    place = sharded(folder, max_rejected=0.1)
    aside = {line["origin"]: line["reason"] for line in table(place / "rejected.csv")}
    assert aside.keys() == {"cam0/scene04_real.png", "cam0/scene04_mean.png"}
    assert aside["cam0/scene04_real.png"].startswith("damaged image")
    assert aside["cam0/scene04_mean.png"].startswith("its partner cam0/scene04_real.png: damaged image")
    assert len(table(place / "samples.csv")) == 23


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda lines: lines[0].update(width="40"), "_mean has 40 x 40 px and its input cam0--scene00_real 48 x 40 px"),
        (lambda lines: lines[1].update(target=""), "cam0--scene00_mean has no partner"),
        (lambda lines: lines[1].update(target="gone"), "cam0--scene00_mean has no partner"),
        (
            lambda lines: lines[1].update(target="cam0--scene02_mean"),
            "cam0--scene00_real and cam0--scene02_real are both the input of cam0--scene02_mean",
        ),
        (
            lambda lines: lines[0].update(target="gone"),
            "cam0--scene00_real has no partner: cam0--scene00_mean, its target, is not listed",
        ),
    ],
)
def test_pairs_that_a_manifest_gets_wrong(scenes: Path, change: Callable[[Any], Any], expected: str) -> None:
    rewrite(scenes.parent / "raw/manifest.csv", change)
    with pytest.raises(ShardError) as caught:
        sharding.write(row(scenes.parent / "in"), "mine", scenes.parent / "raw", scenes.parent / "again", jobs=1)
    assert expected in str(caught.value)
    assert not (scenes.parent / "again").exists()


def test_good_pairs_pass_the_gate(scenes: Path) -> None:
    result = gate(scenes)
    sentences = {check["check"]: check["observed"] for check in result["checks"]}
    assert sentences["every image is the input or the target of one other"] == "48 of 48"
    assert sentences["every input has the size of its target"] == "24 of 24"
    assert sentences["every sample has the input that the manifest pairs with its image"] == "24 of 24"
    assert sum(split["samples"] for split in result["counts"]["splits"].values()) == 24


def refused(folder: Path) -> str:
    with pytest.raises(AfterimageError) as caught:
        gate(folder)
    assert isinstance(caught.value, CheckError | ShardError)
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda lines: lines[1].update(target=""), "input or the target of one other"),
        (lambda lines: lines[1].update(target="gone"), "input or the target of one other"),
        (lambda lines: lines[1].update(width="47"), '"every input has the size of its target": key cam0--scene00_real'),
        (lambda lines: lines[1].update(group="x"), '"every input has the group of its target": key cam0--scene00_real'),
        (lambda lines: lines[1].update(split="none"), '"every input has the split of its target"'),
    ],
)
def test_the_gate_names_what_is_wrong_with_a_pair(scenes: Path, change: Callable[[Any], Any], expected: str) -> None:
    rewrite(scenes.parent / "raw/manifest.csv", change)
    assert expected in refused(scenes)


def altered(folder: Path, change: Callable[[str, bytes], list[tuple[str, bytes]]]) -> None:
    """Write the test shard anew with members that `change` made of each."""
    path = folder / "test-000000.tar"
    members = [(name, path.read_bytes()[offset : offset + size]) for name, offset, size in shards.members(path)]
    with shards.writer(path) as put:
        for name, data in members:
            for new in change(name, data):
                put(*new)
    index = shards.load_index(folder)
    tars = {split: about["shards"] for split, about in index.pop("splits").items()} | {"test": [put.described()]}
    (folder / "test.input.npy").unlink()
    shards.write_index(folder, index, tars)


def test_a_sample_without_its_input_is_named(scenes: Path) -> None:
    first = shards.Table(scenes, "test").keys[0]
    altered(scenes, lambda name, data: [] if name == f"{first}.input.png" else [(name, data)])
    count = shards.load_index(scenes)["splits"]["test"]["samples"]
    assert f"{count - 1} samples with input, expected {count} by index.json" in refused(scenes)


def test_an_input_of_another_size_is_named(scenes: Path) -> None:
    first = shards.Table(scenes, "test").keys[0]
    small = pictures.png(8, 16)
    altered(scenes, lambda name, data: [(name, small if name == f"{first}.input.png" else data)])
    text = refused(scenes)
    assert '"every input has exactly the data set\'s size"' in text
    assert first in text
    assert "8 x 16" in text


def test_an_input_that_is_an_image_of_another_split_is_named(scenes: Path) -> None:
    stolen = shards.Table(scenes, "train").bytes(0)
    first = shards.Table(scenes, "test").keys[0]
    altered(scenes, lambda name, data: [(name, stolen if name == f"{first}.input.png" else data)])
    assert "no image is in two splits, pixel for pixel" in refused(scenes)


def test_an_input_that_is_its_target_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = pictures.pairs(tmp_path / "in")
    whole = pictures.noise(seed=4)
    pictures.folder(files, {"cam0/scene04_real.png": pictures.encoded(whole, compress_level=0)})  # other bytes
    text = refused(sharded(files))
    assert '"no input is its own target: something happened to each": input cam0--scene04_real, target' in text
    assert "23 of 24 pairs pass" in text


def test_inputs_that_were_numbered_in_another_order_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scenes = [pictures.noise(seed=n) for n in range(24)]
    order = sorted(range(24), key=str)  # 0, 1, 10, 11 ...: the inputs as a sort by letters numbers them
    inputs = {f"{n:02d}_real.png": pictures.encoded(pictures.bad(scenes[place])) for n, place in enumerate(order)}
    targets = {f"{n:02d}_mean.png": pictures.encoded(scene) for n, scene in enumerate(scenes)}
    text = refused(sharded(pictures.folder(tmp_path / "in", inputs | targets)))
    assert '"no input looks far more like the target of another pair than like its own": key 02_real' in text
    assert "target 02_mean, closer_to 10_mean" in text
