"""Training on several processes: each takes its share of every batch, and what they found is put together.

`torchrun` starts them, on one machine or many, or `AFTERIMAGE_PROCESSES=N` does on this one, in a run of DVC too. The
batch of a row, its order and what is random about it stay those of one process, so losses agree with its own to
rounding; for one number of processes the bits are the same from run to run. Gradients are the mean over the whole
batch, as in Goyal et al., "Accurate, Large Minibatch SGD" (2017), section 3.

What a learner draws or averages over the images of a batch goes through `drawn` and `mean` here.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from afterimage.core.compute import sqrt
from afterimage.core.errors import ParamsError

VARIABLE = "AFTERIMAGE_PROCESSES"
Value = TypeVar("Value")


@dataclass
class Team:
    """This process among those that train one model.

    Attributes:
        batch: images of the whole batch that a step works on.
    """

    rank: int = 0
    size: int = 1
    batch: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    @property
    def own(self) -> slice:
        """The images of the batch that are this process's."""
        return slice(self.rank * self.batch // self.size, (self.rank + 1) * self.batch // self.size)

    @property
    def weight(self) -> float:
        """Their share of the batch."""
        return (self.own.stop - self.own.start) / self.batch

    def add(self, tensors: Iterable[Tensor]) -> None:
        """Put the sum over all processes into each of some tensors of one type."""
        tensors = list(tensors)
        if self.size > 1 and tensors:
            flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
            dist.all_reduce(flat)
            for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
                tensor.copy_(part.view_as(tensor))

    def gathered(self, value: Value) -> list[Value]:
        """What each process has, by rank."""
        found: list[Any] = [value] * self.size
        if self.size > 1:
            dist.all_gather_object(found, value)
        return found

    def told(self, value: Value) -> Value:
        """What the first process has."""
        found = [value]
        if self.size > 1:
            dist.broadcast_object_list(found)
        return found[0]


team = Team()
"""This process's; alone unless `joined` says otherwise."""


@contextmanager
def joined(environment: Mapping[str, str] = os.environ) -> Iterator[Team]:
    """Join the processes that `torchrun` started with this one; alone, where it did not.

    Raises:
        ParamsError: the environment asks for no number of processes.
    """
    if "RANK" not in environment and asked(environment) > 1:
        words = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={asked(environment)}", *sys.argv]
        os.execv(sys.executable, [sys.executable, *words])  # which frees the lock of the stage
    team.rank, team.size = int(environment.get("RANK", "0")), int(environment.get("WORLD_SIZE", "1"))
    if team.size == 1:
        yield team
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(environment.get("LOCAL_RANK", "0")))
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield team
    finally:
        dist.destroy_process_group()
        team.rank, team.size = 0, 1


def asked(environment: Mapping[str, str]) -> int:
    """How many processes the environment wants on this machine."""
    said = environment.get(VARIABLE, "1")
    if not said.isdecimal() or int(said) == 0:
        raise ParamsError(f"{VARIABLE}={said}: expected a whole number above 0")
    return int(said)


def drawn(draw: Callable[[int], Tensor], count: int) -> Tensor:
    """What is random for each of `count` images of a batch, `[N, ...]`: `draw` gets the number in the whole batch."""
    return draw(count) if team.size == 1 else draw(team.batch)[team.own]


def mean(values: Tensor) -> Tensor:
    """The mean over the whole batch of what this process has for its share; no slope goes through it."""
    found = values.mean()
    if team.size > 1:
        found = found.detach() * team.weight
        team.add([found])
    return found


class Dropout(nn.Dropout):
    """Dropout whose mask is that of the whole batch."""

    def forward(self, values: Tensor) -> Tensor:
        if team.size == 1 or not self.training or not self.p:
            return super().forward(values)
        whole = values.new_ones(team.batch, *values.shape[1:])
        return values * F.dropout(whole, self.p)[team.own]


class BatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation (Ioffe and Szegedy, 2015) by the mean and variance of the whole batch, on any device."""

    def forward(self, values: Tensor) -> Tensor:
        if team.size == 1 or not self.training:
            return super().forward(values)
        from torch.distributed.nn.functional import all_reduce  # slopes go through it

        count = team.batch * values.shape[2] * values.shape[3]
        average = all_reduce(values.sum((0, 2, 3))) / count
        centred = values - average[:, None, None]
        variance = all_reduce(centred.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
            self.running_mean.lerp_(average, self.momentum)
            self.running_var.lerp_(variance * (count / max(1, count - 1)), self.momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked += 1
        scale = self.weight / sqrt(variance + self.eps)
        return centred * scale[:, None, None] + self.bias[:, None, None]
