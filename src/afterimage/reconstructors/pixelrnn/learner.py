"""Training of PixelRNN on images with holes."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from afterimage.core import randomness
from afterimage.observations.holes.store import HoledImages, Stored
from afterimage.reconstructors.pixelrnn.network import PixelRnn
from afterimage.reconstructors.pixelrnn.row import PixelRnnRow
from afterimage.training.loop import Batch, Learner, Update, adam

NATS = math.log(2)
"""Of a bit."""


class Occlusions(HoledImages):
    """Batches for training: mirrored and wholly missing by the row's chances; validation as it is stored."""

    def __init__(self, split: str, row: PixelRnnRow, stored: Stored):
        super().__init__(stored.shards_dir, split, stored.row, stored.folder)
        self.split, self.completer = split, row

    def __getitems__(self, positions: Sequence[tuple[int, int]]) -> dict[str, Tensor]:
        batch = super().__getitems__(positions)
        if self.split != "train":
            return batch
        for number, (epoch, position) in enumerate(positions):
            random = randomness.generator(self.completer.training.seed, "occlusion", self.keys[position], epoch)
            mirrored, whole = random.random(2)
            if self.completer.flip and mirrored < 0.5:
                for tensor in batch.values():
                    tensor[number] = tensor[number].flip(-1)
            if whole < self.completer.whole:
                batch["masks"][number] = 1
        return batch


class PixelRnnLearner(Learner):
    """Trains a network on what is missing, given what is known and what came before."""

    monitor = "bits"

    def __init__(self, row: PixelRnnRow, stored: Stored):
        self.row = row
        self.train, self.validation = (Occlusions(split, row, stored) for split in ("train", "val"))
        with torch.random.fork_rng():
            torch.manual_seed(row.training.seed)
            self.network = row.network()
        self.model = self.network
        self.words = f"{row.arch.replace('_', ' ')}, {row.likelihood}{', hybrid' if row.trunk else ''}"
        self.networks = nn.ModuleDict({"completer": self.network})
        self.optimizers = {"completer": adam(self.network, row.training)}

    def step(self, batch: Batch, update: Update) -> dict[str, Tensor]:
        pixels, masks = batch["images"], batch["masks"]
        evidence = self.network.evidence(pixels, masks)
        parameters = self.network(pixels, evidence)
        values = self.network.likelihood.loss(parameters.float(), levels_of(pixels))
        count = 3 * masks.sum((1, 2, 3))  # each image counts alike, however much of it is missing
        losses = {"loss": ((values * masks[:, 0]).sum((1, 2)) / count).mean()}
        total = losses["loss"]
        if evidence is not None and self.row.trunk is not None:
            error = ((evidence.guess.float() + 1) / 2 - pixels).square()
            losses["guess"] = ((error * masks).sum((1, 2, 3)) / count).mean()
            total = total + self.row.trunk.guess * losses["guess"]
        update(total, self.optimizers["completer"])
        return losses

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        return {"bits": bits(self.network, batch["images"], batch["masks"])}


def levels_of(pixels: Tensor) -> Tensor:
    """8-bit levels, as integers, of images in [0, 1]."""
    return pixels.mul(255).round().long()


def bits(network: PixelRnn, pixels: Tensor, masks: Tensor) -> Tensor:
    """Bits a channel of the missing pixels, `[N]`: what the network needs to say each, knowing the earlier ones.

    Args:
        pixels: `[N, 3, H, W]`, whole images in [0, 1].
        masks: `[N, 1, H, W]`, 1 = missing.
    """
    parameters = network(pixels, network.evidence(pixels, masks))
    nats = network.likelihood.nll(parameters.float(), levels_of(pixels)) * masks[:, 0]
    return nats.sum((1, 2)) / (3 * NATS * masks.sum((1, 2, 3)))
