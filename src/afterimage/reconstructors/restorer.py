"""Learned restoration: from a degraded frame to the image.

A row trains one of the networks of autoencoder.py on frames that are degraded anew in every epoch by the levels that
it names. A row without levels follows the seed's protocol instead: input and target are the same clean image after
the same filters, a task that the identity solves without error, kept so that its numbers can be seen beside that.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from afterimage import devices, images, outputs, shards, training, weights
from afterimage.errors import ParamsError, WeightsError
from afterimage.images import Uint8
from afterimage.observations.frames import Level
from afterimage.params import Row
from afterimage.randomness import generator
from afterimage.reconstructors import enhancement
from afterimage.reconstructors.autoencoder import Restorer

FAMILY = "restorers"
CHARBONNIER = 1e-3
MOST_KEPT = 1 << 30
"""Bytes of filtered images that training keeps in memory."""


class RestorerRow(Row):
    """A row of `restorers`: what it trains on, and what is trained."""

    dataset: str
    degradations: str
    """The row of `degradations` that it is measured on."""
    levels: list[str]
    """The levels that it trains on, each image on one of them by chance; none: the seed's protocol."""
    filters: list[enhancement.FilterName]
    """What an input goes through before the network (under the seed's protocol the target too)."""
    arch: Literal["lenet", "skip", "nafnet"]
    width: int = Field(gt=0)
    """Channels at the first scale of `skip` and `nafnet`."""
    fold: Literal[1, 2, 4]
    factor: Literal[1, 2, 4]
    """How many times larger than its input the network's result is; the frames are brought to 1/factor first."""
    loss: Literal["mse", "l1", "charbonnier"]
    flips: bool
    """Whether half of the training images are mirrored."""
    training: training.TrainingRow


class Frames:
    """Pairs for training: `inputs` `[N, 3, h, w]` and `images` `[N, 3, H, W]`, float32 in [0, 1].

    Args:
        levels: those to draw from; none: the seed's protocol.
        split: `train` degrades anew in every epoch, or takes the inputs of pairs where a level has no steps; `val`
            takes each image through each level as it is stored.
    """

    def __init__(self, row: RestorerRow, levels: Sequence[Level], shards_dir: Path, split: str):
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

    def __getitems__(self, positions: training.Positions) -> training.Batch:
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
            return prepared(target, self.size, self.row.factor, ()), target
        stored = self.stored[level.name]
        if stored is None:
            frame = level.fresh(target, key, epoch)
        else:
            frame = stored.image(position)[:, ::-1] if mirrored else stored.image(position)
        return prepared(frame, self.size, self.row.factor, self.row.filters), target

    def _target(self, position: int) -> Uint8:
        """The image that should come out. Under the seed's protocol it is filtered, which takes longer than training
        on it, so what was filtered is kept as long as there is room."""
        if position in self.kept:
            return self.kept[position]
        target = np.asarray(images.decode(self.table.bytes(position)))
        if self.levels:
            return target
        target = enhancement.filtered(target, self.row.filters)
        if len(self.kept) * target.nbytes < MOST_KEPT:
            self.kept[position] = target
        return target


def prepared(frame: Uint8, size: int, factor: int, filters: Sequence[enhancement.FilterName]) -> Uint8:
    """What the network gets of a frame: bicubic to size / factor, then the filters."""
    side = size // factor
    return enhancement.filtered(enhancement.fitted(frame, (side, side)), filters)


class RestorerLearner(training.Learner):
    """Trains a network on pairs of degraded and clean images."""

    monitor = "log_mse"

    def __init__(self, network: Restorer, row: RestorerRow):
        self.network = network
        self.loss = row.loss
        self.networks = nn.ModuleDict({"restorer": network.to(memory_format=torch.channels_last)})
        self.optimizers = {
            "restorer": torch.optim.AdamW(
                network.parameters(), lr=row.training.learning_rate, weight_decay=row.training.weight_decay
            )
        }

    def step(self, batch: training.Batch, update: training.Update) -> dict[str, Tensor]:
        loss = LOSSES[self.loss](self._through(batch), batch["images"])
        update(loss, self.optimizers["restorer"])
        return {self.loss: loss}

    def validate(self, batch: training.Batch) -> dict[str, Tensor]:
        image = self._through(batch).clamp(0, 1)
        mse = (image - batch["images"]).square().flatten(1).mean(1)
        log_mse = torch.log10(mse.clamp_min(1e-10))
        # Decides which state is best, since PSNR is what is reported; the mean error itself is that of a few images
        return {"mse": mse, "log_mse": log_mse, "psnr": -10 * log_mse}

    def _through(self, batch: training.Batch) -> Tensor:
        return self.network(batch["inputs"].contiguous(memory_format=torch.channels_last))


