"""Map a function over units of work, such as shards.

This machine's cores do the work by default, as threads: Pillow and torch let go of the interpreter while they
compute, so threads keep the cores busy without the seconds that it takes to start processes. Variables of the
environment change where the work runs, never what comes out:

- `AFTERIMAGE_JOBS`: how many units run at once (default: the cores that this process may use, or the whole cluster's);
- `AFTERIMAGE_ENGINE`: `threads`, or `ray` or `ray:HOST:PORT`, a Ray cluster that is there already (`cluster`);
- `AFTERIMAGE_FILES`: `shared`, where all nodes of the cluster see the project's folder at the same path, or
  `carried`, where files travel with the units.

A function that needs something large, such as a network, is an object that holds it: each worker gets it once.
"""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from tqdm import tqdm

from afterimage.core.errors import ParamsError

Unit = TypeVar("Unit")
Result = TypeVar("Result")
AHEAD = 2
"""Units a worker that are drawn before the first of them is taken: the slowest of a few holds nobody up."""


class Piece(NamedTuple):
    """Bytes of a file; of the whole file without a size."""

    path: Path
    offset: int = 0
    size: int | None = None


@dataclass(frozen=True)
class Files:
    """The files behind a map, for workers that do not see the project's folder; paths are relative to it.

    Attributes:
        common: files that each unit reads.
        reads: from a unit to what it alone reads. A worker finds pieces of a file at their own offsets.
        writes: from a unit to the files that it may write.
    """

    common: Sequence[Path] = ()
    reads: Callable[[Any], Iterable[Piece]] = lambda unit: ()
    writes: Callable[[Any], Iterable[Path]] = lambda unit: ()


def map(
    function: Callable[[Unit], Result],
    units: Iterable[Unit],
    *,
    jobs: int | None = None,
    label: str = "",
    total: int | None = None,
    unit: str = "shard",
    files: Files | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "cpu",
) -> Iterator[Result]:
    """Yield `function(unit)` for each unit, in the order of the units, with progress on standard error.

    Units are drawn as workers become free, and only a few before their turn, so neither they nor their results pile
    up in memory. What `function` raises is raised here as it is. Relative paths are those of this process everywhere.

    Args:
        jobs: how many units run at once on this machine; 1 runs them inline. None: as the environment says.
        total: the number of units, for the progress bar.
        unit: what the progress bar calls a unit.
        files: what units read and write.
        device: where the function computes: on a cluster with GPUs, each worker gets one unless this is `cpu`.

    Raises:
        ParamsError: the environment asks for no engine that there is, or for no number of jobs.
        EngineError: the cluster is not there, or was lost.
    """
    engine, _, address = os.environ.get("AFTERIMAGE_ENGINE", "threads").partition(":")
    if engine == "ray":
        from afterimage.core import cluster

        results = cluster.map(function, units, address, files or Files(), device)
    elif engine == "threads":
        results = _here(jobs or asked_jobs() or _cores(), function, units)
    else:
        raise ParamsError(f"AFTERIMAGE_ENGINE={engine}: no such engine; there are threads, ray and ray:HOST:PORT")
    yield from progress(results, label, total, unit)


def ahead(function: Callable[[Unit], Result], units: Iterable[Unit], count: int) -> Iterator[Result]:
    """Yield `function(unit)` for each unit, in order, worked out on another thread up to `count` results ahead of use.

    What `function` raises is raised here where its result would have come.
    """
    with ThreadPoolExecutor(1) as thread:
        waiting: deque[Future[Result]] = deque()
        try:
            for unit in units:
                waiting.append(thread.submit(function, unit))
                if len(waiting) > count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for left in waiting:
                left.cancel()


def progress(
    items: Iterable[Unit], label: str, total: int | None = None, unit: str = "shard", done: int = 0
) -> Iterator[Unit]:
    """Pass items on and show how many have gone by: a live bar on a terminal, a line now and then in a log.

    Args:
        total: the number of items, those done before among them.
        done: how many an earlier run did; they are not among `items`.
    """
    live = sys.stderr.isatty()
    yield from tqdm(items, label, total, unit=f" {unit}s", mininterval=0.1 if live else 30.0, initial=done)


def asked_jobs() -> int | None:
    """How many units the environment wants to run at once.

    Raises:
        ParamsError: that is no number.
    """
    asked = os.environ.get("AFTERIMAGE_JOBS")
    if asked is not None and (not asked.isdecimal() or int(asked) == 0):
        raise ParamsError(f"AFTERIMAGE_JOBS={asked}: expected a whole number above 0")
    return None if asked is None else int(asked)


def _here(jobs: int, function: Callable[[Unit], Result], units: Iterable[Unit]) -> Iterator[Result]:
    if jobs == 1:
        yield from (function(unit) for unit in units)
        return
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(jobs)
    try:
        for unit in units:
            waiting.append(pool.submit(function, unit))
            if len(waiting) >= AHEAD * jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _cores() -> int:
    from joblib import cpu_count  # knows the limits of containers

    return cpu_count()
