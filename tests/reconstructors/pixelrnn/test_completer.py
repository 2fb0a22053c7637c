"""Rows of completers: what they are, that they learn, and what is measured of their completions."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pictures
import pytest
import torch
from test_decoder import TRAINING
from test_holes import row as holes_row

from afterimage.core import images, shards
from afterimage.core.errors import ParamsError, WeightsError
from afterimage.evaluation import evaluating as evaluation
from afterimage.observations.holes import store as holes
from afterimage.reconstructors.pixelrnn import completer, completing
from afterimage.reconstructors.pixelrnn.completer import CompleterRow, Occlusions, bits

HOLES = holes_row("boxes", count=1, side=0.3)
TRUNK = dict(width=4, rounds=1, guess=10.0)


def row(**values: Any) -> CompleterRow:
    plain = dict(
        dataset="mine",
        holes="two",
        arch="gated",
        width=6,
        layers=1,
        kernel=3,
        head=6,
        residual=True,
        likelihood="logistics",
        components=2,
        trunk=TRUNK,
        dropout=0.1,
        flip=True,
        whole=0.2,
        samples=3,
        temperature=1.0,
        training={**TRAINING, "epochs": 2, "batch": 8},
    )
    return CompleterRow.model_validate({**plain, **values})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("completers")
    pictures.shards_of(root / "images", {"train": [24], "val": [8], "test": [4]}, size=32)
    holes.write(HOLES, "two", root / "images", root / "holes")
    return root


def trained(folder: Path, out: Path, mine: CompleterRow) -> Path:
    completer.train("mine", mine, HOLES, folder / "images", folder / "holes", out / "model", out / "state")
    return out / "model"


def column(path: Path, name: str) -> list[float]:
    with path.open() as stream:
        return [float(line[name]) for line in csv.DictReader(stream)]


def test_what_does_not_fit_in_a_row_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="logistics needs a number, other likelihoods null"):
        row(components=None)
    with pytest.raises(ValueError, match="logistics needs a number, other likelihoods null"):
        row(likelihood="softmax")
    with pytest.raises(ValueError, match="width 8 and head 6 should be multiples of 3"):
        row(likelihood="mse", components=None, width=8)
    with pytest.raises(ValueError, match="whole should be 1 where there is no trunk"):
        row(trunk=None)
    with pytest.raises(ParamsError, match="completers.mine.dataset: 'other', but the holes two are of 'mine'"):
        trained(folder, tmp_path, row(dataset="other"))
    with pytest.raises(WeightsError, match="no trained model"):
        completer.load(tmp_path / "nothing")


def test_training_draws_flips_and_whole_holes_and_validation_does_not(folder: Path) -> None:
    places = [(epoch, at) for epoch in range(6) for at in range(24)]
    plain, mine = (
        Occlusions(folder / "images", "train", row(whole=whole, flip=flip), HOLES, folder / "holes")
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
    stored = Occlusions(folder / "images", "val", row(whole=1.0), HOLES, folder / "holes")
    assert not stored.__getitems__([(0, at) for at in range(8)])["masks"].flatten(1).all(1).any()


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
    network, card = completer.load(models[0])
    assert card["size"] == 32 and card["trained"]["arch"] == mine.arch
    batch = Occlusions(folder / "images", "val", mine, HOLES, folder / "holes").__getitems__([(0, 0), (0, 1)])
    torch.manual_seed(mine.training.seed)
    with torch.inference_mode():
        before = bits(mine.network().eval(), batch["images"], batch["masks"]).mean()
        after = bits(network, batch["images"], batch["masks"]).mean()
    assert float(after) < float(before)


def test_completions_are_measured_and_keep_what_is_known(folder: Path, tmp_path: Path) -> None:
    mine = row(training={**TRAINING, "epochs": 1, "batch": 8})
    model = trained(folder, tmp_path, mine)
    out = tmp_path / "out"
    completing.complete(model, mine, HOLES, folder / "images", folder / "holes", out)
    table = shards.Table(out, "test")
    originals = shards.Table(folder / "images", "test")
    stored = holes.StoredHoles(folder / "holes", "test")
    assert table.keys == originals.keys
    samples = [shards.Table(out, "test", f"sample{number}") for number in range(3)]
    for place, key in enumerate(table.keys):
        truth, mean = (np.asarray(images.decode(each.bytes(place))) for each in (originals, table))
        drawn = np.stack([np.asarray(images.decode(each.bytes(place))) for each in samples])
        mask = stored[key]
        np.testing.assert_array_equal(mean[~mask], truth[~mask])
        np.testing.assert_array_equal(mean, np.rint(drawn.mean(0)).astype(np.uint8))
        inside = (drawn.min(0) <= truth) & (truth <= drawn.max(0))
        values = {name: column(out / evaluation.VALUES, name)[place] for name in ("coverage", "spread", "bits")}
        assert values["coverage"] == pytest.approx(inside[mask].mean(), abs=1e-5)
        assert values["spread"] == pytest.approx(np.sqrt((drawn[:, mask] / 255).var(0).mean()), rel=1e-4)
        assert 0 < values["bits"] < 20
    again = tmp_path / "again"
    completing.complete(model, mine, HOLES, folder / "images", folder / "holes", again)
    for name in ("test-000000.tar", "index.json", evaluation.VALUES):
        assert (out / name).read_bytes() == (again / name).read_bytes()


def test_the_histogram_is_a_distribution_at_each_place(folder: Path) -> None:
    histogram = completing.Histogram(folder / "images")
    np.testing.assert_allclose((2.0**-histogram.table).sum(1), 1)
    data = next(shards.read(folder / "images", "train"))[1]
    seen = np.asarray(images.decode(data))
    assert histogram(seen).mean() < histogram(255 - seen).mean()
