"""What autoencoders train on, and that they learn."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pictures
import pytest
import rows
import torch
from pictures import shards_of
from rows import observed

from afterimage import reconstructors
from afterimage.core import images, layout, params, shards
from afterimage.core.errors import ParamsError, ShardError, WeightsError
from afterimage.core.images import decode
from afterimage.observations.frames import store
from afterimage.observations.frames.filters import fitted
from afterimage.reconstructors.autoencoder import KIND
from afterimage.reconstructors.autoencoder.learner import AutoencoderLearner, Pairs


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Shards, and degraded frames of them."""
    root = tmp_path_factory.mktemp("project")
    originals = shards_of(root / layout.shards("mine"), {"train": [8], "val": [2], "test": [6]})
    rows.written(observed("frames"), "mine", originals, root / "frames")
    return root


def row(**changes: Any) -> Any:
    return rows.row("autoencoder", **changes)


def pairs(root: Path, split: str = "train", **changes: Any) -> Pairs:
    mine = row(**changes)
    return Pairs(mine, store.levels(root / "frames", mine.levels), root / layout.shards("mine"), split)


def test_training_degrades_anew_in_each_epoch_and_always_alike(data):
    places = [(1, 3), (1, 5), (2, 3)]
    first, again = pairs(data).__getitems__(places), pairs(data).__getitems__(places[::-1])
    assert first["inputs"].shape == first["images"].shape == (3, 3, 32, 32)
    assert torch.equal(first["inputs"], again["inputs"].flip(0))
    assert not torch.equal(first["inputs"][0], first["inputs"][2])


def test_flips_turn_both_or_neither(data):
    plain = pairs(data, flips=False).__getitems__([(epoch, 0) for epoch in range(8)])["images"]
    flipped = pairs(data).__getitems__([(epoch, 0) for epoch in range(8)])["images"]
    same = [torch.equal(a, b) for a, b in zip(plain, flipped, strict=True)]
    mirrored = [torch.equal(a, b.flip(-1)) for a, b in zip(plain, flipped, strict=True)]
    assert 0 < sum(same) < 8 and [not value for value in same] == mirrored


def test_validation_takes_the_stored_frames_of_every_level(data):
    found = pairs(data, "val")
    assert len(found) == 4
    stored = [dict(level.frames("val")) for level in store.levels(data / "frames")]
    key = shards.Table(data / layout.shards("mine"), "val").keys[1]
    batch = found.__getitems__([(0, 2), (0, 3)])["inputs"]
    for inputs, level in zip(batch, stored, strict=True):
        wanted = fitted(level[key], (32, 32))
        assert np.array_equal((inputs.numpy() * 255).round().astype(np.uint8), np.moveaxis(wanted, -1, 0))


def test_a_row_with_a_factor_gets_a_smaller_image(data):
    batch = pairs(data, factor=2).__getitems__([(0, 0)])
    assert batch["inputs"].shape[-1] * 2 == batch["images"].shape[-1] == 32


def test_the_seeds_protocol_has_its_input_as_its_target(data):
    batch = pairs(data, levels=[], filters=["gamma"]).__getitems__([(0, 0), (0, 1)])
    assert torch.equal(batch["inputs"], batch["images"])
    plain = pairs(data, levels=[]).__getitems__([(0, 0), (0, 1)])["images"]
    assert batch["images"].mean() > plain.mean()


def test_training_learns_and_gives_the_same_bytes_twice(data, tmp_path):
    mine = row(training={"epochs": 8, "learning_rate": 0.01})
    models = [rows.trained(mine, data / "frames", data / layout.shards("mine"), tmp_path / name) for name in "ab"]
    for path in models[0].iterdir():
        assert path.read_bytes() == (models[1] / path.name).read_bytes(), path.name
    curves = np.genfromtxt(models[0] / "curves.csv", delimiter=",", names=True)
    assert {"train_charbonnier", "val_mse", "val_log_mse", "val_psnr"} <= set(curves.dtype.names)
    assert curves["val_psnr"].max() > curves["val_psnr"][0]
    assert curves["val_psnr"] == pytest.approx(-10 * curves["val_log_mse"], rel=1e-4)


