"""Checkpoints: what a stage that was killed goes on from. A damaged one is as good as none."""

import os
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from afterimage.core import outputs
from afterimage.core.errors import WeightsError
from afterimage.core.parsing import parsing


def write(path: Path, data: Mapping[str, Any]) -> None:
    """Write tensors and plain values, whole or not at all."""
    with outputs.file(path) as partial, partial.open("wb") as stream:
        torch.save(dict(data), stream)
        stream.flush()
        os.fsync(stream.fileno())  # the name must not reach the disk before the bytes


def read(path: Path, fingerprint: str) -> dict[str, Any] | None:
    """What `write` wrote; None if there is no file, its `fingerprint` is another, or a byte of it is not as written."""
    if not path.is_file():
        return None
    try:
        with parsing(WeightsError, f"{path}: not as it was written"):
            with zipfile.ZipFile(path) as archive:  # torch.load does not compare the checksums
                if (damaged := archive.testzip()) is not None:
                    raise ValueError(f"the checksum of {damaged} is another")
            data: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            return data if data["fingerprint"] == fingerprint else None
    except WeightsError as fault:
        print(f"{fault}; this begins anew", file=sys.stderr)
        return None
