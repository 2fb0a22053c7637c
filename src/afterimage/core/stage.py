"""How a stage runs: one line for a fault, a run record outside the outputs, the same bits every time."""

import fcntl
import inspect
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from importlib import metadata
from pathlib import Path
from typing import Any

from afterimage.core import compute, outputs
from afterimage.core.errors import AfterimageError

PARAMS = Path("params.yaml")
RECORDS = Path(".afterimage/runs")
PACKAGES = (
    "afterimage",
    "dvc",
    "lpips",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "scikit-image",
    "torch",
    "torchvision",
    "webdataset",
)
"""Those whose versions a record tells."""


def run(main: Callable[..., None]) -> None:
    """Call a stage's `main` with the words of the command line and end the process with its status.

    A fault that the user can mend, a full disk among them, is one line on standard error. What differs from run to
    run (versions, machine, duration) goes to a record under `.afterimage/runs`, which is no output of any stage.

    A stage runs once at a time: a second process of it waits. DVC sees to that too, except where it was killed and its
    stage lived on.
    """
    name = Path(sys.argv[0]).stem
    words = sys.argv[1:]
    try:
        inspect.signature(main).bind(*words)
    except TypeError:
        fail(name, [], f"expected {' '.join(inspect.signature(main).parameters).upper() or 'no words'}, found {words}")
    try:
        first = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun starts, if it did
        with _alone(RECORDS / f"{'@'.join([name, *words])}.lock") if first else nullcontext():
            started = time.time()
            compute.pin(PARAMS)  # before `main` imports what computes
            main(*words)
            if first:
                _record(name, words, started)
    except AfterimageError as error:
        fail(name, words, str(error))
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        where = f": {error.filename}" if error.filename else ""
        fail(name, words, f"{error.strerror}{where}")
    except KeyboardInterrupt:
        fail(name, words, "interrupted; run the same command to go on")


def fail(name: str, words: list[str], text: str) -> None:
    sys.exit(f"{'@'.join([name, *words])}: {text}")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock that the system takes back when the process ends, however it does."""
    path.parent.mkdir(parents=True, exist_ok=True)  # a row's name may hold a slash
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{path.stem}: waits for another process that runs it", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _record(name: str, words: list[str], started: float) -> None:
    record = {
        "stage": "@".join([name, *words]),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(started)),
        "seconds": round(time.time() - started, 2),
        "cores": os.cpu_count(),
        "device": _device(),
        **machine(),
    }
    outputs.write_json(RECORDS / f"{'@'.join([name, *words])}.json", record)


def machine() -> dict[str, Any]:
    """What results may depend on besides the project's files."""
    return {
        "cpu": compute.cpu(),
        "system": f"{platform.system()}, {' '.join(platform.libc_ver())}",
        "python": platform.python_version(),
        "packages": {package: metadata.version(package) for package in PACKAGES},
    }


def _device() -> str | None:
    """The accelerator's name where a stage used torch; importing torch just to ask would cost seconds."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
