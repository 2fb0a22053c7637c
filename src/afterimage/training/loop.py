"""One loop for all that learns.

A kind of reconstructors brings a `Learner`: its networks, its optimisers, one update, one validation, and the samples
that it learns from. The loop brings order, device, precision, schedule, early stopping, the best state, checkpoints and
curves.

Everything random is drawn from (seed, epoch) or (seed, step), never from a state that runs along, so a run that was
killed at any moment and started again ends with the same bits as one that was not.
"""

import abc
import hashlib
import inspect
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Sampler
from tqdm import tqdm

from afterimage.core import checkpoints, devices, engine
from afterimage.core.errors import TrainingError
from afterimage.core.params import Row
from afterimage.training.processes import team

CHECKPOINT_SECONDS = 30.0
LIVE_SECONDS = 30.0
"""Of training before its curves are shown as they grow."""
CHECKPOINT = "checkpoint.pt"
AHEAD = 2
"""Batches that are read before the one that a step works on."""

Batch = Mapping[str, Any]
Positions = list[tuple[int, int]]
"""(epoch, position) of each sample of a batch: whatever is random for a sample follows from its key and the epoch."""
Update = Callable[[Tensor, Optimizer], None]
Curves = list[dict[str, float]]


class TrainingRow(Row):
    """How a network is trained: the `training` key of a row."""

    epochs: int = Field(gt=0)
    batch: int = Field(gt=0)
    learning_rate: float = Field(gt=0)
    schedule: Literal["constant", "cosine", "linear"]
    """`cosine` falls from the learning rate to zero over all epochs (Loshchilov and Hutter, SGDR, 2017); `linear` is
    constant for half of them and then falls to zero, as in pix2pix."""
    weight_decay: float = Field(ge=0)
    patience: int | None = Field(gt=0)
    """Epochs without a better validation before training stops; null: never."""
    precision: Literal["float32", "bfloat16", "float16"]
    device: devices.Name
    workers: int = Field(ge=0)
    """Processes that read batches; 0: a thread of the training process does. It changes the speed, not the result."""
    seeds: list[int] = Field(min_length=1)
    """A training for each: what is measured are means over them, with intervals that tell how far they differ."""

    @field_validator("seeds")
    @classmethod
    def _different(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed is listed twice")
        return seeds

    @property
    def seed(self) -> int:
        """That of the model in the row's own folder, which is the one to use; others are only measured."""
        return self.seeds[0]


class Samples(Protocol):
    """A data set for the loop."""

    def __len__(self) -> int: ...

    def __getitems__(self, positions: Positions) -> Batch:
        """The batch at these positions, as tensors on the CPU."""
        ...


class Learner(abc.ABC):
    """What a kind tells the loop. Networks and optimisers are all that a restart has to restore."""

    train: Samples
    validation: Samples
    networks: nn.ModuleDict
    optimizers: dict[str, Optimizer]
    monitor: str
    """The name of the validation value that decides which state is best; lower is better."""
    kept: dict[int, Tensor]
    """What `keep` gave, by epoch, once training is over."""
    model: nn.Module
    """The network that is saved; others only help to train it."""
    words: str
    """The network in a few words, for tables."""
    about: Mapping[str, Any] = {}
    """What loading the network needs besides the row and the observation's index."""

    @abc.abstractmethod
    def step(self, batch: Batch, update: Update) -> dict[str, Tensor]:
        """One training step: call `update(loss, optimizer)` for each optimiser; return the losses by name."""

    @abc.abstractmethod
    def validate(self, batch: Batch) -> dict[str, Tensor]:
        """Values by name, each `[N]`, one an image."""

    def keep(self, epoch: int) -> Tensor | None:
        """What to keep of the networks' state after an epoch, such as samples; checkpoints hold it too."""
        return None

    def files(self) -> Mapping[str, bytes]:
        """Files for the model's folder besides the model, by name, once training is over."""
        return {}


def adam(network: nn.Module, row: TrainingRow, betas: tuple[float, float] = (0.9, 0.999)) -> Optimizer:
    """AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019): Adam where nothing decays.

    Fused, because the other implementations take square roots by MKL, whose last bits are those of a CPU's maker
    (`core.compute.sqrt`); it is faster, too.
    """
    rate, decay = row.learning_rate, row.weight_decay
    return torch.optim.AdamW(network.parameters(), lr=rate, betas=betas, weight_decay=decay, fused=True)


def fit(learner: Learner, row: TrainingRow, state: Path, identity: Mapping[str, Any]) -> Curves:
    """Train, and leave the learner's networks at their best validated state.

    Args:
        state: a folder outside the outputs for the checkpoint and DVCLive's curves; `forget` it once the model is
            written.
        identity: what the result depends on besides the code: parameters and hashes of the inputs. A checkpoint of
            another identity, or of other code, is not resumed.

    Returns:
        One row an epoch: `epoch`, `learning_rate`, each loss as `train_<name>`, each validation mean as `val_<name>`.

    Raises:
        TrainingError: there is too little data, the device or its precision is missing, or a loss is not finite.
    """
    device = devices.choose(row.device)
    devices.be_deterministic()
    train, validation = learner.train, learner.validation
    if len(train) < 1 or len(validation) < 1:
        raise TrainingError(f"{len(train)} training and {len(validation)} validation samples: each needs at least one")
    if (smallest := min(row.batch, len(train))) < team.size:
        raise TrainingError(f"{team.size} processes for batches of {smallest} images: each needs at least one")
    team.batch = smallest
    learner.networks.to(device)
    scaler = torch.amp.GradScaler(device.type, enabled=row.precision == "float16")
    autocast = _autocast(device, row.precision)
    base_rates = {name: [group["lr"] for group in opt.param_groups] for name, opt in learner.optimizers.items()}

    def update(loss: Tensor, optimizer: Optimizer) -> None:
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss * team.weight if team.size > 1 else loss).backward()
        team.add(
            parameter.grad
            for group in optimizer.param_groups
            for parameter in group["params"]
            if parameter.grad is not None
        )
        scaler.step(optimizer)

    run = _Progress(learner, scaler, state / CHECKPOINT, _fingerprint(learner, row, identity))
    run.restore(device)
    per_epoch = max(1, len(train) // row.batch)
    order = _Order(len(train), row, start=run.step, per_epoch=per_epoch)
    live = _Live(state, run.curves)
    bar = tqdm(
        total=row.epochs * per_epoch,
        initial=run.step,
        unit="step",
        mininterval=1,
        dynamic_ncols=True,
        disable=not team.first,
    )
    with bar:
        for batch in () if run.stopped else _batches(train, order, row.workers, device):
            learner.networks.train()
            rate = _rate(row, run.step, row.epochs * per_epoch)
            for name, optimizer in learner.optimizers.items():
                for group, base in zip(optimizer.param_groups, base_rates[name], strict=True):
                    group["lr"] = base * rate
            torch.manual_seed(_stream(row.seed, run.step))  # dropout and the like follow from the step alone
            with autocast():
                losses = learner.step(_to(batch, device), update)
            scaler.update()
            run.add(losses)
            bar.update()
            if run.step % per_epoch == 0:
                means = run.epoch_means()
                _check_finite(means, run.step // per_epoch, row)
                values = _validate(learner, validation, row, device, autocast)
                run.close_epoch(run.step // per_epoch, row.learning_rate * rate, means, values)
                with torch.inference_mode():
                    run.keep(run.step // per_epoch)
                if team.first:
                    live(run.curves[-1])
                bar.set_postfix({name: f"{value:.4g}" for name, value in values.items()})
                if row.patience is not None and run.waited >= row.patience:
                    run.stopped = True
                    break
            run.save(every=CHECKPOINT_SECONDS)
    run.save(every=0)
    learner.networks.load_state_dict(run.best)
    learner.networks.eval()
    learner.kept = run.kept
    return run.curves


class _Order(Sampler[Positions]):
    """All batches of all epochs from a step on, this process's share of each: a permutation of the samples for each
    epoch, drawn from the seed."""

    def __init__(self, samples: int, row: TrainingRow, start: int, per_epoch: int):
        self.samples, self.row, self.start, self.per_epoch = samples, row, start, per_epoch

    def __len__(self) -> int:
        return self.row.epochs * self.per_epoch - self.start

    def __iter__(self) -> Iterator[Positions]:
        first_epoch, first_step = divmod(self.start, self.per_epoch)
        for epoch in range(first_epoch, self.row.epochs):
            permutation = np.random.default_rng([self.row.seed, epoch]).permutation(self.samples)
            for step in range(first_step if epoch == first_epoch else 0, self.per_epoch):
                chosen = permutation[step * self.row.batch : (step + 1) * self.row.batch]
                yield [(epoch, int(position)) for position in chosen[team.own]]


def _batches(train: Samples, order: _Order, workers: int, device: torch.device) -> Iterator[Batch]:
    """The batches, read while steps run: by processes, or on a thread."""
    if workers:
        pinned = device.type == "cuda"
        given: Any = train
        yield from DataLoader(given, batch_sampler=order, collate_fn=_as_it_is, num_workers=workers, pin_memory=pinned)
    else:
        yield from engine.ahead(train.__getitems__, order, AHEAD)


class _Progress:
    """Where a run stands, and its checkpoint."""

    def __init__(self, learner: Learner, scaler: torch.amp.GradScaler, path: Path, fingerprint: str):
        self.learner, self.scaler, self.path, self.fingerprint = learner, scaler, path, fingerprint
        self.step = 0
        self.sums: dict[str, Tensor] = {}
        self.counted = 0
        self.curves: Curves = []
        self.best: dict[str, Tensor] = {}
        self.best_value = math.inf
        self.waited = 0
        self.stopped = False
        self.kept: dict[int, Tensor] = {}
        self._saved = time.monotonic()

    def add(self, losses: Mapping[str, Tensor]) -> None:
        found = {name: loss.detach().float() for name, loss in losses.items()}
        if team.size > 1:
            found = {name: loss * team.weight for name, loss in found.items()}
            team.add(found.values())
        for name, loss in found.items():
            # Summed on the device: waiting for each value would stall a GPU
            self.sums[name] = self.sums.get(name, torch.zeros((), device=loss.device)) + loss
        self.counted += 1
        self.step += 1

    def epoch_means(self) -> dict[str, float]:
        means = {name: float(total) / self.counted for name, total in self.sums.items()}
        self.sums, self.counted = {}, 0
        return means

    def close_epoch(self, epoch: int, rate: float, means: Mapping[str, float], values: Mapping[str, float]) -> None:
        losses = {f"train_{name}": value for name, value in means.items()}
        validated = {f"val_{name}": value for name, value in values.items()}
        self.curves.append({"epoch": float(epoch), "learning_rate": rate, **losses, **validated})
        value = values[self.learner.monitor]
        if value < self.best_value:
            self.best_value, self.waited = value, 0
            self.best = {
                name: tensor.detach().cpu().clone() for name, tensor in self.learner.networks.state_dict().items()
            }
        else:
            self.waited += 1

    def keep(self, epoch: int) -> None:
        if (found := self.learner.keep(epoch)) is not None:
            self.kept[epoch] = found.cpu()

    def save(self, every: float) -> None:
        """Write a checkpoint if the last one is at least `every` seconds old."""
        if not team.first or time.monotonic() - self._saved < every:
            return
        data = {
            "fingerprint": self.fingerprint,
            "networks": self.learner.networks.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.learner.optimizers.items()},
            "scaler": self.scaler.state_dict(),
            **{name: getattr(self, name) for name in self._plain},
        }
        checkpoints.write(self.path, data)
        self._saved = time.monotonic()

    def restore(self, device: torch.device) -> None:
        data = team.told(checkpoints.read(self.path, self.fingerprint) if team.first else None)
        if data is None:
            return
        self.learner.networks.load_state_dict(data["networks"])
        for name, optimizer in self.learner.optimizers.items():
            optimizer.load_state_dict(data["optimizers"][name])
        self.scaler.load_state_dict(data["scaler"])
        for name in self._plain:
            setattr(self, name, data[name])
        self.sums = {name: value.to(device) for name, value in self.sums.items()}

    _plain = ("step", "sums", "counted", "curves", "best", "best_value", "waited", "stopped", "kept")


def _validate(
    learner: Learner, samples: Samples, row: TrainingRow, device: torch.device, autocast: Callable[[], Any]
) -> dict[str, float]:
    learner.networks.eval()
    totals: dict[str, float] = {}
    with torch.inference_mode(), autocast():
        for start in range(team.rank * row.batch, len(samples), team.size * row.batch):
            positions = [(0, position) for position in range(start, min(start + row.batch, len(samples)))]
            values = learner.validate(_to(samples.__getitems__(positions), device))
            for name, value in values.items():
                totals[name] = totals.get(name, 0.0) + float(value.double().sum())
    parts = team.gathered(totals)
    return {name: sum(part.get(name, 0.0) for part in parts) / len(samples) for name in parts[0]}


def _rate(row: TrainingRow, step: int, steps: int) -> float:
    if row.schedule == "constant":
        return 1.0
    if row.schedule == "linear":
        return min(1.0, 2 * (1 - step / steps))
    return 0.5 * (1 + math.cos(math.pi * step / steps))


def _stream(seed: int, step: int) -> int:
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> 1)


def _check_finite(means: Mapping[str, float], epoch: int, row: TrainingRow) -> None:
    for name, value in means.items():
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss `{name}` is {value} in epoch {epoch}; a learning_rate under {row.learning_rate} may help"
            )


def _autocast(device: torch.device, precision: str) -> Callable[[], Any]:
    dtype = getattr(torch, precision)
    if precision == "float16" and device.type == "cpu":
        raise TrainingError("precision `float16` trains on a GPU only; on the CPU use `bfloat16` or `float32`")
    return lambda: torch.autocast(device.type, dtype=dtype, enabled=precision != "float32")


def _to(batch: Batch, device: torch.device) -> Batch:
    def move(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.to(device, non_blocking=True)
        if isinstance(value, list):
            return [move(item) for item in value]
        return value

    return {name: move(value) for name, value in batch.items()}


def _as_it_is(batch: Any) -> Any:
    return batch


def _fingerprint(learner: Learner, row: TrainingRow, identity: Mapping[str, Any]) -> str:
    code = [Path(inspect.getfile(part)).read_text(encoding="utf-8") for part in (type(learner), fit)]
    text = json.dumps([row.model_dump(), dict(identity), code], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class _Live:
    """DVCLive's curves, for those who watch; it writes times, so it lives outside the outputs.

    Its import takes as long as a short training run, which nobody watches: it begins once training has lasted.
    """

    def __init__(self, state: Path, curves: Sequence[Mapping[str, float]]):
        self.folder, self.waiting = state / "live", list(curves)
        self.started = time.monotonic()
        self.live: Any = None

    def __call__(self, row: Mapping[str, float]) -> None:
        self.waiting.append(row)
        if self.live is None and time.monotonic() - self.started >= LIVE_SECONDS:
            self.live = self._begin()
        if self.live is None:
            return
        for each in self.waiting:
            for name, value in each.items():
                if name != "epoch":
                    self.live.log_metric(name, value)
            self.live.next_step()
        self.waiting.clear()

    def _begin(self) -> Any:
        from dvclive import Live
        from scmrepo.exceptions import SCMError

        try:
            return Live(str(self.folder), dvcyaml=None, save_dvc_exp=False, report=None)
        except SCMError as error:  # a Git repository without a commit; the curves are in the outputs all the same
            tqdm.write(f"no live curves: {error}", file=sys.stderr)
            self.started = math.inf
            return None
