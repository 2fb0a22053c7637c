"""Learned inpainting: pix2pix (Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", CVPR
2017) from images with holes to whole images, and what its parts are worth: each can be left out or replaced.
"""

import json
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from afterimage import devices, images, outputs, shards, training, weights
from afterimage.errors import ParamsError, WeightsError
from afterimage.observations.holes import HoledImages, HolesRow
from afterimage.params import Row
from afterimage.reconstructors.unet import Blocks, Discriminator, Generator

FAMILY = "inpainters"
BETAS = (0.5, 0.999)
"""Adam's, as in pix2pix."""
SHOWN = 6
"""Validation images whose fills are kept as training goes."""


class LossRow(Row):
    """The weights of the loss terms."""

    l1: float = Field(ge=0)
    """Mean absolute error; pix2pix has 100."""
    l2: float = Field(ge=0)
    """Mean squared error."""
    adversarial: float = Field(ge=0)
    """What the PatchGAN thinks of the whole images; 0: there is none."""
    hole: float = Field(gt=0)
    """What the error of a missing pixel counts, where that of a known one counts 1."""

    @model_validator(mode="after")
    def _has_a_target(self) -> Self:
        if not self.l1 and not self.l2:
            raise ValueError("l1 and l2 are both 0: nothing would tie a fill to its image")
        return self


class InpainterRow(Row):
    """A row of `inpainters`."""

    dataset: str
    holes: str
    """The row of `holes` that it is trained and tested on."""
    width: int = Field(gt=0)
    """Channels of both networks after the first halving of the image; they double up to 8 times as many."""
    blocks: Blocks
    start: Literal["grey", "smooth"]
    """What fills the hole before the network does: grey, or a smooth fill, which it then corrects."""
    loss: LossRow
    training: training.TrainingRow


class InpainterLearner(training.Learner):
    """Trains a generator, and a discriminator where the row has an adversarial part.

    Args:
        shown: a batch of validation images whose fills are kept now and then.
    """

    monitor = "hole_mse"

    def __init__(self, row: InpainterRow, size: int, shown: training.Batch):
        self.row, self.shown = row, shown
        with torch.random.fork_rng():
            torch.manual_seed(row.training.seed)
            self.generator = Generator(size, row.width, row.blocks, row.start == "smooth")
            self.discriminator = Discriminator(size, row.width) if row.loss.adversarial else None
        self.networks = nn.ModuleDict({"generator": self.generator})
        if self.discriminator is not None:
            self.networks["discriminator"] = self.discriminator
        self.optimizers = {
            name: torch.optim.Adam(
                network.parameters(),
                lr=row.training.learning_rate,
                betas=BETAS,
                weight_decay=row.training.weight_decay,
            )
            for name, network in self.networks.items()
        }

    def step(self, batch: training.Batch, update: training.Update) -> dict[str, Tensor]:
        target, masks = batch["images"], batch["masks"]
        guess = self.generator.guess(target, masks)
        pixels = self._pixels(guess, target, masks)
        losses = {name: value for name, value in pixels.items() if getattr(self.row.loss, name)}
        total = sum((getattr(self.row.loss, name) * value for name, value in losses.items()), torch.zeros(()))
        if self.discriminator is not None:
            filled = torch.where(masks > 0.5, guess, target)
            losses |= self._judge(filled.detach(), target, masks, update)
            self.discriminator.requires_grad_(False)
            losses["adversarial"] = _logistic(self.discriminator(filled, target, masks), real=True)
            total = total + self.row.loss.adversarial * losses["adversarial"]
        update(total, self.optimizers["generator"])
        return losses

    def validate(self, batch: training.Batch) -> dict[str, Tensor]:
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

    def _judge(self, filled: Tensor, target: Tensor, masks: Tensor, update: training.Update) -> dict[str, Tensor]:
        """A step of the discriminator, at half the rate of the generator as in pix2pix."""
        assert self.discriminator is not None
        self.discriminator.requires_grad_(True)
        real = _logistic(self.discriminator(target, target, masks), real=True)
        fake = _logistic(self.discriminator(filled, target, masks), real=False)
        update((real + fake) / 2, self.optimizers["discriminator"])
        return {"discriminator": (real + fake) / 2}

    def _pixels(self, guess: Tensor, target: Tensor, masks: Tensor) -> dict[str, Tensor]:
        counts = 1 + (self.row.loss.hole - 1) * masks
        share = counts / (counts.mean() * guess.shape[1] * masks.numel())
        difference = guess - target
        return {"l1": (difference.abs() * share).sum(), "l2": (difference.square() * share).sum()}


