"""Learned decoders: from the features of one or more layers back to the image.

`light` is a stack of transposed convolutions with batch norm and ReLU; `upconv` is the up-convolution network of
Dosovitskiy and Brox, "Inverting Visual Representations with Convolutional Networks" (CVPR 2016), section 3. Both
take several layers at once: the coarsest starts, and each finer one joins where the picture has grown to its size.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from afterimage import devices, images, outputs, shards, training, weights
from afterimage.errors import ParamsError, ShardError, WeightsError
from afterimage.observations.encoders import Encoder
from afterimage.observations.features import FeaturePairs
from afterimage.params import Row

FAMILY = "decoders"
EIGENVALUE_FLOOR = 1e-5
"""Of the largest: what varies less than this drowns in the rounding of float16 features."""
WHITENING_SAMPLES = 512
WIDEST = 128


class LossRow(Row):
    """The weights of the loss terms."""

    pixel: float = Field(ge=0)
    """Mean squared error of the image."""
    perceptual: float = Field(ge=0)
    """Mean squared error of the encoder's own features of the image, relative to their mean square."""
    total_variation: float = Field(ge=0)
    """Mean absolute difference of neighbouring pixels."""


class DecoderRow(Row):
    """A row of `decoders`: which layers are decoded, and by what."""

    dataset: str
    encoder: str
    layers: list[str] = Field(min_length=1)
    features: str
    """The part of the feature store that the row depends on: `<encoder>/<layer>`, or `<encoder>` for several layers."""
    arch: Literal["light", "upconv"]
    width: int = Field(gt=0)
    """Channels at the image's size; each halving of the size doubles them, up to 128."""
    loss: LossRow
    training: training.TrainingRow

    @model_validator(mode="after")
    def _depends_on_what_it_reads(self) -> Self:
        expected = f"{self.encoder}/{self.layers[0]}" if len(self.layers) == 1 else self.encoder
        if self.features != expected:
            raise ValueError(f"features should be {expected!r} for these layers, found {self.features!r}")
        return self


class Tap(NamedTuple):
    """A layer that a decoder reads, and the shape of its features."""

    layer: str
    shape: tuple[int, int, int]


class Whitening(nn.Module):
    """A fixed linear map that makes feature channels uncorrelated and of unit variance (PCA whitening).

    Deep features of an untrained network vary almost only along a few directions; the picture's detail is in the
    others, where gradient descent would find it a thousand times more slowly.
    """

    mean: Tensor
    matrix: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("matrix", torch.eye(channels).view(channels, channels, 1, 1))

    def fit(self, batches: Iterator[Tensor]) -> None:
        """Take mean and covariance from batches of features `[N, C, h, w]`."""
        channels = self.mean.shape[1]
        count, total = 0, torch.zeros(channels, dtype=torch.float64)
        products = torch.zeros(channels, channels, dtype=torch.float64)
        for batch in batches:
            vectors = batch.float().movedim(1, -1).reshape(-1, channels)
            count += len(vectors)
            total += vectors.double().sum(0)
            products += (vectors.T @ vectors).double()
        mean = total / count
        values, vectors = torch.linalg.eigh(products / count - torch.outer(mean, mean))
        floor = max(float(values[-1]) * EIGENVALUE_FLOOR, 1e-12)
        matrix = (vectors / values.clamp_min(floor).sqrt()).flip(1).T
        self.mean.copy_(mean.view_as(self.mean))
        self.matrix.copy_(matrix.reshape(self.matrix.shape))

    def forward(self, features: Tensor) -> Tensor:
        return F.conv2d(features.float() - self.mean, self.matrix)


