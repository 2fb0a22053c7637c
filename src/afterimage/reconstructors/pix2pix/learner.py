"""Training of pix2pix, and of what is left of it when parts are left out or replaced."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from afterimage.core import images
from afterimage.core.compute import sqrt
from afterimage.observations.holes.store import Stored
from afterimage.reconstructors.pix2pix.row import Pix2PixRow
from afterimage.reconstructors.pix2pix.unet import Discriminator, Generator
from afterimage.training.adversarial import logistic
from afterimage.training.loop import Batch, Learner, Update, adam
from afterimage.training.processes import drawn, mean

BETAS = (0.5, 0.999)
"""Adam's, as in pix2pix."""
FAINTEST = 1 / 255
"""Errors below this count as squares do: at zero a root has no slope."""
SHOWN = 6
"""Validation images whose fills are kept as training goes."""


class Pix2PixLearner(Learner):
    """Trains a generator, and a discriminator where the row has an adversarial part."""

    monitor = "hole_mse"

    def __init__(self, row: Pix2PixRow, stored: Stored):
        self.row = row
        samples = {split: stored.images(split) for split in ("train", "val")}
        self.train, self.validation = samples["train"], samples["val"]
        places = np.linspace(0, len(samples["val"]) - 1, min(len(samples["val"]), SHOWN)).astype(int).tolist()
        self.shown = samples["val"].__getitems__([(0, place) for place in places])
        with torch.random.fork_rng():
            torch.manual_seed(row.training.seed)
            self.generator = generator(row.model_dump(), stored.size)
            seen = stored.size // row.reduce
            self.discriminator = Discriminator(seen, row.width) if row.loss.adversarial else None
        self.model, self.words = self.generator, _words(row)
        self.networks = nn.ModuleDict({"generator": self.generator})
        if self.discriminator is not None:
            self.networks["discriminator"] = self.discriminator
        self.optimizers = {name: adam(network, row.training, BETAS) for name, network in self.networks.items()}

    def step(self, batch: Batch, update: Update) -> dict[str, Tensor]:
        whole, masks = batch["images"], batch["masks"]
        if self.row.flip:
            chances = drawn(lambda count: torch.rand(count, device=whole.device), len(whole))
            mirrored = (chances < 0.5)[:, None, None, None]
            whole, masks = (torch.where(mirrored, each.flip(-1), each) for each in (whole, masks))
        known, masks = self.generator.reduced(whole, masks)
        target = F.avg_pool2d(whole, self.row.reduce)
        guess = self.generator.guess(known, masks)
        pixels = self._pixels(guess, target, masks)
        losses = {name: value for name, value in pixels.items() if getattr(self.row.loss, name)}
        total = sum((getattr(self.row.loss, name) * value for name, value in losses.items()), torch.zeros(()))
        if self.discriminator is not None:
            filled = torch.where(masks > 0.5, guess, target)
            losses |= self._judge(filled.detach(), target, masks, update)
            self.discriminator.requires_grad_(False)
            losses["adversarial"] = logistic(self.discriminator(filled, target, masks), real=True)
            total = total + self.row.loss.adversarial * losses["adversarial"]
        update(total, self.optimizers["generator"])
        return losses

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        target, masks = batch["images"], batch["masks"]
        error = (self.generator(target, masks) - target).square().mean(1, keepdim=True)
        mse = (error * masks).flatten(1).sum(1) / masks.flatten(1).sum(1)
        return {"hole_mse": mse, "hole_psnr": -10 * torch.log10(mse.clamp_min(1e-10))}

    def keep(self, epoch: int) -> Tensor | None:
        """The fills of the shown images, 8-bit `[N, H, W, 3]`, after epochs 1, 2, 4, 8 ... and the last."""
        if epoch & (epoch - 1) and epoch != self.row.training.epochs:
            return None
        device = next(self.generator.parameters()).device
        filled = self.generator(self.shown["images"].to(device), self.shown["masks"].to(device))
        return torch.from_numpy(images.to_uint8(filled))

    def _judge(self, filled: Tensor, target: Tensor, masks: Tensor, update: Update) -> dict[str, Tensor]:
        """A step of the discriminator, at half the rate of the generator as in pix2pix."""
        assert self.discriminator is not None
        self.discriminator.requires_grad_(True)
        real = logistic(self.discriminator(target, target, masks), real=True)
        fake = logistic(self.discriminator(filled, target, masks), real=False)
        update((real + fake) / 2, self.optimizers["discriminator"])
        return {"discriminator": (real + fake) / 2}

    def _pixels(self, guess: Tensor, target: Tensor, masks: Tensor) -> dict[str, Tensor]:
        counts = 1 + (self.row.loss.hole - 1) * masks
        share = counts / (mean(counts) * guess.shape[1] * masks.numel())
        difference = guess - target
        squares = difference.square()
        hole = (squares * masks).sum((1, 2, 3)) / (guess.shape[1] * masks.sum((1, 2, 3))).clamp_min(1)
        return {
            "l1": (difference.abs() * share).sum(),
            "l2": (squares * share).sum(),
            "rmse": sqrt(hole + FAINTEST**2).mean(),
        }

    def files(self) -> Mapping[str, bytes]:
        """The fills that were kept, `samples/<epoch>.png` with the images side by side, and what they are fills of."""
        target, masks = self.shown["images"], self.shown["masks"]
        pictures = {"originals": target, "holes": torch.where(masks > 0.5, 1.0, target)}
        strips = {name: images.to_uint8(batch) for name, batch in pictures.items()}
        strips |= {f"{epoch:04d}": fills.numpy() for epoch, fills in self.kept.items()}
        return {
            f"samples/{name}.png": images.encode_png(np.concatenate(list(pixels), axis=1))
            for name, pixels in strips.items()
        }


def generator(settings: Mapping[str, Any], size: int) -> Generator:
    """The generator of a row, not yet trained; `size` is that of the training images."""
    smooth = settings["start"] == "smooth"
    return Generator(size, settings["width"], settings["blocks"], smooth, settings["reduce"])


def _words(row: Pix2PixRow) -> str:
    """The objective and the network in a few words."""
    terms = {"adversarial": "adversarial", "l1": "L1", "l2": "L2", "rmse": "RMSE of the hole"}
    weights = {name: getattr(row.loss, name) for name in terms}
    words = " + ".join(f"{weights[name]:g} {word}".removeprefix("1 ") for name, word in terms.items() if weights[name])
    more = f", hole × {row.loss.hole:g}" if row.loss.hole != 1 else ""
    coarse = f", {row.reduce} times reduced" if row.reduce > 1 else ""
    return f"{words}{more}; {row.blocks}, {row.start} start{coarse}"
