"""Training decoders on pairs of features and images."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from afterimage.core import devices
from afterimage.core.images import to_tensor
from afterimage.observations.features.linear import Whitening
from afterimage.observations.features.store import FeaturePairs, Stored, fitting
from afterimage.reconstructors.decoder.network import FITTED_POSITIONS, Decoder, taps
from afterimage.reconstructors.decoder.row import DecoderRow
from afterimage.training.adversarial import logistic, patches
from afterimage.training.loop import Batch, Learner, Update, adam
from afterimage.training.processes import mean

FITTED_SAMPLES = 512
FITTED_TOGETHER = 32
LEAST = 1e-5
"""A mean squared error, 50 dB: less is not worth the room that a network has."""


class DecoderLearner(Learner):
    """Trains a decoder on pairs of features and images."""

    def __init__(self, row: DecoderRow, stored: Stored):
        self.monitor = "log_mse" if row.loss.log_mse else "mse"
        self.row, self.layers = row, stored.layers
        pairs = {split: stored.pairs(split) for split in ("train", "val")}
        self.train: FeaturePairs = pairs["train"]
        self.validation = pairs["val"]
        self.observe = pairs["train"].observe
        self.dtypes = ["float32" if index["dtype"] == "uint8" else index["dtype"] for index in stored.indices]
        looks = row.loss.perceptual or row.mosaic
        self.encoder = stored.encoder().to(devices.choose(row.training.device)) if looks else None
        read = taps(stored.indices)
        self.shapes = [tap.shape for tap in read]
        with torch.random.fork_rng():
            torch.manual_seed(row.training.seed)
            self.decoder = Decoder(row.arch, row.width, read, stored.size, row.linear)
            self._fit()
            self.judge = patches(3, stored.size, row.width) if row.loss.adversarial else None
        self.model = self.decoder
        self.words = row.arch
        self.networks = nn.ModuleDict({"decoder": self.decoder.to(memory_format=torch.channels_last)})
        if self.judge is not None:
            self.networks["judge"] = self.judge
        self.optimizers = {name: adam(network, row.training) for name, network in self.networks.items()}

    def step(self, batch: Batch, update: Update) -> dict[str, Tensor]:
        target: Tensor = batch["images"]
        if self.row.mosaic and float(torch.rand(())) < self.row.mosaic:
            target = mosaics(target)
            features = self._seen(target)
        else:
            features = self.observe(batch)
        image = self.decoder(features, target.shape[-2:])
        each = (image - target).square().flatten(1).mean(1)
        losses = {"mse": each.mean()}
        total = self.row.loss.pixel * losses["mse"] + self.row.loss.log_mse * torch.log10(each + LEAST).mean()
        if self.row.loss.perceptual:
            losses["perceptual"] = self._perceptual(image, features)
            total = total + self.row.loss.perceptual * losses["perceptual"]
        if self.judge is not None:
            losses |= self._judged(image.detach(), target, update)
            self.judge.requires_grad_(False)
            losses["adversarial"] = logistic(self.judge(image), real=True)
            total = total + self.row.loss.adversarial * losses["adversarial"]
        if self.row.loss.total_variation:
            losses["total_variation"] = total_variation(image)
            total = total + self.row.loss.total_variation * losses["total_variation"]
        update(total, self.optimizers["decoder"])
        return losses

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        target: Tensor = batch["images"]
        image = self.decoder(self.observe(batch), target.shape[-2:])
        mse = (image - target).square().flatten(1).mean(1)
        return {"mse": mse, "log_mse": torch.log10(mse + LEAST), "psnr": -10 * torch.log10(mse.clamp_min(1e-10))}

    def _judged(self, image: Tensor, target: Tensor, update: Update) -> dict[str, Tensor]:
        """A step of the network that judges."""
        assert self.judge is not None
        self.judge.requires_grad_(True)
        loss = (logistic(self.judge(target), real=True) + logistic(self.judge(image), real=False)) / 2
        update(loss, self.optimizers["judge"])
        return {"judge": loss}

    def _fit(self) -> None:
        """Fit what is not trained: the whitening, then the linear answer on top of it."""
        count = min(len(self.train), FITTED_SAMPLES)
        chosen = np.linspace(0, len(self.train) - 1, count).astype(int).tolist()
        batches = [chosen[start : start + FITTED_TOGETHER] for start in range(0, count, FITTED_TOGETHER)]
        computed = [self._seen(mosaics(self._images(batch))) for batch in batches] if self.row.mosaic else []
        for place, whitening in enumerate(self.decoder.whitenings):
            assert isinstance(whitening, Whitening)
            stored = (self.train.layer(place, batch) for batch in batches)
            whitening.fit(itertools.chain(stored, (features[place] for features in computed)))
        if self.decoder.linear is None:
            return
        finest = self.decoder.order[-1]
        white = self.decoder.whitenings[finest]
        pairs = ((white(self.train.layer(finest, batch)), self._images(batch)) for batch in batches)
        positions = count * math.prod(self.shapes[finest][1:])
        with torch.no_grad():
            self.decoder.linear.fit(pairs, every=math.ceil(positions / FITTED_POSITIONS))

    def _images(self, positions: Sequence[int]) -> Tensor:
        return to_tensor(self.train.pixels(positions))

    def _seen(self, image: Tensor) -> list[Tensor]:
        """The features of images as they would have been stored; a defence draws its noise anew."""
        assert self.encoder is not None
        keys = [str(number) for number in torch.randint(2**62, (len(image),)).tolist()]
        with torch.no_grad(), torch.autocast(image.device.type, enabled=False):
            found = self.encoder.to(image.device)(image, keys)
        pairs = zip(self.layers, self.dtypes, strict=True)
        return [fitting(layer, found[layer], dtype) for layer, dtype in pairs]

    def _perceptual(self, image: Tensor, features: Sequence[Tensor]) -> Tensor:
        assert self.encoder is not None
        seen = self.encoder.to(image.device)(image)
        terms = []
        for layer, wanted in zip(self.layers, features, strict=True):
            wanted = wanted.float()
            terms.append(F.mse_loss(seen[layer].float(), wanted) / mean(wanted.square()).clamp_min(1e-12))
        return torch.stack(terms).mean()


def total_variation(image: Tensor) -> Tensor:
    """Mean absolute difference of neighbours, down and across (Rudin, Osher and Fatemi 1992, anisotropic)."""
    down = (image[..., 1:, :] - image[..., :-1, :]).abs().mean()
    across = (image[..., :, 1:] - image[..., :, :-1]).abs().mean()
    return down + across


def mosaics(images: Tensor) -> Tensor:
    """Images of twice the side `[M, 3, 2H, 2W]`, each of four of `[N, 3, H, W]`; fewer than four are mirrored to that
    many, and what is left of more is not used."""
    count, channels, height, width = images.shape
    if count < 4:
        images = torch.cat([images, images.flip(3), images.flip(2), images.flip((2, 3))])
        count *= 4
    fours = images[: count // 4 * 4].reshape(-1, 2, 2, channels, height, width)
    return fours.permute(0, 3, 1, 4, 2, 5).reshape(-1, channels, 2 * height, 2 * width)
