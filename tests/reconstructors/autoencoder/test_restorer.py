"""Rows of restorers: what they train on, what they write, what they measure, and how people use them."""

import json

import numpy as np
import pytest
import torch
from pictures import noise, shards_of
from PIL import Image
from test_frames import pair_shards
from test_frames import row as degradations

from afterimage.apply import restorers as applied
from afterimage.core import images, layout, outputs, shards
from afterimage.core.errors import ParamsError, WeightsError
from afterimage.core.images import decode
from afterimage.evaluation import restoration
from afterimage.evaluation.metrics import MetricsRow
from afterimage.observations.frames import filters as enhancement
from afterimage.observations.frames import store as frames
from afterimage.reconstructors.autoencoder import learner as restorer

METRICS = MetricsRow(lpips_weights="random", lpips_sha256=None, seed=0, bootstrap=20)
TRAINING = dict(epochs=2, batch=4, learning_rate=1e-3, schedule="cosine", weight_decay=0.0, patience=None)
TRAINING |= dict(precision="float32", device="cpu", workers=0, seed=0)
ROW = dict(dataset="mine", degradations="mine", levels=["mild", "bad"], filters=[], arch="nafnet", width=4, fold=2)
ROW |= dict(factor=1, loss="charbonnier", flips=True, training=TRAINING)