def _logistic(logits: Tensor, real: bool) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits.float(), torch.full_like(logits, float(real), dtype=torch.float32))


def train(
    name: str,
    row: InpainterRow,
    holes_row: HolesRow,
    shards_dir: Path,
    holes_dir: Path,
    out_dir: Path,
    state: Path,
) -> None:
    """Train a row and write its model folder: `model.safetensors` (the generator), `card.json`, `curves.csv`, and
    `samples/<epoch>.png`, the fills of some validation images side by side, with `originals.png` and `holes.png`.

    Args:
        holes_row: draws the holes of training images.
        holes_dir: the stored holes of validation images.
        state: where training keeps what a restart needs.

    Raises:
        ParamsError: the holes are of another data set.
    """
    if holes_row.dataset != row.dataset:
        raise ParamsError(
            f"inpainters.{name}.holes: `{row.holes}` are holes of {holes_row.dataset}, not of {row.dataset}"
        )
    samples = {split: HoledImages(shards_dir, split, holes_row, holes_dir) for split in ("train", "val")}
    index = shards.load_index(shards_dir)
    places = np.linspace(0, len(samples["val"]) - 1, min(len(samples["val"]), SHOWN)).astype(int).tolist()
    shown = samples["val"].__getitems__([(0, place) for place in places])
    learner = InpainterLearner(row, index["size"], shown)
    stored = shards.load_index(holes_dir)
    identity = {"name": name, "row": row.model_dump(), "holes": holes_row.model_dump(), "stored": stored}
    curves = training.fit(learner, samples["train"], samples["val"], row.training, state, identity)
    card = {
        "family": FAMILY,
        "row": name,
        "holes": row.holes,
        "dataset": row.dataset,
        "size": index["size"],
        "width": row.width,
        "blocks": row.blocks,
        "start": row.start,
        "loss": row.loss.model_dump(),
        "parameters": sum(parameter.numel() for parameter in learner.generator.parameters()),
        "epochs": len(curves),
    }
    with outputs.folder(out_dir) as folder:
        weights.save(folder / "model.safetensors", learner.generator.state_dict(), {"row": name})
        outputs.write_json(folder / "card.json", card)
        training.write_curves(folder / "curves.csv", curves)
        (folder / "samples").mkdir()
        target, masks = shown["images"], shown["masks"]
        pictures = {"originals": target, "holes": torch.where(masks > 0.5, 1.0, target)}
        strips = {name: images.to_uint8(batch) for name, batch in pictures.items()}
        strips |= {f"{epoch:04d}": fills.numpy() for epoch, fills in learner.kept.items()}
        for strip, pixels in strips.items():
            (folder / "samples" / f"{strip}.png").write_bytes(images.encode_png(np.concatenate(list(pixels), axis=1)))
    training.forget(state)


def load(model_dir: Path) -> tuple[Generator, dict[str, Any]]:
    """A trained generator and its card.

    Raises:
        WeightsError: the folder is not there or not whole.
    """
    try:
        card = json.loads((model_dir / "card.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError(f"{model_dir}: no trained model; `dvc repro` trains it, `dvc pull` fetches it") from None
    except ValueError as error:
        raise WeightsError(f"{model_dir / 'card.json'}: damaged: {error}") from None
    generator = Generator(card["size"], card["width"], card["blocks"], card["start"] == "smooth")
    path = model_dir / "model.safetensors"
    weights.fit(generator, weights.load(path)[1], str(path))
    return generator.eval(), card


def reconstruct(
    model_dir: Path, holes_row: HolesRow, shards_dir: Path, holes_dir: Path, out_dir: Path, batch: int
) -> None:
    """Fill the stored holes of the test images and write the 8-bit images as a shard."""
    generator, card = load(model_dir)
    device = devices.choose("auto")
    generator.to(device)
    samples = HoledImages(shards_dir, "test", holes_row, holes_dir)
    with outputs.folder(out_dir) as folder:
        path = folder / "test-000000.tar"
        with shards.writer(path) as put, torch.inference_mode():
            for start in range(0, len(samples), batch):
                places = range(start, min(start + batch, len(samples)))
                given = samples.__getitems__([(0, place) for place in places])
                filled = generator(given["images"].to(device), given["masks"].to(device))
                for place, image in zip(places, images.to_uint8(filled), strict=True):
                    put(f"{samples.keys[place]}.png", images.encode_png(image))
        about = {"family": FAMILY, "row": card["row"], "dataset": card["dataset"], "size": card["size"]}
        shards.write_index(folder, {**about, "holes": card["holes"]}, {"test": [shards.describe(path)]})
