"""Processes that read inputs: used again and again, bounded in time and memory, replaced when one dies."""

import gc
import io
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NamedTuple

from afterimage.core.errors import AfterimageError
from campaigns.fuzz import guard
from campaigns.fuzz.targets import Files, Target

ROOM = 3 << 30
"""Bytes of address space that an input may take, beyond what libraries keep of those before it."""
OURS = ("/afterimage/", "/campaigns/")


class Job(NamedTuple):
    """An input, as it can be made again."""

    target: str
    seed: int
    number: int


class Outcome(NamedTuple):
    """How the reading of an input ended."""

    job: Job
    ended: str
    """`well`, the name of an error class, or what went wrong."""
    text: str = ""
    is_finding: bool = False
    seconds: float = 0.0
    peak: int = 0
    """The worker's largest resident memory so far, in bytes."""


def run(jobs: Iterable[Job], targets: dict[str, Target], count: int, limit: float) -> Iterator[Outcome]:
    """Read each input in one of `count` processes; outcomes come as they end.

    Args:
        limit: seconds for an input.
    """
    waiting = iter(jobs)
    with tempfile.TemporaryDirectory(prefix="afterimage-fuzz-") as top:
        idle = [_Worker(Path(top) / str(number), targets) for number in range(count)]
        busy: list[_Worker] = []
        try:
            while True:
                while idle and (job := next(waiting, None)) is not None:
                    worker = idle.pop()
                    worker.begin(job)
                    busy.append(worker)
                if not busy:
                    return
                wait([worker.pipe for worker in busy], timeout=1.0)
                for worker in list(busy):
                    if (outcome := worker.outcome(limit)) is not None:
                        busy.remove(worker)
                        idle.append(worker)
                        yield outcome
        finally:
            for worker in [*busy, *idle]:
                worker.stop()


class _Worker:
    def __init__(self, place: Path, targets: dict[str, Target]):
        self._place, self._targets = place, targets
        self._job: Job | None = None
        self._begun = 0.0
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("fork")  # what the parent imported need not be imported again
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._place, self._targets), daemon=True)
        self._process.start()
        theirs.close()

    def begin(self, job: Job) -> None:
        self._job, self._begun = job, time.monotonic()
        self.pipe.send(job)

    def outcome(self, limit: float) -> Outcome | None:
        """How the input ended, if it has; a worker that died or hangs is replaced."""
        assert self._job is not None
        took = time.monotonic() - self._begun
        try:
            if self.pipe.poll():
                found: Outcome = self.pipe.recv()
                return found
            if took < limit:
                return None
            ended, text = "hang", f"no end within {limit:g} s"
        except (EOFError, ConnectionError):
            self._process.join(5)
            ended, text = "died", f"exit code {self._process.exitcode}"
        job = self._job
        self.stop()
        self._start()
        return Outcome(job, ended, text, True, took)

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self.pipe.close()


def _serve(pipe: Connection, place: Path, targets: dict[str, Target]) -> None:
    quiet = os.open(os.devnull, os.O_RDWR)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    guard.install()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while True:
        try:
            job = pipe.recv()
        except (EOFError, ConnectionError):
            return
        target = targets[job.target]
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM, resource.RLIM_INFINITY))
        started = time.perf_counter()
        ended, text, is_finding = read(target, target.make(job.seed, job.number), place)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        pipe.send(Outcome(job, ended, text, is_finding, time.perf_counter() - started, peak))


def read(target: Target, files: Files, place: Path) -> tuple[str, str, bool]:
    """Lay an input out in a folder and read it there: how it ended, in which words, and whether that is a finding."""
    shutil.rmtree(place, ignore_errors=True)
    folder = place / "input"
    folder.mkdir(parents=True)
    (place / "sentinel").write_bytes(b"as it was")
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    os.chdir(folder)
    ended, text, is_finding = "well", "", False
    try:
        with guard.watching(folder), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            target.read()
    except AfterimageError as error:
        ended, text = type(error).__name__, str(error)
        try:
            guard.check_text(error, target.named)
        except guard.UntidyError as untidy:
            ended, text, is_finding = "text", f"{type(error).__name__}: {untidy}", True
    except guard.UntidyError as error:
        ended, text, is_finding = "text", str(error), True
    except guard.ForbiddenError as error:
        ended, text, is_finding = "forbidden", str(error), True
    except MemoryError:
        ended, text, is_finding = "memory", _where(), True
        gc.collect()
    except BaseException as error:  # Rust's panics are no Exception
        ended, text, is_finding = "traceback", f"{type(error).__name__}: {str(error)[:200]} ({_where()})", True
    if guard.broken:
        ended, text, is_finding = "forbidden", guard.broken[0], True
    os.chdir(place)
    left = sorted(path.name for path in place.iterdir())
    if left != ["input", "sentinel"] or (place / "sentinel").read_bytes() != b"as it was":
        ended, text, is_finding = "forbidden", f"leaves its folder: beside it lie {left}", True
    return ended, text, is_finding


def _where() -> str:
    """The last line of this project's own in the traceback, and the last of all."""
    frames = traceback.extract_tb(sys.exc_info()[2])
    ours = [frame for frame in frames if any(part in frame.filename for part in OURS)]
    shown = [f"{'/'.join(Path(f.filename).parts[-2:])}:{f.lineno} {f.name}" for f in (*ours[-1:], *frames[-1:])]
    return ", then ".join(dict.fromkeys(shown))