def charbonnier(found: Tensor, wanted: Tensor) -> Tensor:
    """A smooth L1 (Lai et al., "Deep Laplacian Pyramid Networks", CVPR 2017, section 3.3)."""
    return ((found - wanted).square() + CHARBONNIER**2).sqrt().mean()


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"mse": F.mse_loss, "l1": F.l1_loss, "charbonnier": charbonnier}


def train(name: str, row: RestorerRow, levels: Sequence[Level], shards_dir: Path, out_dir: Path, state: Path) -> None:
    """Train a row's network and write its model folder: `model.safetensors`, `card.json`, `curves.csv`.

    Args:
        levels: those that the row names, in its order.
        state: where training keeps what a restart needs.
    """
    index = shards.load_index(shards_dir)
    size: int = index["size"]
    for level in levels:
        if level.dataset != row.dataset:
            raise ParamsError(
                f"restorers.{name}.dataset: {row.dataset!r}, but `{row.degradations}` degrades {level.dataset!r}"
            )
    if size % row.factor:
        raise ParamsError(f"restorers.{name}.factor: {row.factor} does not divide the {size} px of {row.dataset}")
    sets = {split: Frames(row, levels, shards_dir, split) for split in ("train", "val")}
    with torch.random.fork_rng():
        torch.manual_seed(row.training.seed)
        network = Restorer(row.arch, row.width, row.fold, row.factor, size // row.factor)
    learner = RestorerLearner(network, row)
    steps = [level.index for level in levels]
    identity = {"name": name, "row": row.model_dump(), "levels": steps, "images": index}
    curves = training.fit(learner, sets["train"], sets["val"], row.training, state, identity)
    card = {
        "family": FAMILY,
        "row": name,
        "arch": row.arch,
        "width": row.width,
        "fold": row.fold,
        "factor": row.factor,
        "filters": row.filters,
        "degradations": row.degradations,
        "levels": row.levels,
        "dataset": row.dataset,
        "size": size,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "epochs": len(curves),
    }
    with outputs.folder(out_dir) as folder:
        weights.save(folder / "model.safetensors", network.state_dict(), {"row": name})
        outputs.write_json(folder / "card.json", card)
        training.write_curves(folder / "curves.csv", curves)
    training.forget(state)


def load(model_dir: Path) -> tuple[Restorer, dict[str, Any]]:
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
    network = Restorer(card["arch"], card["width"], card["fold"], card["factor"], card["size"] // card["factor"])
    path = model_dir / "model.safetensors"
    weights.fit(network, weights.load(path)[1], str(path))
    return network.eval().to(memory_format=torch.channels_last), card


class Trained:
    """A trained network on the frames of its own size, as it is measured.

    Raises:
        WeightsError: the folder is not there or not whole.
    """

    def __init__(self, model_dir: Path, batch: int):
        self.network, self.card = load(model_dir)
        self.batch = batch
        self.device = devices.choose("auto")
        self.network.to(self.device)

    def __call__(self, frames: Iterable[Uint8]) -> Iterator[Uint8]:
        """What becomes of frames of any size: 8-bit images `[size, size, 3]`, a batch in memory at a time."""
        waiting = iter(frames)
        while batch := list(islice(waiting, self.batch)):
            inputs = np.stack(
                [prepared(frame, self.card["size"], self.card["factor"], self.card["filters"]) for frame in batch]
            )
            with torch.inference_mode():
                tensor = images.to_tensor(inputs).to(self.device).contiguous(memory_format=torch.channels_last)
                yield from images.to_uint8(self.network(tensor))


def reconstruct(trained: Trained, level: Level, out_dir: Path) -> None:
    """Restore the test frames of a level and write the 8-bit images as shards."""
    keys = shards.Table(level.folder, "test").keys
    with outputs.folder(out_dir) as folder:
        path = folder / "test-000000.tar"
        restored = trained(frame for _, frame in level.frames("test"))
        with shards.writer(path) as put:
            for key, image in zip(keys, restored, strict=True):
                put(f"{key}.png", images.encode_png(image))
        about = {"family": FAMILY, "row": trained.card["row"], "level": level.name}
        about |= {"dataset": level.dataset, "size": level.size}
        shards.write_index(folder, about, {"test": [shards.describe(path, len(keys))]})
