"""Rows of PixelRNN: what they are, what they train on, and that they learn."""

import json
from pathlib import Path
from typing import Any

import pictures
import pytest
import rows
import torch
from rows import observed

from afterimage import reconstructors
from afterimage.core.errors import WeightsError
from afterimage.observations.holes.store import Stored
from afterimage.reconstructors.pixelrnn import KIND
from afterimage.reconstructors.pixelrnn.learner import Occlusions, bits
from afterimage.reconstructors.pixelrnn.row import PixelRnnRow

HOLES = observed("holes", count=1, side=0.3)


def row(**values: Any) -> Any:
    training = {"epochs": 2, "batch": 8, **values.pop("training", {})}
    return rows.row("pixelrnn", **values, training=training)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pixelrnn")
    pictures.shards_of(root / "images", {"train": [24], "val": [8], "test": [4]}, size=32)
    rows.written(HOLES, "two", root / "images", root / "holes")
    return root


def trained(folder: Path, out: Path, mine: PixelRnnRow) -> Path:
    return rows.trained(mine, folder / "holes", folder / "images", out)


def stored(folder: Path, mine: PixelRnnRow) -> Stored:
    return rows.stored(mine, folder / "holes", folder / "images")


def test_what_does_not_fit_in_a_row_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="logistics needs a number, other likelihoods null"):
        row(components=None)
    with pytest.raises(ValueError, match="logistics needs a number, other likelihoods null"):
        row(likelihood="softmax")
    with pytest.raises(ValueError, match="width 8 and head 6 should be multiples of 3"):
        row(likelihood="mse", components=None, width=8)
    with pytest.raises(ValueError, match="whole should be 1 where there is no trunk"):
        row(trunk=None)
    with pytest.raises(WeightsError, match="no trained model"):
        rows.loaded(tmp_path)


def test_training_draws_flips_and_whole_holes_and_validation_does_not(folder: Path) -> None:
    places = [(epoch, at) for epoch in range(6) for at in range(24)]
    plain, mine = (
        Occlusions("train", row(whole=whole, flip=flip), stored(folder, row()))
        for whole, flip in ((0.0, False), (0.5, True))
    )
    before, after = plain.__getitems__(places), mine.__getitems__(places)
    whole = after["masks"].flatten(1).all(1)
    assert 0.35 < whole.float().mean() < 0.65
    same = (before["images"] == after["images"]).flatten(1).all(1)
    mirrored = (before["images"].flip(-1) == after["images"]).flatten(1).all(1)
    assert (same | mirrored).all() and 0.35 < mirrored.float().mean() < 0.65
    moved = after["masks"].flip(-1)[mirrored & ~whole]
    assert torch.equal(moved, before["masks"][mirrored & ~whole])
    kept = Occlusions("val", row(whole=1.0), stored(folder, row()))
    assert not kept.__getitems__([(0, at) for at in range(8)])["masks"].flatten(1).all(1).any()


@pytest.mark.parametrize(
    "values",
    [
        {},
        dict(arch="diagonal_bilstm", likelihood="softmax", components=None),
        dict(arch="row_lstm", likelihood="mse", components=None, residual=False),
        dict(arch="pixelcnn", trunk=None, whole=1.0),
    ],
    ids=lambda values: values.get("arch", "gated"),
)
def test_training_learns_and_gives_the_same_bytes_twice(folder: Path, tmp_path: Path, values: dict[str, Any]) -> None:
    mine = row(**values)
    models = [trained(folder, tmp_path / name, mine) for name in ("a", "b")]
    for name in ("model.safetensors", "card.json", "curves.csv"):
        assert (models[0] / name).read_bytes() == (models[1] / name).read_bytes()
    card = json.loads((models[0] / "card.json").read_text())
    assert card["size"] == 32 and card["settings"]["arch"] == mine.arch
    assert card["words"].startswith(mine.arch.replace("_", " ")) and ("hybrid" in card["words"]) == bool(mine.trunk)
    (complete,) = rows.loaded(tmp_path / "a").values()
    batch = Occlusions("val", mine, stored(folder, mine)).__getitems__([(0, 0), (0, 1)])
    torch.manual_seed(mine.training.seed)
    with torch.inference_mode():
        before = bits(mine.network().eval(), batch["images"], batch["masks"]).mean()
        after = bits(complete.network, batch["images"], batch["masks"]).mean()
    assert float(after) < float(before)


def test_the_kind_is_found_by_its_name() -> None:
    assert reconstructors.kind_of(row()) is KIND
    assert (KIND.observes, row().together) == ("holes", 8)
