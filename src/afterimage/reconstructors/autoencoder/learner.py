"""Training of autoencoders on pairs of bad frames and images.

Frames are degraded anew in every epoch by the levels that a row names. A row without levels is trained clean to clean:
input and target are the same image after the same filters, a task that the identity solves without error, kept so that
its numbers can be seen beside that.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from afterimage.core import images, shards
from afterimage.core.compute import sqrt
from afterimage.core.errors import ParamsError
from afterimage.core.images import Uint8
from afterimage.core.randomness import generator
from afterimage.observations.frames.filters import FilterName, filtered, fitted
from afterimage.observations.frames.store import Level, Stored
from afterimage.reconstructors.autoencoder.network import Restorer
from afterimage.reconstructors.autoencoder.row import AutoencoderRow
from afterimage.training.loop import Batch, Learner, Positions, Update, adam

CHARBONNIER = 1e-3
MOST_KEPT = 1 << 30
"""Bytes of filtered images that training keeps in memory."""


class Pairs:
    """Pairs for training: `inputs` `[N, 3, h, w]` and `images` `[N, 3, H, W]`, float32 in [0, 1].

    Args:
        levels: those to draw from; none: the seed's protocol.
        split: `train` degrades anew in every epoch, or takes the inputs of pairs where a level has no steps; `val`
            takes each image through each level as it is stored.
    """

    def __init__(self, row: AutoencoderRow, levels: Sequence[Level], shards_dir: Path, split: str):
        self.row, self.levels, self.split = row, levels, split
        self.table = shards.Table(shards_dir, split)
        self.size: int = self.table.index["size"]
        self.kept: dict[int, Uint8] = {}
        self.stored = {
            level.name: level.inputs(shards_dir, split) if split == "train" else level.stored(split) for level in levels
        }
        self.copies = 1 if split == "train" else max(1, len(levels))

    def __len__(self) -> int:
        return len(self.table) * self.copies

    def __getitems__(self, positions: Positions) -> Batch:
        pairs = [self._pair(epoch, position) for epoch, position in positions]
        inputs, targets = (np.stack(part) for part in zip(*pairs, strict=True))
        return {"inputs": images.to_tensor(inputs), "images": images.to_tensor(targets)}

    def _pair(self, epoch: int, position: int) -> tuple[Uint8, Uint8]:
        position, copy = divmod(position, self.copies)
        key = self.table.keys[position]
        target = self._target(position)
        level = self.levels[copy] if self.levels else None
        mirrored = False
        if self.split == "train":
            random = generator(self.row.training.seed, key, epoch)
            mirrored = self.row.flips and random.random() < 0.5
            if self.levels:
                level = self.levels[int(random.integers(len(self.levels)))]
        if mirrored:
            target = target[:, ::-1]
        if level is None:
            return prepared(target, self.size // self.row.factor, ()), target
        stored = self.stored[level.name]
        if stored is None:
            frame = level.fresh(target, key, epoch)
        else:
            frame = stored.image(position)[:, ::-1] if mirrored else stored.image(position)
        return prepared(frame, self.size // self.row.factor, self.row.filters), target

    def _target(self, position: int) -> Uint8:
        """The image that should come out. Under the seed's protocol it is filtered, which takes longer than training
        on it, so what was filtered is kept as long as there is room."""
        if position in self.kept:
            return self.kept[position]
        target = np.asarray(images.decode(self.table.bytes(position)))
        if self.levels:
            return target
        target = filtered(target, self.row.filters)
        if len(self.kept) * target.nbytes < MOST_KEPT:
            self.kept[position] = target
        return target


def prepared(frame: Uint8, side: int, filters: Sequence[FilterName]) -> Uint8:
    """What the network gets of a frame: bicubic to `side` x `side` px, then the filters."""
    return filtered(fitted(frame, (side, side)), filters)


def network(settings: Mapping[str, Any], size: int) -> Restorer:
    """The network of a row, not yet trained; `size` is that of the training images."""
    factor = settings["factor"]
    return Restorer(settings["arch"], settings["width"], settings["fold"], factor, size // factor)


class AutoencoderLearner(Learner):
    """Trains a network on pairs of degraded and clean images."""

    monitor = "log_mse"

    def __init__(self, row: AutoencoderRow, stored: Stored):
        """Raises:
        ParamsError: the row's factor does not divide the images' size.
        ShardError: there is no such level.
        """
        if stored.size % row.factor:
            raise ParamsError(f"factor: {row.factor} does not divide the {stored.size} px of {row.dataset}")
        levels = stored.some(row.levels)
        self.train, self.validation = (Pairs(row, levels, stored.shards_dir, split) for split in ("train", "val"))
        with torch.random.fork_rng():
            torch.manual_seed(row.training.seed)
            self.network = network(row.model_dump(), stored.size)
        self.loss, self.model, self.words = row.loss, self.network, row.arch
        self.networks = nn.ModuleDict({"restorer": self.network.to(memory_format=torch.channels_last)})
        self.optimizers = {"restorer": adam(self.network, row.training)}

    def step(self, batch: Batch, update: Update) -> dict[str, Tensor]:
        loss = LOSSES[self.loss](self._through(batch), batch["images"])
        update(loss, self.optimizers["restorer"])
        return {self.loss: loss}

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        image = self._through(batch).clamp(0, 1)
        mse = (image - batch["images"]).square().flatten(1).mean(1)
        log_mse = torch.log10(mse.clamp_min(1e-10))
        # Decides which state is best, since PSNR is what is reported; the mean error itself is that of a few images
        return {"mse": mse, "log_mse": log_mse, "psnr": -10 * log_mse}

    def _through(self, batch: Batch) -> Tensor:
        return self.network(batch["inputs"].contiguous(memory_format=torch.channels_last))


def charbonnier(found: Tensor, wanted: Tensor) -> Tensor:
    """A smooth L1 (Lai et al., "Deep Laplacian Pyramid Networks", CVPR 2017, section 3.3)."""
    return sqrt((found - wanted).square() + CHARBONNIER**2).mean()


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"mse": F.mse_loss, "l1": F.l1_loss, "charbonnier": charbonnier}
