"""Arrays as they lie in shards: .npy files of float numbers, or of 8 bits with a scale for each channel beside them."""

import io
import math
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from afterimage.core.errors import ShardError
from afterimage.core.parsing import parsing

SCALE = "scale"
"""The part of a sample with the scales of its 8-bit features: float32 `[2, C]`, the steps and the lowest values."""
LONGEST_HEADER = 10_000
"""Bytes, as NumPy has it; but NumPy reads what is longer before it says so."""
BLOCK = 512
"""A tar's members and their headers fill whole blocks."""


def to_npy(array: npt.NDArray[Any]) -> tuple[bytes, memoryview]:
    """An array as the bytes of a .npy file, in two pieces, so that it need not be copied."""
    return _header(array.shape, array.dtype.str), np.ascontiguousarray(array).data


@lru_cache(maxsize=64)
def _header(shape: tuple[int, ...], dtype: str) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def from_npy(data: bytes, name: str) -> npt.NDArray[Any]:
    """The array in the bytes of a .npy file, without a copy; it cannot be written to.

    Raises:
        ShardError: the bytes are no such file, or too few.
    """
    stream = io.BytesIO(data)
    with parsing(ShardError, f"{name}: not an array"):
        np.lib.format.read_magic(stream)
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        if fortran or dtype.hasobject:
            raise ValueError("expected rows of plain numbers")
        return np.frombuffer(data, dtype, offset=stream.tell()).reshape(shape)


def load(path: Path) -> npt.NDArray[Any]:
    """The array in a .npy file of any of NumPy's versions, without pickles.

    Raises:
        ShardError: it is no such file, or claims to hold more than it does, which NumPy would ask memory for.
    """
    with parsing(ShardError, f"{path}: not an array of numbers"), path.open("rb") as stream:
        shape, fortran, dtype = header(stream)
        if dtype.hasobject:
            raise ValueError("it holds Python objects")
        found = os.fstat(stream.fileno()).st_size - stream.tell()
        if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize > found:
            raise ValueError(f"claims to be {dtype} {list(shape)}, and holds {found} bytes")
        array = np.fromfile(stream, dtype, math.prod(shape))
        return array.reshape(shape, order="F" if fortran else "C")


def header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether columns come first, and type of the array that follows."""
    version = np.lib.format.read_magic(stream)
    plain = version == (1, 0)
    length = stream.read(2 if plain else 4)
    if (size := int.from_bytes(length, "little")) > LONGEST_HEADER:
        raise ValueError(f"claims a header of {size} bytes")
    read = np.lib.format.read_array_header_1_0 if plain else np.lib.format.read_array_header_2_0
    return read(io.BytesIO(length + stream.read(size)))


def restored(codes: npt.NDArray[np.uint8], scale: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Features `[C, h, w]`, or `[h * w, C]`, as float32, from 8-bit codes and the scales of their channels."""
    steps, lowest = scale if codes.ndim == 2 else scale[:, :, None, None]
    return codes * steps + lowest


def stored_bytes(shape: Sequence[int], dtype: str, samples: int) -> int:
    """What features `[C, h, w]` of so many samples take in tars, up to the few blocks at the end of each."""
    size = _member(shape, dtype)
    if dtype == "uint8":
        size += _member((2, shape[0]), "float32")
    return samples * size


def _member(shape: Sequence[int], dtype: str) -> int:
    kind = np.dtype(dtype)
    content = len(_header(tuple(shape), kind.str)) + int(np.prod(shape)) * kind.itemsize
    return BLOCK + -(-content // BLOCK) * BLOCK
