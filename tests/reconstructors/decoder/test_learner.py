"""Decoders learn, from one layer or several, from stored features or computed ones."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pictures
import pytest
import rows
import torch
from rows import observed
from safetensors.torch import load_file

from afterimage import reconstructors
from afterimage.apply.features import Applied
from afterimage.core import layout
from afterimage.core.errors import ParamsError, WeightsError
from afterimage.core.images import to_tensor, to_uint8
from afterimage.observations.features import Features, defences
from afterimage.reconstructors.decoder import KIND
from afterimage.reconstructors.decoder.learner import DecoderLearner, mosaics, total_variation


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures.shards_of(tmp_path_factory.mktemp("images"), {"train": [24], "val": [8], "test": [6]}, size=32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Path:
    return rows.features(images, tmp_path_factory.mktemp("features") / "vgg11")


def row(**values: Any) -> Any:
    return rows.row("decoder", **values)


def trained(mine: Any, folder: Path, images: Path, root: Path) -> Path:
    """Train on the layer that the row names, or on all of the encoder."""
    return rows.trained(mine, folder / mine.observation.removeprefix("vgg11").strip("/"), images, root)


def rebuilt(mine: Any, folder: Path, images: Path, root: Path) -> tuple[np.ndarray, np.ndarray]:
    """The test images, and what the trained row makes of their features, both 8-bit."""
    given = rows.stored(mine, folder / mine.observation.removeprefix("vgg11").strip("/"), images)
    (batch,) = given.given("test", 8)
    (decode,) = rows.loaded(root).values()
    made = decode(batch.observation)
    assert made.samples is None and not made.values
    return batch.originals, to_uint8(made.images)


def test_total_variation_of_known_pictures() -> None:
    assert float(total_variation(torch.full((1, 3, 4, 4), 0.3))) == 0
    stripes = torch.tensor([0.0, 1.0, 0.0, 1.0]).expand(1, 3, 4, 4)
    assert float(total_variation(stripes)) == pytest.approx(1.0)


def test_mosaics_are_made_of_four_images_each() -> None:
    images = torch.arange(9).float().view(9, 1, 1, 1).expand(9, 3, 2, 2)
    made = mosaics(images)
    assert made.shape == (2, 3, 4, 4)
    assert made[1, 0, ::2, ::2].tolist() == [[4, 5], [6, 7]]
    one = torch.rand(1, 3, 2, 2)
    (mirrored,) = mosaics(one)
    torch.testing.assert_close(mirrored, mirrored.flip(2).roll(0))
    torch.testing.assert_close(mirrored[:, :2, :2], one[0])


def test_mosaics_bring_the_middle_of_large_images_to_the_scale_of_tiles(images: Path, tmp_path: Path) -> None:
    network = rows.encoder("relu4_1")
    deep = rows.features(images, tmp_path / "features", observed("features", layers=["relu4_1"]), network)
    seen = network(to_tensor(np.asarray(pictures.noise(128, 128)))[None])["relu4_1"]
    spread = {}
    for share in (0.0, 0.5):
        mine = row(observation="vgg11/relu4_1", linear=False, mosaic=share)
        learner = DecoderLearner(mine, rows.stored(mine, deep / "relu4_1", images))
        spread[share] = float(learner.decoder.whitenings[0](seen)[..., 4:-4, 4:-4].square().mean())
    assert spread[0.0] > 10, "of tiles alone, whose features are all border, it is 1"
    assert spread[0.5] < 5
    curves = np.genfromtxt(
        rows.trained(mine, deep / "relu4_1", images, tmp_path) / "curves.csv", delimiter=",", names=True
    )
    assert curves["train_mse"][-1] < curves["train_mse"][0]


@pytest.mark.parametrize("arch", ["light", "upconv"])
def test_training_beats_one_colour_and_gives_the_same_bytes_twice(
    arch: str, folder: Path, images: Path, tmp_path: Path
) -> None:
    mine = row(arch=arch, training={"epochs": 15})
    models = [trained(mine, folder, images, tmp_path / name) for name in ("a", "b")]
    for name in ("model.safetensors", "card.json", "curves.csv"):
        assert (models[0] / name).read_bytes() == (models[1] / name).read_bytes()
    truth, found = (pixels / 255 for pixels in rebuilt(mine, folder, images, tmp_path / "a"))
    one_colour = np.square(truth - truth.mean(axis=(1, 2), keepdims=True)).mean(axis=(1, 2, 3))
    psnr = -10 * np.log10(np.square(found - truth).mean(axis=(1, 2, 3)))
    assert psnr.mean() > float((-10 * np.log10(one_colour)).mean()) + 1


@pytest.mark.parametrize("perceptual", [0.0, 0.1])
def test_training_without_stored_features_comes_to_the_same(
    perceptual: float, folder: Path, images: Path, tmp_path: Path
) -> None:
    mine = row(loss={"pixel": 0.0, "log_mse": 1.0, "perceptual": perceptual, "total_variation": 0.0})
    alone = rows.features(images, tmp_path / "features", observed("features", store=False))
    found, curves = [], []
    for name, features in (("stored", folder), ("alone", alone)):
        model = trained(mine, features, images, tmp_path / name)
        found.append(rebuilt(mine, features, images, tmp_path / name)[1].astype(int))
        curves.append(np.genfromtxt(model / "curves.csv", delimiter=",", skip_header=1))
    assert np.abs(found[0] - found[1]).max() <= 2
    np.testing.assert_allclose(curves[0], curves[1], rtol=0.02)


def test_a_network_that_judges_changes_what_is_learned_and_is_not_in_the_model(
    folder: Path, images: Path, tmp_path: Path
) -> None:
    models = {}
    for weight in (0.0, 0.1):
        loss = {"pixel": 1.0, "log_mse": 0.0, "perceptual": 0.1, "adversarial": weight, "total_variation": 0.0}
        models[weight] = trained(row(loss=loss), folder, images, tmp_path / str(weight))
    names = (models[0.1] / "curves.csv").read_text(encoding="utf-8").partition("\n")[0].split(",")
    assert {"train_adversarial", "train_judge"} <= set(names)
    states = [load_file(model / "model.safetensors") for model in models.values()]
    assert states[0].keys() == states[1].keys()
    assert any(not torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_the_card_says_what_is_needed_to_use_the_model(folder: Path, images: Path, tmp_path: Path) -> None:
    model = trained(row(), folder, images, tmp_path)
    card = json.loads((model / "card.json").read_text())
    (part,) = card["given"]
    assert (part["layer"], part["shape"], part["encoder"], part["arch"]) == (
        "relu2_1",
        [128, 16, 16],
        "vgg11",
        "vgg11",
    )
    assert part["weights_origin"] == "random, seed 0"
    assert (card["words"], card["size"], card["observation"]) == ("upconv", 32, "vgg11/relu2_1")
    (decode,) = rows.loaded(tmp_path).values()
    assert card["parameters"] == sum(parameter.numel() for parameter in decode.network.parameters())
    assert (model / "encoder.safetensors").read_bytes() == (folder / "relu2_1/encoder.safetensors").read_bytes()
    assert not (tmp_path / layout.training_state("mine") / "checkpoint.pt").exists()


def test_skips_and_extra_losses_train(folder: Path, images: Path, tmp_path: Path) -> None:
    loss = {"pixel": 1.0, "log_mse": 0.0, "perceptual": 0.1, "total_variation": 0.01}
    mine = row(observation="vgg11", layers=["relu1_1", "relu2_1"], loss=loss)
    curves = np.genfromtxt(trained(mine, folder, images, tmp_path) / "curves.csv", delimiter=",", names=True)
    for name in ("train_mse", "train_perceptual"):
        assert curves[name][-1] < curves[name][0]
    assert curves["train_total_variation"][-1] > 0
    assert rebuilt(mine, folder, images, tmp_path)[1].shape == (6, 32, 32, 3)


def test_features_of_images_of_another_size_are_decoded(folder: Path, images: Path, tmp_path: Path) -> None:
    trained(row(), folder, images, tmp_path)
    (decode,) = rows.loaded(tmp_path).values()
    pixels = to_tensor(np.asarray(pictures.noise(45, 70)))[None]
    seen = rows.encoder()(pixels)["relu2_1"]
    found = decode(Features(["a"], (70, 45), [seen])).images
    assert found.shape == pixels.shape
    assert 0 <= float(found.min()) <= float(found.max()) <= 1


def test_what_does_not_fit_is_named(folder: Path, images: Path, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="expected the folder of a layer, or `layers` of it in the row"):
        trained(row(observation="vgg11"), folder, images, tmp_path)
    with pytest.raises(ParamsError, match=r"holds relu2_1, but the row has layers: \['relu1_1'\]"):
        trained(row(layers=["relu1_1"]), folder, images, tmp_path)
    with pytest.raises(WeightsError, match="no trained model"):
        rows.loaded(tmp_path)
    model = trained(row(), folder, images, tmp_path)
    card = json.loads((model / "card.json").read_text())
    card["settings"]["width"] = 4
    (model / "card.json").write_text(json.dumps(card))
    with pytest.raises(WeightsError, match="has shape"):
        rows.loaded(tmp_path)


def test_the_kind_is_found_by_its_name() -> None:
    assert reconstructors.kind_of(row()) is KIND
    assert (KIND.observes, row().together) == ("features", 4)


@pytest.mark.parametrize("kept", [True, False])
def test_a_decoder_knows_the_defence_that_its_features_went_through(kept: bool, images: Path, tmp_path: Path) -> None:
    guarded = copy.copy(rows.encoder())
    guarded.defence = defences.read([{"step": "pool", "factor": 2}, {"step": "noise", "strength": 0.2}])
    folder = rows.features(images, tmp_path / "vgg11", observed("features", store=kept), guarded)
    loss = {"pixel": 1.0, "log_mse": 0.0, "perceptual": 0.1, "total_variation": 0.0}
    mine = row(observation="vgg11/relu1_1", loss=loss, training={"epochs": 4, "learning_rate": 0.01})
    trained(mine, folder, images, tmp_path)
    originals, made = rebuilt(mine, folder, images, tmp_path)
    plain = np.square(originals / 255 - (originals / 255).mean((1, 2), keepdims=True)).mean()
    assert np.square(originals / 255 - made / 255).mean() < plain
    pairs = rows.stored(mine, folder / "relu1_1", images).pairs("test")
    found = Applied("mine", reconstructors.load(project(tmp_path), "mine"), None, "cpu")
    (alone,) = found.features(pairs.pixels([2])[0], pairs.keys[2])
    torch.testing.assert_close(alone, pairs.features([2])[0].float(), rtol=2e-3, atol=1e-3)


def project(root: Path) -> Path:
    """The folder of a trained row as a project that names it."""
    (root / "params.yaml").write_text("reconstructors:\n  mine: {kind: decoder}\n", encoding="utf-8")
    return root
