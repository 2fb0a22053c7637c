"""How a stage runs: one line for a fault, a run record outside the outputs, the same bits every time."""

import inspect
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from afterimage.core import compute
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
    """
    name = Path(sys.argv[0]).stem
    words = sys.argv[1:]
    started = time.time()
    try:
        inspect.signature(main).bind(*words)
    except TypeError:
        fail(name, [], f"expected {' '.join(inspect.signature(main).parameters).upper() or 'no words'}, found {words}")
    try:
        compute.pin(PARAMS)  # before `main` imports what computes
        main(*words)
    except AfterimageError as error:
        fail(name, words, str(error))
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        where = f": {error.filename}" if error.filename else ""
        fail(name, words, f"{error.strerror}{where}")
    except KeyboardInterrupt:
        fail(name, words, "interrupted; run the same command to go on")
    _record(name, words, started)


def fail(name: str, words: list[str], text: str) -> None:
    sys.exit(f"{'@'.join([name, *words])}: {' '.join(text.split())}")


def _record(name: str, words: list[str], started: float) -> None:
    record = {
        "stage": "@".join([name, *words]),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(started)),
        "seconds": round(time.time() - started, 2),
        "cores": os.cpu_count(),
        "device": _device(),
        **machine(),
    }
    path = RECORDS / f"{'@'.join([name, *words])}.json"
    path.parent.mkdir(parents=True, exist_ok=True)  # a row's name may hold a slash
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


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
