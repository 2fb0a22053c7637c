"""The engine on a Ray cluster: as many workers as it has CPUs, or GPUs where a function wants one.

A worker is an actor (Moritz et al., "Ray: A Distributed Framework for Emerging AI Applications", OSDI 2018, section
3): it gets a function once, with what that has loaded, and then one unit at a time. Its code is this process's own,
its environment is pinned as this process's is, and its packages have to be of the same versions. A worker that is lost,
with its node or alone, is replaced as soon as the cluster has room, and its unit goes to another one.
"""

import atexit
import logging
import os
import shutil
import socket
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from afterimage.core import compute, outputs
from afterimage.core.engine import AHEAD, Files, Piece, asked_jobs
from afterimage.core.errors import AfterimageError, DeviceError, EngineError, ParamsError, one_line
from afterimage.core.stage import PACKAGES

TRIES = 4
"""Workers that a unit may lose before the cluster is given up."""
LOOK = 5.0
"""Seconds without news after which the head is looked for."""
GONE = 10.0
"""Seconds without the head after which it is taken for lost."""
PATIENCE = 600.0
"""Seconds in which some worker has to start: as long as a cloud takes to bring up a node."""

Sent = Sequence[tuple[Piece, Any]]
"""Pieces of files, each with the reference of its bytes."""


class Answer(NamedTuple):
    """What came of a unit."""

    result: Any = None
    fault: Exception | None = None
    files: Mapping[Path, bytes] = {}


class Worker:
    """What runs on a node of the cluster."""

    def __init__(self, project: str | None, environment: Mapping[str, str]):
        """Args:
        project: the folder to work in; None: a new one, which files are carried to.
        """
        self.project, self.environment = project, environment
        self.functions: dict[str, Callable[[Any], Any]] = {}
        self.had: set[str] = set()

    def ready(self) -> dict[str, str] | str:
        """Prepare, before anything numeric is imported; the versions of packages here, or what is wrong."""
        compute.take(self.environment)
        for name in [name for name in os.environ if name.startswith("AFTERIMAGE_")]:
            del os.environ[name]
        folder = self.project
        if folder is None:
            folder = tempfile.mkdtemp(prefix="afterimage-")
        elif not Path(folder).is_dir():
            return f"{socket.gethostname()} has no folder {folder}; share it, or set AFTERIMAGE_FILES=carried"
        os.chdir(folder)
        return versions()

    def run(self, sent: list[Any], unit: Any, common: Sent, own: Sent, writes: Sequence[Path]) -> Answer:
        """The answer to a unit.

        Args:
            sent: the reference of the function.
            own: pieces that this unit alone reads.
            writes: files to return.
        """
        import ray

        key = sent[0].hex()
        try:
            if key not in self.functions:
                self.functions = {key: ray.cloudpickle.loads(ray.get(sent[0]))}
            self._place([each for each in common if each[1].hex() not in self.had])
            self.had |= {reference.hex() for _, reference in common}
            self._place(own)
            result = self.functions[key](unit)
            return Answer(result, None, {path: path.read_bytes() for path in writes if path.is_file()})
        except ray.exceptions.RayError:
            raise
        except Exception as fault:
            return Answer(fault=_sendable(fault))
        finally:
            for path in {*(piece.path for piece, _ in own), *writes}:
                path.unlink(missing_ok=True)

    def stop(self) -> None:
        """End, and leave nothing behind."""
        if self.project is None:
            shutil.rmtree(Path.cwd(), ignore_errors=True)

    def _place(self, sent: Sent) -> None:
        import ray

        for piece, reference in sent:
            piece.path.parent.mkdir(parents=True, exist_ok=True)
            with piece.path.open("r+b" if piece.path.exists() else "wb") as stream:
                stream.seek(piece.offset)
                data: bytes = ray.get([reference])[0]
                stream.write(data)


