import json
from pathlib import Path

import numpy as np
import pictures
import pytest
import torch

from afterimage.core import shards, weights
from afterimage.core.errors import ParamsError, ShardError, WeightsError
from afterimage.observations.features import store as features
from afterimage.observations.features.encoders import Encoder, EncoderRow, trunk
from afterimage.reconstructors.decoder import network as decoder
from afterimage.reconstructors.decoder.network import Decoder, DecoderRow, Tap, Whitening, total_variation

LAYERS = ["relu1_1", "relu2_1"]
TRAINING = dict(
    epochs=3,
    batch=4,
    learning_rate=0.003,
    schedule="constant",
    weight_decay=0.0,
    patience=None,
    precision="float32",
    device="cpu",
    workers=0,
    seed=0,
)


def row(**values) -> DecoderRow:
    plain = dict(
        dataset="mine",
        encoder="vgg11",
        layers=["relu2_1"],
        features="vgg11/relu2_1",
        arch="upconv",
        width=8,
        loss=dict(pixel=1.0, perceptual=0.0, total_variation=0.0),
        training=TRAINING,
    )
    return DecoderRow.model_validate({**plain, **values})


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    encoder = Encoder("vgg11", LAYERS)
    weights.fit(encoder.body, trunk("vgg11", "random", 0, None), "vgg11", optional=encoder.uncut)
    return encoder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures.shards_of(tmp_path_factory.mktemp("images"), {"train": [24], "val": [8], "test": [6]}, size=32)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, encoder: Encoder, images: Path) -> Path:
    folder = tmp_path_factory.mktemp("features") / "vgg11"
    plain = dict(
        arch="vgg11", weights="random", sha256=None, seed=0, dataset="mine", layers=LAYERS, dtype="float16", batch=8
    )
    about = {"arch": "vgg11", "weights": "abc", "weights_origin": "random, seed 0"}
    features.extract(encoder, EncoderRow.model_validate(plain), "vgg11", about, images, folder)
    return folder


def trained(store: Path, images: Path, out: Path, mine: DecoderRow, encoder: Encoder | None = None) -> Path:
    folders = [store / layer for layer in mine.layers]
    decoder.train("mine", mine, folders, images, encoder, out / "model", out / "state")
    return out / "model"


def psnr_of(folder: Path, images: Path) -> float:
    found, truth = (
        np.stack([np.asarray(decoder.images.decode(data)) for _, data, _ in shards.read(place, "test")]) / 255
        for place in (folder, images)
    )
    return float((-10 * np.log10(np.square(found - truth).mean(axis=(1, 2, 3)))).mean())


@pytest.mark.parametrize("arch", ["light", "upconv"])
@pytest.mark.parametrize("layers", [["relu2_1"], ["relu1_1", "relu2_1"], ["relu2_1", "relu1_1"]])
def test_shapes_for_any_taps_and_any_image_size(arch: str, layers: list[str], encoder: Encoder) -> None:
    shapes = {"relu1_1": (64, 32, 32), "relu2_1": (128, 16, 16)}
    network = Decoder(arch, 8, [Tap(layer, shapes[layer]) for layer in layers], 32).eval()
    for size in ((32, 32), (45, 71)):
        found = encoder(torch.rand(2, 3, *size))
        image = network([found[layer] for layer in layers], size)
        assert image.shape == (2, 3, *size)
        assert 0 <= float(image.min()) <= float(image.max()) <= 1


def test_the_architectures_are_those_of_their_sources() -> None:
    kinds = {
        arch: [type(module).__name__ for module in Decoder(arch, 8, [Tap("x", (64, 8, 8))], 32).ups.modules()]
        for arch in ("light", "upconv")
    }
    assert kinds["light"].count("ConvTranspose2d") == kinds["light"].count("BatchNorm2d") == 2
    assert kinds["light"].count("ReLU") == 2
    assert kinds["upconv"].count("ConvTranspose2d") == kinds["upconv"].count("LeakyReLU") == 2
    assert "BatchNorm2d" not in kinds["upconv"]


def test_whitening_makes_channels_uncorrelated() -> None:
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(5, 5, generator=generator, dtype=torch.float32)
    values = torch.einsum("ij,njhw->nihw", mix, torch.randn(64, 5, 8, 8, generator=generator)) + 3
    whitening = Whitening(5)
    whitening.fit(iter(values.split(10)))
    white = whitening(values).movedim(1, -1).reshape(-1, 5)
    torch.testing.assert_close(torch.cov(white.T), torch.eye(5), atol=1e-3, rtol=0)
    torch.testing.assert_close(white.mean(0), torch.zeros(5), atol=1e-3, rtol=0)


def test_total_variation_of_known_pictures() -> None:
    assert float(total_variation(torch.full((1, 3, 4, 4), 0.3))) == 0
    stripes = torch.tensor([0.0, 1.0, 0.0, 1.0]).expand(1, 3, 4, 4)
    assert float(total_variation(stripes)) == pytest.approx(1.0)


