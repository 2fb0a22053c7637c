"""Rows of `completers`: PixelRNN trained on images with holes."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from afterimage import outputs, randomness, shards, training, weights
from afterimage.errors import ParamsError, WeightsError
from afterimage.observations.holes import HoledImages, HolesRow
from afterimage.params import Row
from afterimage.reconstructors.pixelrnn import likelihoods
from afterimage.reconstructors.pixelrnn.network import PixelRnn

FAMILY = "completers"
NATS = math.log(2)
"""Of a bit."""


class TrunkRow(Row):
    """The trunk of a hybrid row."""

    width: int = Field(gt=0)
    """Channels at the image's size, and half of those below it."""
    rounds: int = Field(gt=0)
    """How often it goes through its dilations."""
    guess: float = Field(ge=0)
    """Weight of the squared error of its guess in the loss, white being 1."""


class CompleterRow(Row):
    """A row of `completers`: a network, and how it is trained and drawn from."""

    dataset: str
    holes: str
    """The row of `holes` whose masks it trains on and completes."""
    arch: Literal["pixelcnn", "gated", "row_lstm", "diagonal_bilstm"]
    width: int = Field(gt=0)
    """Channels of the features."""
    layers: int = Field(gt=0)
    """Layers after the first convolution."""
    kernel: Literal[3, 5, 7]
    """Side in px of what a layer sees."""
    head: int = Field(gt=0)
    """Channels between the last features and the likelihood's parameters."""
    residual: bool
    likelihood: Literal["softmax", "logistics", "mse"]
    components: int | None = Field(gt=0)
    """Logistics in the mixture; null for the other likelihoods."""
    trunk: TrunkRow | None
    """What sees the known pixels and the mask; null: unconditional, the earlier pixels are all that it knows."""
    dropout: float = Field(ge=0, lt=1)
    flip: bool
    """Whether training mirrors images and masks, each with an even chance."""
    whole: float = Field(ge=0, le=1)
    """Share of the training images of which all is missing."""
    samples: int = Field(ge=2)
    """Completions of each test image."""
    temperature: float = Field(ge=0)
    """Of the completions: 1 draws from what was learned, less keeps closer to its peaks."""
    training: training.TrainingRow

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.likelihood == "logistics") != (self.components is not None):
            raise ValueError(f"components is {self.components}: logistics needs a number, other likelihoods null")
        if self.likelihood != "logistics" and (self.width % 3 or self.head % 3):
            raise ValueError(f"width {self.width} and head {self.head} should be multiples of 3: a third a colour")
        if self.trunk is None and self.whole < 1:
            raise ValueError("whole should be 1 where there is no trunk: such a network does not know the mask")
        return self

    def network(self) -> PixelRnn:
        """The row's network, not yet trained."""
        return PixelRnn(
            self.arch,
            self.width,
            self.layers,
            self.kernel,
            self.head,
            self.residual,
            self.dropout,
            likelihoods.make(self.likelihood, self.components),
            (self.trunk.width, self.trunk.rounds) if self.trunk else None,
        )


class Occlusions(HoledImages):
    """Batches for training: mirrored and wholly missing by the row's chances; validation as it is stored."""

    def __init__(self, shards_dir: Path, split: str, row: CompleterRow, holes: HolesRow, stored: Path):
        super().__init__(shards_dir, split, holes, stored)
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


class CompleterLearner(training.Learner):
    """Trains a network on what is missing, given what is known and what came before."""

    monitor = "bits"

    def __init__(self, network: PixelRnn, row: CompleterRow):
        self.network, self.row = network, row
        self.networks = nn.ModuleDict({"completer": network})
        rate, decay = row.training.learning_rate, row.training.weight_decay
        self.optimizers = {"completer": torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=decay)}

    def step(self, batch: training.Batch, update: training.Update) -> dict[str, Tensor]:
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

    def validate(self, batch: training.Batch) -> dict[str, Tensor]:
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


def train(
    name: str, row: CompleterRow, holes: HolesRow, shards_dir: Path, stored: Path, out: Path, state: Path
) -> None:
    """Train a row's network and write its model folder: `model.safetensors`, `card.json`, `curves.csv`.

    Args:
        stored: the fixed masks of the validation images.
        state: where training keeps what a restart needs.

    Raises:
        ParamsError: the holes are of another data set.
    """
    if holes.dataset != row.dataset:
        raise ParamsError(
            f"completers.{name}.dataset: {row.dataset!r}, but the holes {row.holes} are of {holes.dataset!r}"
        )
    samples = {split: Occlusions(shards_dir, split, row, holes, stored) for split in ("train", "val")}
    indices = [shards.load_index(folder) for folder in (shards_dir, stored)]
    with torch.random.fork_rng():
        torch.manual_seed(row.training.seed)
        network = row.network()
    identity = {"name": name, "row": row.model_dump(), "holes": holes.model_dump(), "indices": indices}
    learner = CompleterLearner(network, row)
    curves = training.fit(learner, samples["train"], samples["val"], row.training, state, identity)
    card = {
        "family": FAMILY,
        "row": name,
        "trained": row.model_dump(),
        "size": indices[0]["size"],
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "epochs": len(curves),
    }
    with outputs.folder(out) as folder:
        weights.save(folder / "model.safetensors", network.state_dict(), {"row": name})
        outputs.write_json(folder / "card.json", card)
        training.write_curves(folder / "curves.csv", curves)
    training.forget(state)


def load(model_dir: Path) -> tuple[PixelRnn, dict[str, Any]]:
    """A trained network and its card.

    Raises:
        WeightsError: the folder is not there or not whole.
    """
    try:
        card = json.loads((model_dir / "card.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError(f"{model_dir}: no trained model; `dvc repro` trains it, `dvc pull` fetches it") from None
    except ValueError as error:
        raise WeightsError(f"{model_dir / 'card.json'}: damaged: {error}") from None
    network = CompleterRow.model_validate(card["trained"]).network()
    path = model_dir / "model.safetensors"
    weights.fit(network, weights.load(path)[1], str(path))
    return network.eval(), card
