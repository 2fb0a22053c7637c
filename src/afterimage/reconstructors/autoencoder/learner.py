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
from afterimage.reconstructors.autoencoder.network import Restorer, enlarged
from afterimage.reconstructors.autoencoder.row import AutoencoderRow
from afterimage.reconstructors.autoencoder.tone import SLIGHT, Blind
from afterimage.training.loop import Batch, Learner, Positions, Update, adam

CHARBONNIER = 1e-3
PARTS = ("inputs", "images", "scenes")
CROPS = 2
"""Of each image, where a row trains on crops."""
LEAST = 1e-5
"""A mean squared error, 50 dB: less is not worth the room that a network has."""
LIGHTING = 3.0
"""The weight of the light beside the errors of the images."""
TELLING = 1.0
"""The weight of the estimate of the damage beside the errors of the images."""
MOST_KEPT = 1 << 30
"""Bytes of filtered images that training keeps in memory."""


class Pairs:
    """Pairs for training: `inputs` `[N, 3, h, w]` and `images` `[N, 3, H, W]`, float32 in [0, 1].

    For rows that set the light of frames `scenes` are the images in the light of their frames, and `corners`
    `[N, CROPS, 2]` where the crops of the inputs begin.

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
        self.known = {name: stored for name, stored in self.stored.items() if stored is not None and split == "train"}
        self.copies = 1 if split == "train" else max(1, len(levels))

    def __len__(self) -> int:
        return len(self.table) * self.copies

    def __getitems__(self, positions: Positions) -> Batch:
        parts = zip(*(self._pair(epoch, position) for epoch, position in positions), strict=True)
        batch = {name: images.to_tensor(np.stack(part)) for name, part in zip(PARTS, parts, strict=False)}
        if self.row.crop:
            batch["corners"] = torch.tensor([self._corners(epoch, position) for epoch, position in positions])
        return batch

    def _corners(self, epoch: int, position: int) -> list[list[int]]:
        """Row and column where each crop of an input begins, at multiples of the row's `fold`."""
        random = generator(self.row.training.seed, self.table.keys[position // self.copies], epoch, "crops")
        side, fold = self.size // self.row.factor, self.row.fold
        last = (side - (self.row.crop or 0) // self.row.factor) // fold
        return [[fold * int(place) for place in random.integers(last + 1, size=2)] for _ in range(CROPS)]

    def _pair(self, epoch: int, position: int) -> tuple[Uint8, ...]:
        """Input and image, and the scene in the light of the input where the row sets that."""
        position, copy = divmod(position, self.copies)
        key = self.table.keys[position]
        target = self._target(position)
        level = self.levels[copy] if self.levels else None
        mirrored = False
        if self.split == "train":
            random = generator(self.row.training.seed, key, epoch)
            mirrored = self.row.flips and random.random() < 0.5
            if self.levels:
                level = self._level(position, random)
        if mirrored:
            target = target[:, ::-1]
        if level is None:
            return prepared(target, self.size // self.row.factor, ()), target
        stored = self.stored[level.name]
        if stored is None:
            frame = level.fresh(target, key, epoch)
        else:
            frame = stored.image(position)[:, ::-1] if mirrored else stored.image(position)
        found = prepared(frame, self.size // self.row.factor, self.row.filters), target
        return (*found, level.scene(target, key, epoch)) if self.row.tone else found

    def _level(self, position: int, random: np.random.Generator) -> Level:
        """By chance; but an image that a camera left its own frame of is shown with it, since such pairs are rare."""
        real = [level for level in self.levels if self._has_its_own(level.name, position)]
        chosen = real or self.levels
        return chosen[int(random.integers(len(chosen)))]

    def _has_its_own(self, level: str, position: int) -> bool:
        known = self.known.get(level)
        return known is not None and known.bytes(position) != self.table.bytes(position)

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


def network(settings: Mapping[str, Any], size: int) -> Restorer | Blind:
    """The network of a row, not yet trained; `size` is that of the training images."""
    factor = settings["factor"]
    shape = (settings["arch"], settings["width"], settings["fold"], factor, (settings["crop"] or size) // factor)
    blocks = settings["blocks"]
    return Blind(*shape, blocks=blocks) if settings["tone"] else Restorer(*shape, settings["output"], blocks=blocks)


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
        if row.crop and row.crop > stored.size:
            raise ParamsError(f"crop: {row.crop} px of images of {stored.size} px of {row.dataset}")
        self.train = Pairs(row, stored.some(row.levels), stored.shards_dir, "train")
        self.validation = Pairs(row, stored.some(list(dict.fromkeys(row.levels))), stored.shards_dir, "val")
        with torch.random.fork_rng():
            torch.manual_seed(row.training.seed)
            self.network = network(row.model_dump(), stored.size)
        self.row, self.model, self.words = row, self.network, f"{row.arch}, blind" if row.tone else row.arch
        self.networks = nn.ModuleDict({"restorer": self.network.to(memory_format=torch.channels_last)})
        self.optimizers = {"restorer": adam(self.network, row.training)}

    def step(self, batch: Batch, update: Update) -> dict[str, Tensor]:
        loss = LOSSES[self.row.loss]
        if isinstance(self.network, Blind):
            losses = self._apart(self.network, batch, loss)
        else:
            frames, wanted, _ = self._cropped(batch, "images")
            losses = {self.row.loss: loss(self._through(frames), wanted)}
        update(sum(losses.values(), torch.zeros(())), self.optimizers["restorer"])
        return losses

    def _apart(self, network: Blind, batch: Batch, loss: "Loss") -> dict[str, Tensor]:
        """What light is off by, and what the rest: the curve is to bring the scene, where neither noise nor blur is in
        the way, to the image; the other network is to bring the frame to the scene, both through that curve."""
        frames, scenes, pictures = batch["inputs"], batch["scenes"], batch["images"]
        light = network.tone(frames)
        some = np.s_[..., ::3, ::3]  # light is the same everywhere
        off = _each(light.toned(scenes[some]), pictures[some])
        crops, wanted, rows = self._cropped(batch, "scenes")
        seen = light.fixed().settled(frames[some]).of(rows)
        error = loss(network.restore(crops, seen), seen.toned(wanted))
        told = light.damage - torch.log10(_each(enlarged(frames, scenes), scenes) + LEAST)
        return {
            self.row.loss: error,
            "light": LIGHTING * torch.log10(off + SLIGHT).mean(),
            "damage": TELLING * told.square().mean(),
        }

    def _cropped(self, batch: Batch, name: str) -> tuple[Tensor, Tensor, Tensor]:
        """Crops of the frames and of what they should become, and the number of the frame that each is of; without
        `crop` the frames themselves."""
        every = torch.arange(len(batch["inputs"]), device=batch["inputs"].device)
        if not self.row.crop:
            return batch["inputs"], batch[name], every
        side, factor = self.row.crop // self.row.factor, self.row.factor
        frames, wanted = [], []
        for number, corners in enumerate(batch["corners"].tolist()):
            for y, x in corners:
                frames.append(batch["inputs"][number, :, y : y + side, x : x + side])
                inside = np.s_[:, factor * y : factor * (y + side), factor * x : factor * (x + side)]
                wanted.append(batch[name][number][inside])
        return torch.stack(frames), torch.stack(wanted), every.repeat_interleave(CROPS)

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        image = self._through(batch["inputs"]).clamp(0, 1)
        mse = _each(image, batch["images"])
        # Decides which state is best, since PSNR is what is reported; the mean error itself is that of a few images
        logarithm = torch.log10(mse.clamp_min(SLIGHT if self.row.tone else LEAST))
        return {"mse": mse, "log_mse": logarithm, "psnr": -10 * torch.log10(mse.clamp_min(LEAST))}

    def _through(self, frames: Tensor) -> Tensor:
        return self.network(frames.contiguous(memory_format=torch.channels_last))


def charbonnier(found: Tensor, wanted: Tensor) -> Tensor:
    """A smooth L1 (Lai et al., "Deep Laplacian Pyramid Networks", CVPR 2017, section 3.3)."""
    return sqrt((found - wanted).square() + CHARBONNIER**2).mean()


def log_mse(found: Tensor, wanted: Tensor) -> Tensor:
    """The mean of the logarithms of each image's mean squared error, as in "Simple Baselines for Image Restoration"."""
    return torch.log10(_each(found, wanted) + SLIGHT).mean()


def _each(found: Tensor, wanted: Tensor) -> Tensor:
    """The mean squared error `[N]` of each image."""
    return (found - wanted).square().flatten(1).mean(1)


Loss = Callable[[Tensor, Tensor], Tensor]
LOSSES: dict[str, Loss] = {"mse": F.mse_loss, "log_mse": log_mse, "l1": F.l1_loss, "charbonnier": charbonnier}