@pytest.mark.parametrize("arch", ["light", "upconv"])
def test_training_beats_one_colour_and_gives_the_same_bytes_twice(arch: str, store, images, tmp_path) -> None:
    mine = row(arch=arch, training={**TRAINING, "epochs": 15})
    models = [trained(store, images, tmp_path / name, mine) for name in ("a", "b")]
    for name in ("model.safetensors", "card.json", "curves.csv"):
        assert (models[0] / name).read_bytes() == (models[1] / name).read_bytes()
    decoder.reconstruct(models[0], [store / "relu2_1"], images, tmp_path / "out", 4)
    assert shards.Table(tmp_path / "out", "test").keys == shards.Table(images, "test").keys
    truth = np.stack([np.asarray(decoder.images.decode(data)) for _, data, _ in shards.read(images, "test")]) / 255
    one_colour = np.square(truth - truth.mean(axis=(1, 2), keepdims=True)).mean(axis=(1, 2, 3))
    assert psnr_of(tmp_path / "out", images) > float((-10 * np.log10(one_colour)).mean()) + 1


@pytest.mark.parametrize("perceptual", [0.0, 0.1])
def test_training_without_stored_features_comes_to_the_same(
    perceptual: float, store, images, encoder, tmp_path
) -> None:
    mine = row(loss=dict(pixel=1.0, perceptual=perceptual, total_variation=0.0))
    plain = dict(
        arch="vgg11", weights="random", sha256=None, seed=0, dataset="mine", layers=LAYERS, dtype="float16", batch=8
    )
    alone = EncoderRow.model_validate({**plain, "store": False})
    about = {"arch": "vgg11", "weights": "abc", "weights_origin": "random, seed 0"}
    features.extract(encoder, alone, "vgg11", about, images, tmp_path / "alone")
    for name, folder, needed in (
        ("stored", store, encoder if perceptual else None),
        ("alone", tmp_path / "alone", encoder),
    ):
        model = trained(folder, images, tmp_path / name, mine, needed)
        decoder.reconstruct(model, [folder / "relu2_1"], images, tmp_path / name / "out", 4, encoder)
    stored, computed = (shards.read(tmp_path / name / "out", "test") for name in ("stored", "alone"))
    for (_, one, _), (_, other, _) in zip(stored, computed, strict=True):
        both = [np.asarray(decoder.images.decode(data)).astype(int) for data in (one, other)]
        assert np.abs(both[0] - both[1]).max() <= 2
    curves = [(tmp_path / name / "model/curves.csv").read_text().splitlines() for name in ("stored", "alone")]
    for one, other in zip(*curves, strict=True):
        if one[0].isdigit():
            numbers = [np.array(line.split(","), dtype=float) for line in (one, other)]
            np.testing.assert_allclose(numbers[0], numbers[1], rtol=0.02)


def test_the_card_says_what_is_needed_to_use_the_model(store: Path, images: Path, tmp_path: Path) -> None:
    folder = trained(store, images, tmp_path, row())
    network, card = decoder.load(folder)
    assert card["taps"] == [{"layer": "relu2_1", "shape": [128, 16, 16]}]
    assert (card["encoder"], card["encoder_arch"], card["weights_origin"]) == ("vgg11", "vgg11", "random, seed 0")
    assert card["parameters"] == sum(parameter.numel() for parameter in network.parameters())
    assert not (tmp_path / "state/checkpoint.pt").exists()


def test_skips_and_extra_losses_train(store: Path, images: Path, encoder: Encoder, tmp_path: Path) -> None:
    loss = dict(pixel=1.0, perceptual=0.1, total_variation=0.01)
    mine = row(layers=["relu1_1", "relu2_1"], features="vgg11", loss=loss)
    folder = trained(store, images, tmp_path, mine, encoder)
    header, *lines = (folder / "curves.csv").read_text().splitlines()
    columns = {name: [float(line.split(",")[place]) for line in lines] for place, name in enumerate(header.split(","))}
    for name in ("train_mse", "train_perceptual"):
        assert columns[name][-1] < columns[name][0]
    assert columns["train_total_variation"][-1] > 0


def test_what_does_not_fit_is_named(store: Path, images: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="features should be 'vgg11/relu2_1'"):
        row(features="vgg11/relu1_1")
    with pytest.raises(ParamsError, match="decoders.mine.dataset: 'other', but the features of vgg11 are of 'mine'"):
        trained(store, images, tmp_path, row(dataset="other"))
    folder = trained(store, images, tmp_path, row())
    with pytest.raises(ShardError, match=r"relu2_1: features of \[64, 32, 32\] from other weights than"):
        decoder.reconstruct(folder, [store / "relu1_1"], images, tmp_path / "out", 4)
    with pytest.raises(WeightsError, match="no trained model"):
        decoder.load(tmp_path / "nothing")
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, "width": 4}))
    with pytest.raises(WeightsError, match="has shape"):
        decoder.load(folder)
