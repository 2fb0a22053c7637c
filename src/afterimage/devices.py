"""Where networks run."""

from typing import Literal

import torch

from afterimage.errors import DeviceError

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