def map(function: Callable[[Any], Any], units: Iterable[Any], address: str, files: Files, device: str) -> Iterator[Any]:
    """As `engine.map`, on the cluster at an address; an empty one is that which this machine belongs to."""
    ray = connected(address)
    pool = _pool(ray, device)
    carried = pool.project is None
    sent = ray.put(ray.cloudpickle.dumps(function))
    common = [(Piece(path), ray.put(_bytes(Piece(path)))) for path in files.common] if carried else []
    drawn = enumerate(units)
    again: deque[tuple[int, Any]] = deque()
    running: dict[Any, tuple[int, Any, Any, list[Path]]] = {}
    answers: dict[int, Any] = {}
    lost: dict[int, int] = {}
    turn, over, heard = 0, False, time.monotonic()
    try:
        while True:
            while pool.free and (again or (not over and len(running) + len(answers) < AHEAD * pool.size)):
                place, unit = again.popleft() if again else next(drawn, (-1, None))
                if place < 0:
                    over = True
                    break
                worker = pool.free.popleft()
                own = [(piece, ray.put(_bytes(piece))) for piece in files.reads(unit)] if carried else []
                writes = [_inside(path) for path in files.writes(unit)] if carried else []
                running[worker.run.remote([sent], unit, common, own, writes)] = (place, unit, worker, writes)
            if turn in answers:
                yield answers.pop(turn)
                turn, heard = turn + 1, time.monotonic()
                continue
            if over and not running and not again:
                return
            done, _ = ray.wait([*running, *pool.starting], timeout=LOOK)
            for reference in done:
                heard = time.monotonic()
                if reference in pool.starting:
                    pool.started(reference)
                    continue
                place, unit, worker, writes = running.pop(reference)
                try:
                    answer: Answer = ray.get(reference)
                except ray.exceptions.RayError as error:
                    lost[place] = lost.get(place, 0) + 1
                    pool.replace(worker)
                    if lost[place] == TRIES:
                        raise EngineError(f"the cluster lost {TRIES} workers with one unit: {_short(error)}") from None
                    again.append((place, unit))
                    continue
                pool.free.append(worker)
                if answer.fault is not None:
                    raise answer.fault
                for path, data in answer.files.items():
                    with outputs.file(path) as partial:
                        partial.write_bytes(data)
                answers[place] = answer.result
            if not done:
                _check_head(ray)
                if not running and time.monotonic() - heard > PATIENCE:
                    raise EngineError(f"no worker has started for {PATIENCE:.0f} s: {_described(ray)}")
    finally:
        for *_, worker, _ in running.values():  # nobody waits for them, and they may be writing
            pool.replace(worker)