class Decoder(nn.Module):
    """From features to images in [0, 1].

    Args:
        taps: the layers and the shapes `(C, h, w)` of their features for training images.
        size: side of a training image in px.
    """

    def __init__(self, arch: str, width: int, taps: Sequence[Tap], size: int):
        super().__init__()
        self.order = sorted(range(len(taps)), key=lambda place: taps[place].shape[1])  # coarsest first
        self.whitenings = nn.ModuleList(Whitening(tap.shape[0]) for tap in taps)
        levels = [max(0, round(math.log2(size / tap.shape[1]))) for tap in taps]
        start = levels[self.order[0]]

        def channels(level: int) -> int:
            return min(width * 2**level, WIDEST)

        grow = _light_grow if arch == "light" else _upconv_grow
        stay = _light_stay if arch == "light" else _upconv_stay
        self.entries = nn.ModuleDict()
        self.ups = nn.ModuleDict()
        carried = 0
        self.joins: dict[int, list[int]] = {}
        for level in range(start, -1, -1):
            joined = [place for place in self.order if levels[place] == level]
            self.joins[level] = joined
            carried += sum(taps[place].shape[0] for place in joined)
            # `light` goes straight up from the features, as the original does; it stays only where it cannot go up
            if joined and (arch == "upconv" or level == 0):
                self.entries[str(level)] = stay(carried, channels(level))
                carried = channels(level)
            if level:
                self.ups[str(level)] = grow(carried, channels(level - 1))
                carried = channels(level - 1)
        self.last = nn.Conv2d(carried, 3, 3, padding=1)
        self.start = start

    def forward(self, features: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Images `[N, 3, H, W]` of `size` (H, W) from features `[N, C, h, w]` in the order of the taps."""
        x: Tensor | None = None
        for level in range(self.start, -1, -1):
            for place in self.joins[level]:
                white = self.whitenings[place](features[place]).contiguous(memory_format=torch.channels_last)
                if x is not None and x.shape[-2:] != white.shape[-2:]:  # sides that no power of two divides
                    x = F.interpolate(x, size=white.shape[-2:], mode="bilinear", align_corners=False)
                x = white if x is None else torch.cat([x, white], dim=1)
            if str(level) in self.entries:
                x = self.entries[str(level)](x)
            if str(level) in self.ups:
                x = self.ups[str(level)](x)
        assert x is not None
        image = self.last(x)
        if image.shape[-2:] != size:
            image = F.interpolate(image, size=size, mode="bilinear", align_corners=False)
        return torch.sigmoid(image.float())


def _light_grow(inside: int, outside: int) -> nn.Module:
    return nn.Sequential(nn.ConvTranspose2d(inside, outside, 4, 2, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU())


def _light_stay(inside: int, outside: int) -> nn.Module:
    return nn.Sequential(nn.ConvTranspose2d(inside, outside, 3, 1, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU())


def _upconv_grow(inside: int, outside: int) -> nn.Module:
    # Unpooling with zeros and a 5 x 5 convolution, as in the paper, is one transposed convolution of stride 2
    return nn.Sequential(nn.ConvTranspose2d(inside, outside, 5, 2, 2, output_padding=1), nn.LeakyReLU(0.2))


def _upconv_stay(inside: int, outside: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inside, outside, 3, padding=1), nn.LeakyReLU(0.2))


Observe = Callable[[training.Batch], Sequence[Tensor]]
"""Gives the features of a batch."""


class DecoderLearner(training.Learner):
    """Trains a decoder on pairs of features and images.

    Args:
        encoder: needed for the perceptual loss alone; it gives the features of the row's layers, in their order.
        observe: gives the features of a batch; None: they are in it.
    """

    monitor = "mse"

    def __init__(self, decoder: Decoder, row: DecoderRow, encoder: Encoder | None, observe: Observe | None = None):
        self.decoder, self.row, self.encoder = decoder, row, encoder
        self.observe = observe or (lambda batch: batch["features"])
        self.networks = nn.ModuleDict({"decoder": decoder.to(memory_format=torch.channels_last)})
        self.optimizers = {
            "decoder": torch.optim.Adam(
                decoder.parameters(), lr=row.training.learning_rate, weight_decay=row.training.weight_decay
            )
        }

    def step(self, batch: training.Batch, update: training.Update) -> dict[str, Tensor]:
        target: Tensor = batch["images"]
        features = self.observe(batch)
        image = self.decoder(features, target.shape[-2:])
        losses = {"mse": F.mse_loss(image, target)}
        total = self.row.loss.pixel * losses["mse"]
        if self.row.loss.perceptual:
            losses["perceptual"] = self._perceptual(image, features)
            total = total + self.row.loss.perceptual * losses["perceptual"]
        if self.row.loss.total_variation:
            losses["total_variation"] = total_variation(image)
            total = total + self.row.loss.total_variation * losses["total_variation"]
        update(total, self.optimizers["decoder"])
        return losses

    def validate(self, batch: training.Batch) -> dict[str, Tensor]:
        target: Tensor = batch["images"]
        image = self.decoder(self.observe(batch), target.shape[-2:])
        mse = (image - target).square().flatten(1).mean(1)
        return {"mse": mse, "psnr": -10 * torch.log10(mse.clamp_min(1e-10))}

    def _perceptual(self, image: Tensor, features: Sequence[Tensor]) -> Tensor:
        assert self.encoder is not None
        seen = self.encoder.to(image.device)(image)
        terms = []
        for layer, wanted in zip(self.row.layers, features, strict=True):
            wanted = wanted.float()
            terms.append(F.mse_loss(seen[layer].float(), wanted) / wanted.square().mean().clamp_min(1e-12))
        return torch.stack(terms).mean()


def total_variation(image: Tensor) -> Tensor:
    """Mean absolute difference of neighbours, down and across (Rudin, Osher and Fatemi 1992, anisotropic)."""
    down = (image[..., 1:, :] - image[..., :-1, :]).abs().mean()
    across = (image[..., :, 1:] - image[..., :, :-1]).abs().mean()
    return down + across


def train(
    name: str,
    row: DecoderRow,
    layers: Sequence[Path],
    shards_dir: Path,
    encoder: Encoder | None,
    out_dir: Path,
    state: Path,
) -> None:
    """Train a row's decoder and write its model folder: `model.safetensors`, `card.json`, `curves.csv`.

    Args:
        layers: feature folders of the row's layers, in its order.
        encoder: for the perceptual loss and for features that are not stored, else None.
        state: where training keeps what a restart needs.
    """
    if encoder is not None:
        encoder.to(devices.choose(row.training.device))
    pairs = {split: FeaturePairs(layers, shards_dir, split, encoder) for split in ("train", "val")}
    indices = [shards.load_index(folder) for folder in layers]
    size = shards.load_index(shards_dir)["size"]
    if (found := indices[0]["dataset"]) != row.dataset:
        raise ParamsError(
            f"decoders.{name}.dataset: {row.dataset!r}, but the features of {row.encoder} are of {found!r}"
        )
    taps = [Tap(layer, tuple(index["shape"])) for layer, index in zip(row.layers, indices, strict=True)]
    with torch.random.fork_rng():
        torch.manual_seed(row.training.seed)
        decoder = Decoder(row.arch, row.width, taps, size)
    _whiten(decoder, pairs["train"])
    learner = DecoderLearner(decoder, row, encoder, pairs["train"].observe)
    identity = {"name": name, "row": row.model_dump(), "features": indices, "size": size}
    curves = training.fit(learner, pairs["train"], pairs["val"], row.training, state, identity)
    card = {
        "family": FAMILY,
        "row": name,
        "arch": row.arch,
        "width": row.width,
        "encoder": row.encoder,
        "encoder_arch": indices[0]["arch"],
        "weights": indices[0]["weights"],
        "weights_origin": indices[0]["weights_origin"],
        "dataset": indices[0]["dataset"],
        "size": size,
        "taps": [{"layer": tap.layer, "shape": list(tap.shape)} for tap in taps],
        "parameters": sum(parameter.numel() for parameter in decoder.parameters()),
        "epochs": len(curves),
    }
    with outputs.folder(out_dir) as folder:
        weights.save(folder / "model.safetensors", decoder.state_dict(), {"row": name})
        outputs.write_json(folder / "card.json", card)
        training.write_curves(folder / "curves.csv", curves)
    training.forget(state)


def load(model_dir: Path) -> tuple[Decoder, dict[str, Any]]:
    """A trained decoder and its card.

    Raises:
        WeightsError: the folder is not there or not whole.
    """
    try:
        card = json.loads((model_dir / "card.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError(f"{model_dir}: no trained model; `dvc repro` trains it, `dvc pull` fetches it") from None
    except ValueError as error:
        raise WeightsError(f"{model_dir / 'card.json'}: damaged: {error}") from None
    taps = [Tap(tap["layer"], tuple(tap["shape"])) for tap in card["taps"]]
    decoder = Decoder(card["arch"], card["width"], taps, card["size"])
    path = model_dir / "model.safetensors"
    weights.fit(decoder, weights.load(path)[1], str(path))
    return decoder.eval().to(memory_format=torch.channels_last), card


def reconstruct(
    model_dir: Path,
    layers: Sequence[Path],
    shards_dir: Path,
    out_dir: Path,
    batch: int,
    encoder: Encoder | None = None,
) -> None:
    """Decode the test split's features and write the 8-bit images as shards.

    Args:
        encoder: for features that are not stored, else None.
    """
    decoder, card = load(model_dir)
    device = devices.choose("auto")
    decoder.to(device)
    pairs = FeaturePairs(layers, shards_dir, "test", encoder.to(device) if encoder else None)
    for tap, index in zip(card["taps"], map(shards.load_index, layers), strict=True):
        if index["shape"] != tap["shape"] or index["weights"] != card["weights"]:
            raise ShardError(
                f"{tap['layer']}: features of {index['shape']} from other weights than {model_dir} decodes"
            )
    size = (card["size"], card["size"])
    with outputs.folder(out_dir) as folder:
        path = folder / "test-000000.tar"
        with shards.writer(path) as put, torch.inference_mode():
            for start in range(0, len(pairs), batch):
                positions = range(start, min(start + batch, len(pairs)))
                features = [layer.to(device) for layer in pairs.features(positions)]
                for place, image in zip(positions, images.to_uint8(decoder(features, size)), strict=True):
                    put(f"{pairs.keys[place]}.png", images.encode_png(image))
        about = {"family": FAMILY, "row": card["row"], "dataset": card["dataset"], "size": card["size"]}
        shards.write_index(folder, about, {"test": [shards.describe(path)]})


def _whiten(decoder: Decoder, pairs: FeaturePairs) -> None:
    chosen = np.linspace(0, len(pairs) - 1, min(len(pairs), WHITENING_SAMPLES)).astype(int).tolist()
    for place, whitening in enumerate(decoder.whitenings):

        def batches(place: int = place) -> Iterator[Tensor]:
            for start in range(0, len(chosen), 32):
                yield pairs.layer(place, chosen[start : start + 32])

        assert isinstance(whitening, Whitening)
        whitening.fit(batches())
