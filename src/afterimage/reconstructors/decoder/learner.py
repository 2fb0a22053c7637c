"""Training decoders on pairs of features and images."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from afterimage.core import devices
from afterimage.observations.features.store import FeaturePairs, Stored
from afterimage.reconstructors.decoder.network import Decoder, Whitening, taps
from afterimage.reconstructors.decoder.row import DecoderRow
from afterimage.training.loop import Batch, Learner, Update, adam

WHITENING_SAMPLES = 512


class DecoderLearner(Learner):
    """Trains a decoder on pairs of features and images."""

    monitor = "mse"

    def __init__(self, row: DecoderRow, stored: Stored):
        self.row, self.layers = row, stored.layers
        pairs = {split: stored.pairs(split) for split in ("train", "val")}
        self.train, self.validation = pairs["train"], pairs["val"]
        self.observe = pairs["train"].observe
        self.encoder = stored.encoder().to(devices.choose(row.training.device)) if row.loss.perceptual else None
        with torch.random.fork_rng():
            torch.manual_seed(row.training.seed)
            self.decoder = Decoder(row.arch, row.width, taps(stored.indices), stored.size)
        _whiten(self.decoder, pairs["train"])
        self.model = self.decoder
        self.words = row.arch
        self.networks = nn.ModuleDict({"decoder": self.decoder.to(memory_format=torch.channels_last)})
        self.optimizers = {"decoder": adam(self.decoder, row.training)}

    def step(self, batch: Batch, update: Update) -> dict[str, Tensor]:
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

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        target: Tensor = batch["images"]
        image = self.decoder(self.observe(batch), target.shape[-2:])
        mse = (image - target).square().flatten(1).mean(1)
        return {"mse": mse, "psnr": -10 * torch.log10(mse.clamp_min(1e-10))}

    def _perceptual(self, image: Tensor, features: Sequence[Tensor]) -> Tensor:
        assert self.encoder is not None
        seen = self.encoder.to(image.device)(image)
        terms = []
        for layer, wanted in zip(self.layers, features, strict=True):
            wanted = wanted.float()
            terms.append(F.mse_loss(seen[layer].float(), wanted) / wanted.square().mean().clamp_min(1e-12))
        return torch.stack(terms).mean()


def total_variation(image: Tensor) -> Tensor:
    """Mean absolute difference of neighbours, down and across (Rudin, Osher and Fatemi 1992, anisotropic)."""
    down = (image[..., 1:, :] - image[..., :-1, :]).abs().mean()
    across = (image[..., :, 1:] - image[..., :, :-1]).abs().mean()
    return down + across


def _whiten(decoder: Decoder, pairs: FeaturePairs) -> None:
    chosen = np.linspace(0, len(pairs) - 1, min(len(pairs), WHITENING_SAMPLES)).astype(int).tolist()
    for place, whitening in enumerate(decoder.whitenings):

        def batches(place: int = place) -> Iterator[Tensor]:
            for start in range(0, len(chosen), 32):
                yield pairs.layer(place, chosen[start : start + 32])

        assert isinstance(whitening, Whitening)
        whitening.fit(batches())