def test_a_row_trains_on_crops_with_and_without_light(data):
    seen = []
    for changes in ({"factor": 2}, {"tone": True}):
        mine = row(crop=16, **changes)
        learner = AutoencoderLearner(mine, rows.stored(mine, data / "frames", data / layout.shards("mine")))
        network = learner.network.restorer if mine.tone else learner.network
        network.register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].shape)))
        batch = learner.train.__getitems__([(0, 0), (0, 1)])
        losses = learner.step(batch, lambda loss, optimizer: loss.backward())
        assert all(torch.isfinite(loss) for loss in losses.values())
    assert seen == [(4, 3, 8, 8), (4, 3, 16, 16)], "two crops of each image, at the size of the input"


def test_the_card_says_what_is_needed_to_use_the_model(data, tmp_path):
    model = rows.trained(row(), data / "frames", data / layout.shards("mine"), tmp_path)
    card = json.loads((model / "card.json").read_text())
    assert (card["words"], card["settings"]["levels"], card["size"]) == ("nafnet", ["mild", "bad"], 32)
    assert [part["level"] for part in card["given"]] == ["mild", "bad"]
    (restore,) = rows.loaded(tmp_path).values()
    assert card["parameters"] == sum(parameter.numel() for parameter in restore.network.parameters())


def test_a_row_that_does_not_fit_its_data_is_named(data, tmp_path):
    given = rows.stored(row(), data / "frames", data / layout.shards("mine"))
    with pytest.raises(ShardError, match="there is no level `worse`; there are bad, mild"):
        AutoencoderLearner(row(levels=["worse"]), given)
    given.size = 30
    with pytest.raises(ParamsError, match="factor: 4 does not divide the 30 px of mine"):
        AutoencoderLearner(row(factor=4), given)
    with pytest.raises(WeightsError, match="no trained model"):
        rows.loaded(tmp_path)


def test_the_kind_is_found_by_its_name():
    assert reconstructors.kind_of(row()) is KIND
    assert (KIND.observes, row().together) == ("frames", 4)


def test_a_row_trains_on_pairs(tmp_path):
    originals = pictures.pair_shards(tmp_path)
    rows.written(observed("frames", levels={"real": []}), "mine", originals, tmp_path / "frames")
    batch = pairs(tmp_path, levels=["real"])
    drawn = [batch.__getitems__([(epoch, 1)]) for epoch in range(8)]
    sides = []
    for part, name in (("", "images"), (shards.INPUT, "inputs")):
        plain = np.asarray(decode(shards.Table(originals, "train", part).bytes(1)))
        both = [images.to_tensor(np.ascontiguousarray(side)) for side in (plain, plain[:, ::-1])]
        sides.append([next(n for n in range(2) if torch.equal(one[name][0], both[n])) for one in drawn])
    assert sides[0] == sides[1], "a pair is mirrored together"
    assert set(sides[0]) == {0, 1}
    rows.trained(row(levels=["real"], training={"epochs": 1}), tmp_path / "frames", originals, tmp_path)
    assert list(rows.loaded(tmp_path)) == [""]


def test_a_sigmoid_is_for_the_seeds_network(tmp_path):
    row = {**rows.ROWS["autoencoder"], "kind": "autoencoder", "dataset": "mine", "training": rows.TRAINING}
    path = tmp_path / "params.yaml"
    path.write_text(json.dumps({"reconstructors": {"mine": {**row, "output": "sigmoid"}}}))
    with pytest.raises(ParamsError, match=r"sigmoid is for arch: lenet; nafnet adds to its input, expected linear"):
        params.row(path, "reconstructors", "mine", KIND.Row)
    assert KIND.Row.model_validate({**row, "arch": "lenet", "output": "sigmoid"}).output == "sigmoid"
