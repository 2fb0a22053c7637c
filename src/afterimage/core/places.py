"""Where each sample of a split lies in its tars: an index that is mapped into memory instead of read.

`<split>.npy`, or `<split>.<part>.npy` of a part, lies beside the tars. It holds two arrays of NumPy, one after the
other: a row a sample (`key`, `extension`, and `offset` and `size` of its bytes in its tar), tar by tar, and a row a tar
(`name`, `sha256`, `bytes`, `samples`), which tells whether the file belongs to the tars. Opening it reads the second
alone; `np.load(path, mmap_mode="r")` gives the first.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from afterimage.core import outputs
from afterimage.core.errors import ShardError
from afterimage.core.parsing import parsing

Rows = npt.NDArray[np.void]
"""Structured `[N]`, with the fields of FIELDS."""

FIELDS = {"key": "S", "extension": "S", "offset": "u", "size": "u"}
"""The name of each field, and the kind of its values."""
BLOCK = 4096
"""Keys that are text at once."""


def rows(samples: Iterable[tuple[str, str, int, int]]) -> Rows:
    """The rows of samples, each with key, extension, offset and size."""
    columns = [*zip(*samples, strict=True)] or [(), (), (), ()]
    texts = [np.array([text.encode() for text in column], dtype=np.bytes_) for column in columns[:2]]
    found = np.empty(len(columns[0]), dtype=_dtype([texts]))
    for name, values in zip(FIELDS, [*texts, *columns[2:]], strict=True):
        found[name] = values
    return found


def _dtype(texts: Iterable[Sequence[npt.NDArray[Any]]]) -> np.dtype[np.void]:
    """A row's type that holds each key and each extension."""
    widths = [max(1, *(column.dtype.itemsize for column in columns)) for columns in zip(*texts, strict=True)] or [1, 1]
    return np.dtype([("key", f"S{widths[0]}"), ("extension", f"S{widths[1]}"), ("offset", "<u8"), ("size", "<u8")])


def joined(pieces: Sequence[Rows]) -> Rows:
    """The rows of several tars as one array."""
    return np.concatenate([rows(()), *pieces], dtype=_dtype([[piece["key"], piece["extension"]] for piece in pieces]))


def path(folder: Path, split: str, part: str = "") -> Path:
    """The index of a split of the shards in a folder, or of a part of its samples."""
    return folder / ".".join(filter(None, (split, part, "npy")))


def write(path: Path, tars: Sequence[Mapping[str, Any]], pieces: Sequence[Rows]) -> None:
    """Write the index of some tars.

    Args:
        tars: as index.json lists them.
        pieces: the rows of each.
    """
    dtype = _dtype([[piece["key"], piece["extension"]] for piece in pieces])
    header = {"descr": dtype.descr, "fortran_order": False, "shape": (sum(map(len, pieces)),)}
    with outputs.file(path) as partial, partial.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for piece in pieces:
            stream.write(piece.astype(dtype).tobytes())
        np.lib.format.write_array(stream, _described(tars), allow_pickle=False)


def load(path: Path, tars: Sequence[Mapping[str, Any]]) -> Rows:
    """Map the index of some tars into memory; FileNotFoundError where there is none.

    Raises:
        ShardError: it is damaged, or of other tars than these.
    """
    with parsing(ShardError, f"{path}: not an index of samples"), path.open("rb") as stream:
        found = np.lib.format.open_memmap(path, mode="r")
        if found.ndim != 1 or {name: found.dtype[name].kind for name in found.dtype.names or ()} != FIELDS:
            raise ValueError(f"rows of {found.dtype} and shape {found.shape}")
        stream.seek(found.offset + found.nbytes)
        known = np.load(stream, allow_pickle=False)
        if stream.read(1):
            raise ValueError("more than two arrays")
        wanted = _described(tars)
        if known.dtype.names != wanted.dtype.names or known.ndim != 1:
            raise ValueError(f"shards of {known.dtype}")
        if odd := next((b or a for a, b in zip_longest(known.tolist(), wanted.tolist()) if a != b), None):
            raise ShardError(f"{path}: is of another {odd[0].decode()} than index.json lists; {RESTORED}")
        if len(found) != sum(tar["samples"] for tar in tars):
            raise ValueError(f"{len(found)} rows")
    return np.asarray(found)


RESTORED = "run dvc checkout, or the stage that writes these shards"
"""What mends an index."""


def _described(tars: Sequence[Mapping[str, Any]]) -> Rows:
    longest = max((len(tar["name"].encode()) for tar in tars), default=1)
    found = np.empty(
        len(tars), dtype=[("name", f"S{longest}"), ("sha256", "S64"), ("bytes", "<u8"), ("samples", "<u8")]
    )
    for number, tar in enumerate(tars):
        found[number] = (tar["name"].encode(), tar["sha256"].encode(), tar["bytes"], tar["samples"])
    return found


class Keys(Sequence[str]):
    """The keys of rows by position, as text when they are asked for; `place` goes the other way."""

    def __init__(self, rows: Rows):
        self._keys = rows["key"]
        self._sorted: tuple[npt.NDArray[np.bytes_], npt.NDArray[np.intp]] | None = None

    def __len__(self) -> int:
        return len(self._keys)

    @overload
    def __getitem__(self, position: int) -> str: ...

    @overload
    def __getitem__(self, position: slice) -> list[str]: ...

    def __getitem__(self, position: int | slice) -> str | list[str]:
        if isinstance(position, slice):
            return [key.decode() for key in self._keys[position].tolist()]
        return bytes(self._keys[position]).decode()

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), BLOCK):
            yield from self[start : start + BLOCK]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Keys):
            return np.array_equal(self._keys, other._keys)
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(str.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self.place(key) is not None

    def place(self, key: str) -> int | None:
        """The position of a key, the first where it is there twice; None where it is not there."""
        if self._sorted is None:  # 8 bytes a key and its letters, where a dict takes 200
            order = np.argsort(self._keys, kind="stable")
            self._sorted = self._keys[order], order
        keys, order = self._sorted
        found = int(np.searchsorted(keys, key.encode()))
        return int(order[found]) if found < len(keys) and keys[found] == key.encode() else None