def connected(address: str) -> ModuleType:
    """Ray, connected to the cluster.

    Raises:
        EngineError: Ray is not installed here, there is no cluster, or it is of another version.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise EngineError("AFTERIMAGE_ENGINE=ray: Ray is not installed; `pip install 'afterimage[cluster]'`") from None
    if ray.is_initialized():
        return ray
    from ray._private.services import canonicalize_bootstrap_address

    where = f"AFTERIMAGE_ENGINE=ray{':' if address else ''}{address}"
    try:
        found = canonicalize_bootstrap_address(address or "auto")
        if found is None:
            raise ConnectionError("this machine belongs to none")
        host, _, port = found.rpartition(":")
        socket.create_connection((host, int(port)), timeout=LOOK).close()  # Ray itself tries for minutes
        package = str(Path(__file__).parents[1])
        ray.init(
            found,
            logging_level=logging.ERROR,
            log_to_driver=False,
            runtime_env={"py_modules": [package], "excludes": ["__pycache__"]},
        )
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        raise EngineError(f"{where}: no cluster: {_short(error)}; `ray start` makes this machine part of one") from None
    return ray


class _Workers:
    """The workers of this process: those that are free, and those that start."""

    def __init__(self, ray: ModuleType, size: int, resources: Mapping[str, float], project: str | None):
        self.ray, self.size, self.project = ray, size, project
        self.actor = ray.remote(Worker).options(**resources, max_restarts=0, max_task_retries=0)
        self.versions = versions()
        self.free: deque[Any] = deque()
        self.starting: dict[Any, Any] = {}
        for _ in range(size):
            self._start()

    def _start(self) -> None:
        worker: Any = self.actor.remote(self.project, compute.pinned())
        self.starting[worker.ready.remote()] = worker

    def started(self, reference: Any) -> None:
        """Take a worker in that says it is ready.

        Raises:
            EngineError: it cannot work here.
        """
        worker = self.starting.pop(reference)
        try:
            found = self.ray.get(reference)
        except self.ray.exceptions.RuntimeEnvSetupError as error:
            raise EngineError(f"a worker cannot be set up: {_short(error)}") from None
        except self.ray.exceptions.RayError:
            self._start()  # its node was lost as it began
            return
        if isinstance(found, str):
            raise EngineError(found)
        if odd := [name for name in self.versions if found[name] != self.versions[name]]:
            other, own = found[odd[0]] or "none", self.versions[odd[0]] or "none"
            raise EngineError(f"a worker has {odd[0]} {other}, expected {own} as here")
        self.free.append(worker)

    def replace(self, worker: Any) -> None:
        """End a worker at once, and start another one."""
        self.ray.kill(worker)
        self._start()

    def stop(self) -> None:
        if stopping := [worker.stop.remote() for worker in self.free]:
            self.ray.wait(stopping, num_returns=len(stopping), timeout=LOOK)
        for worker in (*self.free, *self.starting.values()):
            self.ray.kill(worker)


_workers: dict[tuple[str, int | None, str | None], _Workers] = {}
"""Those that run, kept for the next map of this process."""


def disconnect() -> None:
    """End the workers of this process, and its connection."""
    _stop()
    if ray := sys.modules.get("ray"):
        ray.shutdown()


@atexit.register
def _stop() -> None:
    while _workers:
        workers = _workers.popitem()[1]
        if workers.ray.is_initialized() and _absent(workers.ray) is None:  # or Ray would wait for the head
            workers.stop()


def _pool(ray: ModuleType, device: str) -> _Workers:
    """Workers for a device; those for another one make room."""
    files = os.environ.get("AFTERIMAGE_FILES", "shared")
    if files not in ("shared", "carried"):
        raise ParamsError(f"AFTERIMAGE_FILES={files}: expected shared or carried")
    project = str(Path.cwd()) if files == "shared" else None
    there = ray.cluster_resources()
    if device == "cuda" and not there.get("GPU"):
        raise DeviceError(f"device `cuda` is not available here: {_described(ray)}")
    kind = "GPU" if device in ("auto", "cuda") and there.get("GPU") else "CPU"
    key = (kind, asked_jobs(), project)
    if key not in _workers:
        _stop()
        size = asked_jobs() or max(1, int(there.get(kind, 1)))
        resources = {"num_cpus": 1, "num_gpus": 1 if kind == "GPU" else 0}
        _workers[key] = _Workers(ray, size, resources, project)
    return _workers[key]


def versions() -> dict[str, str]:
    """Of the packages that results depend on; the project's own code is sent."""
    found = {}
    for package in PACKAGES:
        if package != "afterimage":
            try:
                found[package] = metadata.version(package)
            except metadata.PackageNotFoundError:
                found[package] = ""
    return found


def _absent(ray: ModuleType) -> str | None:
    """Why the head does not answer, if it does not."""
    address = ray.get_runtime_context().gcs_address
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=LOOK).close()
    except OSError as error:
        return f"the head of the cluster, {address}, is gone: {error.strerror or error}"
    return None


def _check_head(ray: ModuleType) -> None:
    """Raise EngineError where the head does not answer for long."""
    until = time.monotonic() + GONE
    while reason := _absent(ray):
        if time.monotonic() > until:
            raise EngineError(reason)
        time.sleep(1)


def _bytes(piece: Piece) -> bytes:
    with _inside(piece.path).open("rb") as stream:
        stream.seek(piece.offset)
        return stream.read(piece.size)


def _inside(path: Path) -> Path:
    if path.is_absolute() or ".." in path.parts:
        raise ParamsError(f"AFTERIMAGE_FILES=carried: {path} is not in the project's folder")
    return path


def _sendable(fault: Exception) -> Exception:
    """The fault itself where it can be sent."""
    import traceback

    import ray

    try:
        ray.cloudpickle.loads(ray.cloudpickle.dumps(fault))
    except Exception:
        return RuntimeError("".join(traceback.format_exception(fault)))
    if not isinstance(fault, AfterimageError):
        fault.add_note("".join(traceback.format_exception(fault)))
    return fault


def _short(error: BaseException) -> str:
    return one_line(str(error).strip().split("\n")[0]) or type(error).__name__


def _described(ray: ModuleType) -> str:
    there = ray.cluster_resources()
    return f"the cluster has {there.get('CPU', 0):g} CPUs and {there.get('GPU', 0):g} GPUs"