def row(**changes) -> restorer.RestorerRow:
    return restorer.RestorerRow.model_validate({**ROW, **changes})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A project with shards, degraded frames and two trained rows."""
    root = tmp_path_factory.mktemp("project")
    originals = shards_of(root / layout.shards("mine"), {"train": [8], "val": [2], "test": [6]})
    lines = [["key", "split", "tone"]] + [[key, "test", "ab"[n % 2]] for n, key in enumerate(keys(originals))]
    (root / layout.raw("mine")).mkdir(parents=True)
    outputs.write_csv(root / layout.raw("mine") / "manifest.csv", lines[0], lines[1:])
    frames.write(degradations(), "mine", originals, root / layout.degradations("mine"))
    train(root, "strong", row())
    train(root, "seed", row(levels=[], filters=["gamma"], arch="lenet", fold=1, loss="mse"))
    train(root, "large", row(factor=2, arch="skip"))
    return root


def keys(originals) -> list[str]:
    return shards.Table(originals, "test").keys


def train(root, name, one) -> None:
    levels = frames.levels(root / layout.degradations("mine"), one.levels)
    out = root / layout.model("restorers", name)
    restorer.train(name, one, levels, root / layout.shards("mine"), out, root / "state" / name)


def pairs(root, split="train", **changes) -> restorer.Frames:
    one = row(**changes)
    levels = frames.levels(root / layout.degradations("mine"), one.levels)
    return restorer.Frames(one, levels, root / layout.shards("mine"), split)


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
    stored = [dict(level.frames("val")) for level in frames.levels(data / layout.degradations("mine"))]
    key = shards.Table(data / layout.shards("mine"), "val").keys[1]
    batch = found.__getitems__([(0, 2), (0, 3)])["inputs"]
    for inputs, level in zip(batch, stored, strict=True):
        wanted = enhancement.fitted(level[key], (32, 32))
        assert np.array_equal((inputs.numpy() * 255).round().astype(np.uint8), np.moveaxis(wanted, -1, 0))


def test_a_row_with_a_factor_gets_a_smaller_image(data):
    batch = pairs(data, factor=2).__getitems__([(0, 0)])
    assert batch["inputs"].shape[-1] * 2 == batch["images"].shape[-1] == 32


def test_the_seeds_protocol_has_its_input_as_its_target(data):
    batch = pairs(data, levels=[], filters=["gamma"]).__getitems__([(0, 0), (0, 1)])
    assert torch.equal(batch["inputs"], batch["images"])
    plain = pairs(data, levels=[]).__getitems__([(0, 0), (0, 1)])["images"]
    assert batch["images"].mean() > plain.mean()


def test_a_trained_row_is_loaded_as_it_was_and_says_what_it_is(data):
    network, card = restorer.load(data / layout.model("restorers", "strong"))
    assert (card["arch"], card["levels"], card["size"]) == ("nafnet", ["mild", "bad"], 32)
    assert card["parameters"] == sum(parameter.numel() for parameter in network.parameters())
    assert not (data / "state/strong/checkpoint.pt").exists()
    with pytest.raises(WeightsError, match="no trained model"):
        restorer.load(data / "nothing")


def test_a_row_that_does_not_fit_its_data_is_named(data, tmp_path):
    levels = frames.levels(data / layout.degradations("mine"), ["bad"])
    for changes, said in ((dict(dataset="other"), "dataset: 'other'"), (dict(factor=4), None)):
        if said:
            with pytest.raises(ParamsError, match=said):
                restorer.train("x", row(**changes), levels, data / layout.shards("mine"), tmp_path / "out", tmp_path)


def test_each_level_is_restored_for_every_test_image(data, tmp_path):
    trained = restorer.Trained(data / layout.model("restorers", "strong"), 4)
    level = frames.levels(data / layout.degradations("mine"))[1]
    restorer.reconstruct(trained, level, tmp_path / "out")
    found = {key: np.asarray(decode(image)) for key, image, _ in shards.read(tmp_path / "out", "test")}
    assert list(found) == keys(data / layout.shards("mine"))
    one = applied.RestorerRow(data, "strong")
    key, frame = next(level.frames("test"))
    wanted = one(Image.fromarray(enhancement.fitted(frame, (32, 32))))
    assert np.abs(found[key].astype(int) - np.asarray(wanted)).max() <= 1  # another size of batch


def test_steps_alone_subgroups_and_protocol_are_measured(data, tmp_path):
    originals = data / layout.shards("mine")
    levels = frames.levels(data / layout.degradations("mine"))
    trained = restorer.Trained(data / layout.model("restorers", "seed"), 4)
    restoration.steps_alone(trained, levels, originals, tmp_path / "steps.csv")
    steps = (tmp_path / "steps.csv").read_text().splitlines()
    assert steps[0].startswith("level,number,step,images,identity_psnr")
    assert [line.split(",")[:3] for line in steps[1:4]] == [
        ["mild", "0", "noise"],
        ["bad", "0", "low_light"],
        ["bad", "1", "downscale"],
    ]
    images = [[key, key, key, number, number / 10] for number, key in enumerate(keys(originals))]
    outputs.write_csv(tmp_path / "level/images.csv", ["key", "image", "group", "psnr", "ssim"], images)
    manifest = data / layout.raw("mine") / "manifest.csv"
    restoration.subgroups({"bad": tmp_path / "level"}, originals, manifest, tmp_path / "subgroups.csv")
    groups = [line.split(",") for line in (tmp_path / "subgroups.csv").read_text().splitlines()[1:]]
    assert [line[1:4] for line in groups if line[1] == "brightness"] == [
        ["brightness", third, "2"] for third in restoration.BRIGHTNESS
    ]
    assert [line[1:5] for line in groups if line[1] == "tone"] == [["tone", "a", "3", "2"], ["tone", "b", "3", "3"]]
    restoration.protocol(trained, ["gamma"], originals, METRICS, tmp_path / "protocol.json")
    found = json.loads((tmp_path / "protocol.json").read_text())
    assert found["identity"]["mse"]["mean"] == 0 and found["identity"]["psnr"]["mean"] == 100
    assert 5 < found["network"]["psnr"]["mean"] < 100


@pytest.mark.parametrize("name", ["strong", "seed", "large"])
@pytest.mark.parametrize("size", [(1, 1), (30, 17), (45, 64)])
def test_images_of_any_size_come_back_at_their_size(data, name, size):
    one = applied.RestorerRow(data, name)
    assert one(noise(*size)).size == size
    stack = np.stack([np.asarray(noise(*size, seed=seed)) for seed in range(3)])
    found = one.frames(stack)
    assert found.shape == stack.shape and found.dtype == np.uint8
    assert np.abs(found[1].astype(int) - one.frames(stack[1:2])[0]).max() <= 1
    assert applied.RestorerRow(data, name, enlarge=True).frames(stack).shape[1] == size[1] * one.factor


def test_tiles_make_no_seams(data, monkeypatch):
    one = applied.RestorerRow(data, "large", enlarge=True)
    image = np.asarray(noise(190, 150))[None]
    whole = one.frames(image)
    monkeypatch.setattr(applied, "TILE", 64)
    assert np.abs(one.frames(image).astype(int) - whole).max() <= 1


def test_a_row_trains_on_pairs(tmp_path):
    originals = pair_shards(tmp_path)
    frames.write(degradations(levels={"real": []}), "mine", originals, tmp_path / layout.degradations("mine"))
    batch = pairs(tmp_path, levels=["real"])
    drawn = [batch.__getitems__([(epoch, 1)]) for epoch in range(8)]
    sides = []
    for part, name in (("", "images"), (shards.INPUT, "inputs")):
        plain = np.asarray(decode(shards.Table(originals, "train", part).bytes(1)))
        both = [images.to_tensor(np.ascontiguousarray(side)) for side in (plain, plain[:, ::-1])]
        sides.append([next(n for n in range(2) if torch.equal(one[name][0], both[n])) for one in drawn])
    assert sides[0] == sides[1], "a pair is mirrored together"
    assert set(sides[0]) == {0, 1}
    train(tmp_path, "real", row(levels=["real"]))
    assert (tmp_path / layout.model("restorers", "real") / "card.json").exists()
