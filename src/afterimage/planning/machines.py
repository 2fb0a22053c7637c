"""How long machines take: rates with their sources, in machines.yaml."""

import os
from pathlib import Path
from typing import NamedTuple, Self

from pydantic import Field

from afterimage.core import params
from afterimage.core.errors import ParamsError
from afterimage.planning.stages import Stage
from afterimage.planning.work import sum_of

RATES = Path(__file__).with_name("machines.yaml")
HERE = "here"


class Core(params.Row):
    """What one core does in a second, on any of the machines. All but `fetch` count pixels."""

    fetch: float = Field(gt=0)
    """Images."""
    cut: float = Field(gt=0)
    """Of the sample: an image of twice the side decoded, brought down and encoded."""
    read: float = Field(gt=0)
    """A sample decoded."""
    holes: float = Field(gt=0)
    """A mask drawn."""
    frames: float = Field(gt=0)
    """A frame made bad."""
    score: float = Field(gt=0)
    """A reconstruction measured by every metric."""
    source: str


class Machine(params.Row):
    title: str
    cores: int = Field(gt=0)
    gpus: int = Field(ge=0)
    flops: dict[str, float] = Field(min_length=1)
    """Floating-point operations a second of networks, all of it together, by precision; one that is not there runs as
    fast as float32."""
    basis: str
    """What `flops` is: measured, or calculated from what."""
    disk: float = Field(gt=0)
    """Bytes a second, read and written."""
    network: float = Field(gt=0)
    """Bytes a second from the internet."""
    source: str


class Time(NamedTuple):
    """How long a stage takes, and what it waits for."""

    hours: float
    limit: str


class Rates(NamedTuple):
    """A machine, and what a core does. `machine.flops` says nothing of this machine, on which rows are timed."""

    machine: Machine
    core: Core
    timed: bool

    @classmethod
    def of(cls, name: str, path: Path = RATES) -> Self:
        """The rates of a machine by its name; `here` is this one, whose networks are timed row by row.

        Raises:
            ParamsError: there is no such machine.
        """
        there = params.section(path, "machines", Machine)
        core = params.table(path, "core", Core)
        if name == HERE:
            first = next(iter(there.values()))
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
            basis = "measured here, row by row, on processor cores"
            return cls(first.model_copy(update={"title": "this machine", "cores": cores, "basis": basis}), core, True)
        if name not in there:
            raise ParamsError(f"{path}: there is no machine `{name}`; there are {HERE}, {', '.join(there)}")
        return cls(there[name], core, False)

    def time(self, stage: Stage) -> Time:
        """What takes longest decides: reading, the network and writing overlap. Where there is no GPU, networks and
        what decodes for them take turns on the cores; where there are several, each has readers of its own."""
        machine = self.machine
        share = machine.gpus if stage.alone and machine.gpus else 1
        busy = machine.cores
        if machine.gpus and stage.readers:
            busy = min(busy, stage.readers * machine.gpus // share)
        cores = sum(amount / getattr(self.core, what) for what, amount in stage.cores.items()) / busy
        if self.timed:
            networks = sum_of(stage.works.values()).seconds / machine.cores
        else:
            slow = machine.flops["float32"]
            networks = share * sum(
                work.flops / machine.flops.get(precision, slow) for precision, work in stage.works.items()
            )
        waits = {
            "disk": (stage.read + stage.written) / machine.disk,
            "internet": stage.download / machine.network,
            **({"cores": cores, "GPU": networks} if machine.gpus else {"cores": cores + networks}),
        }
        limit = max(waits, key=lambda each: waits[each])
        return Time(waits[limit] / 3600, limit)


def names(path: Path = RATES) -> list[str]:
    """The machines that there are."""
    return [HERE, *params.section(path, "machines", Machine)]
