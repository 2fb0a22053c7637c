"""Where networks run."""

import os
from typing import Literal

import torch

from afterimage.core.errors import DeviceError

Name = Literal["auto", "cpu", "cuda", "mps"]


def choose(name: Name) -> torch.device:
    """`auto` takes CUDA, then MPS, then the CPU.

    Raises:
        DeviceError: a device is asked for that this machine does not have.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    there = [device for device, yes in available.items() if yes]
    if name == "auto":
        return torch.device(there[0])
    if name not in there:
        raise DeviceError(f"device `{name}` is not available here; there is {', '.join(there)}")
    return torch.device(name)


def be_deterministic() -> None:
    """Let the same inputs give the same bits, on a GPU too."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # The same as use_deterministic_algorithms(True, warn_only=True), which also imports the compiler: a second
    torch.set_deterministic_debug_mode("warn")
    torch.backends.cudnn.benchmark = False
