"""Map a function over units of work, such as shards.

This machine's cores do the work by default, as threads: Pillow and torch let go of the interpreter while they
compute, so threads keep the cores busy without the seconds that it takes to start processes. Two variables of the
environment change where the work runs, never what comes out:

- `AFTERIMAGE_JOBS`: how many units run at once (default: the cores that this process may use);
- `AFTERIMAGE_ENGINE`: `threads`, or the name of a joblib backend: `loky` (processes), `dask` or `dask:ADDRESS`
  (an existing Dask cluster), `ray` (an existing Ray cluster). Workers elsewhere need the project's folder at the
  same path.
"""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from tqdm import tqdm

from afterimage.core.errors import ParamsError

Unit = TypeVar("Unit")
Result = TypeVar("Result")


def map(
    function: Callable[[Unit], Result],
    units: Iterable[Unit],
    *,
    jobs: int | None = None,
    label: str = "",
    total: int | None = None,
) -> Iterator[Result]:
    """Yield `function(unit)` for each unit, in the order of the units, with progress on standard error.

    Units are drawn as workers become free, so they do not pile up in memory; results do where they are taken more
    slowly than they come. What `function` raises is raised here as it is.

    Args:
        jobs: how many units run at once; 1 runs them inline. None: as the environment says.
        total: the number of units, for the progress bar.

    Raises:
        ParamsError: the environment asks for no engine that there is, or for no number of jobs.
    """
    engine, _, address = os.environ.get("AFTERIMAGE_ENGINE", "threads").partition(":")
    if engine != "threads":
        results = _elsewhere(engine, address, function, units)
    else:
        results = _here(jobs or _jobs(), function, units)
    yield from progress(results, label, total)


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


def _here(jobs: int, function: Callable[[Unit], Result], units: Iterable[Unit]) -> Iterator[Result]:
    if jobs == 1:
        yield from (function(unit) for unit in units)
        return
    from joblib import Parallel, delayed

    parallel = Parallel(jobs, backend="threading", return_as="generator", batch_size=1)
    yield from parallel(delayed(function)(unit) for unit in units)


def _elsewhere(
    engine: str, address: str, function: Callable[[Unit], Result], units: Iterable[Unit]
) -> Iterator[Result]:
    from joblib import Parallel, delayed, parallel_config

    options: dict[str, Any] = {"scheduler_host": address} if address else {}
    try:
        if engine == "ray":
            from ray.util.joblib import register_ray

            register_ray()
        with parallel_config(engine, n_jobs=_jobs() if engine == "loky" else -1, **options):
            parallel = Parallel(return_as="generator", batch_size=1)
    except (ImportError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ParamsError(f"AFTERIMAGE_ENGINE={engine}: no such engine here: {reason}") from None
    yield from parallel(delayed(function)(unit) for unit in units)


def _jobs() -> int:
    asked = os.environ.get("AFTERIMAGE_JOBS")
    if asked is None:
        from joblib import cpu_count

        return cpu_count()
    if not asked.isdecimal() or int(asked) == 0:
        raise ParamsError(f"AFTERIMAGE_JOBS={asked}: expected a whole number above 0")
    return int(asked)
