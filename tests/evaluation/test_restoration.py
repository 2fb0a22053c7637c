"""What is measured of frames besides the metrics of each level: steps alone, subgroups, clean to clean."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rows
from pictures import shards_of
from rows import observed

from afterimage.core import outputs, shards
from afterimage.core.errors import ShardError
from afterimage.core.images import Uint8
from afterimage.evaluation import restoration
from afterimage.evaluation.metrics import MetricsRow
from afterimage.observations.frames import store
from afterimage.observations.frames.filters import fitted


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("frames")
    shards_of(root / "shards", {"train": [1], "val": [1], "test": [6]})
    rows.written(observed("frames"), "mine", root / "shards", root / "frames")
    return root


def enlarge(frames: Iterable[Uint8]) -> Iterator[Uint8]:
    """Stands for a trained row."""
    return (np.clip(fitted(frame, (32, 32)).astype(int) + 9, 0, 255).astype(np.uint8) for frame in frames)


def lines(path: Path) -> list[dict[str, str]]:
    names, *rest = (line.split(",") for line in path.read_text().splitlines())
    return [dict(zip(names, line, strict=True)) for line in rest]


def test_each_step_is_measured_alone(data: Path, tmp_path: Path) -> None:
    restoration.steps_alone(enlarge, store.levels(data / "frames"), data / "shards", tmp_path / "steps.csv")
    steps = lines(tmp_path / "steps.csv")
    assert list(steps[0]) == [
        *("level", "number", "step", "images"),
        *("identity_psnr", "identity_ssim", "psnr", "ssim"),
    ]
    found = [(line["level"], line["number"], line["step"]) for line in steps[:4]]
    assert found == [
        ("mild", "0", "noise"),
        ("bad", "0", "low_light"),
        ("bad", "1", "downscale"),
        ("bad", "2", "noise"),
    ]
    assert [line["images"] for line in steps[:4]] == ["6"] * 4
    assert all(0 < float(line["psnr"]) < 100 for line in steps)


def test_subgroups_are_by_brightness_and_by_telling_columns(data: Path, tmp_path: Path) -> None:
    keys = shards.Table(data / "shards", "test").keys
    images = [[key, key, key, number, number / 10] for number, key in enumerate(keys)]
    outputs.write_csv(tmp_path / "level/images.csv", ["key", "image", "group", "psnr", "ssim"], images)
    told = [[key, "test", "ab"[n % 2], n] for n, key in enumerate(keys)]
    outputs.write_csv(tmp_path / "manifest.csv", ["key", "split", "tone", "seconds"], told)
    out = tmp_path / "subgroups.csv"
    restoration.subgroups({"bad": tmp_path / "level"}, data / "shards", tmp_path / "manifest.csv", out)
    found = [(line["column"], line["value"], line["images"], line["psnr"]) for line in lines(out)]
    assert [line[:3] for line in found[:3]] == [("brightness", third, "2") for third in restoration.BRIGHTNESS]
    assert found[3:] == [("tone", "a", "3", "2"), ("tone", "b", "3", "3")]
    with pytest.raises(ShardError, match=r"none\.csv: there is no such table"):
        restoration.subgroups({"bad": tmp_path / "level"}, data / "shards", tmp_path / "none.csv", out)


def test_clean_to_clean_the_identity_makes_no_error(data: Path, tmp_path: Path) -> None:
    row = MetricsRow(seed=0, bootstrap=20)
    restoration.protocol(enlarge, ["gamma"], data / "shards", row, tmp_path / "protocol.json")
    found = json.loads((tmp_path / "protocol.json").read_text())
    assert (found["images"], found["filters"]) == (6, ["gamma"])
    assert found["identity"]["mse"]["mean"] == 0 and found["identity"]["psnr"]["mean"] == 100
    network = found["network"]["psnr"]
    assert 5 < network["low"] <= network["mean"] <= network["high"] < 100
