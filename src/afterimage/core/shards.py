"""Shards: WebDataset tars that are the same on any machine, and the index that says what is in them.

Images, features and reconstructions have the same layout, so writing (`writer`, `describe`, `write_index`) and
reading (`load_index`, `read`, `Table`) serve them all.

A sample is the member `<key>.<extension>`. What else belongs to it lies right behind, each thing as a part with a name
of its own: `<key>.<part>.<extension>`. Where images come in pairs, the part `input` is the input of the sample.
"""

import hashlib
import os
import re
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypedDict

import numpy as np
import numpy.typing as npt

from afterimage.core import outputs
from afterimage.core.errors import ShardError
from afterimage.core.parsing import from_json, parsing

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

SPLITS = ("train", "val", "test")

Index = dict[str, Any]
"""`index.json` as it is: what the shards hold, and `splits`, each with `samples` and a list of `shards`."""

INPUT = "input"
"""The part that holds a sample's input, where images come in pairs."""

MEMBER = re.compile(r"[A-Za-z0-9_=-]+(\.[a-z0-9]+){1,2}")
"""A member's name: a key, which has no dots, the name of a part if it is one, and an extension."""


class Shard(TypedDict):
    """A tar as the index lists it; bytes and sha256 are those of the whole file."""

    name: str
    samples: int
    bytes: int
    sha256: str


# Writing


class _Hashed:
    """A file that is hashed while it is written."""

    def __init__(self, stream: BinaryIO):
        self._stream, self.sha256, self.bytes = stream, hashlib.sha256(), 0

    def write(self, data: "ReadableBuffer") -> None:
        self.sha256.update(data)
        self.bytes += self._stream.write(data)


class Put:
    """Adds members to a tar: `put(name, data)`."""

    def __init__(self, path: Path, file: _Hashed):
        self._path, self._file, self._samples = path, file, 0

    def __call__(self, name: str, *data: "ReadableBuffer") -> None:
        """Add a member `<key>.<extension>` or `<key>.<part>.<extension>`, whose bytes may come in pieces.

        Raises:
            ShardError: the name is neither.
        """
        if not MEMBER.fullmatch(name):
            raise ShardError(f"{self._path}: {name!r} is no name of a sample; expected <key>.<extension>")
        size = sum(memoryview(piece).nbytes for piece in data)
        for piece in (_header(name, size), *data, bytes(-size % tarfile.BLOCKSIZE)):
            self._file.write(piece)
        self._samples += name.count(".") == 1

    def described(self) -> Shard:
        """The tar's entry in the index, once it is whole: `describe` without reading it again."""
        digest = self._file.sha256.hexdigest()
        return {"name": self._path.name, "samples": self._samples, "bytes": self._file.bytes, "sha256": digest}


@contextmanager
def writer(path: Path) -> Iterator[Put]:
    """Yield what adds members to a new tar, which is whole when the block ends well."""
    with outputs.file(path) as partial, partial.open("wb") as stream:
        file = _Hashed(stream)
        # A tar of WebDataset is any tar with such names. Its own TarWriter and tarfile make the same bytes, and take
        # longer for a member than a light network for its forward pass
        yield Put(path, file)
        end = file.bytes + 2 * tarfile.BLOCKSIZE
        file.write(bytes(end - file.bytes + -end % tarfile.RECORDSIZE))


def _member(name: str, size: int) -> bytes:
    """The header of a member as tarfile makes it; its time is 0."""
    header = tarfile.TarInfo(name)
    header.size, header.mode, header.uname, header.gname = size, 0o444, "afterimage", "afterimage"
    return header.tobuf(tarfile.PAX_FORMAT)


_BLANK = _member("", 0)


def _header(name: str, size: int) -> bytes:
    """The same, faster: only the name, the size and the sum of all bytes differ from those of an empty member."""
    if len(name) > tarfile.LENGTH_NAME or size >= 8**11:
        return _member(name, size)
    named = name.encode().ljust(tarfile.LENGTH_NAME, b"\0")
    before, after = named + _BLANK[100:124] + b"%011o" % size + _BLANK[135:148], _BLANK[156:]
    return before + b"%06o\0 " % (sum(before) + sum(after) + 8 * ord(" ")) + after


def split_hash(index: Index, split: str) -> str:
    """One SHA-256 for what the tars of a split hold."""
    return outputs.digest([shard["sha256"] for shard in index["splits"][split]["shards"]])


def describe(path: Path, samples: int | None = None) -> Shard:
    """The entry of a finished tar in the index; its samples are counted where their number is not given."""
    if samples is None:
        samples = sum(1 for name, *_ in members(path) if name.count(".") == 1)
    return {"name": path.name, "samples": samples, "bytes": path.stat().st_size, "sha256": outputs.sha256(path)}


def write_index(folder: Path, about: Mapping[str, Any], splits: Mapping[str, Sequence[Shard]]) -> None:
    """Write `index.json` beside finished tars: what they hold, and the tars of each split in their order."""
    totals = {
        split: {"samples": sum(shard["samples"] for shard in shards), "shards": list(shards)}
        for split, shards in splits.items()
    }
    outputs.write_json(folder / "index.json", {**about, "splits": totals})


# Reading


def load_index(folder: Path) -> Index:
    """Read the index of a folder of shards.

    Raises:
        ShardError: there is none, or it is not such an index.
    """
    path = folder / "index.json"
    try:
        index = from_json(path.read_bytes(), str(path), ShardError)
    except FileNotFoundError:
        raise ShardError(f"{path}: there is no such index; run the stage that writes these shards") from None
    with parsing(ShardError, f"{path}: not an index of shards"):
        for split in index["splits"].values():
            for shard in [{"name": "x.tar", "bytes": 0, "sha256": "", **split}, *split["shards"]]:
                kinds = [type(shard[field]) for field in ("name", "samples", "bytes", "sha256")]
                if kinds != [str, int, int, str] or Path(shard["name"]).name != shard["name"]:
                    raise ValueError(f"not an entry of a shard: {shard}")
    return index


def read(folder: Path, split: str, part: str = "") -> Iterator[tuple[str, bytes, str]]:
    """Yield key, bytes and extension of each sample of a split, in order, one in memory at a time.

    Args:
        part: that of each sample in place of the sample itself, such as INPUT.

    Raises:
        ShardError: there is no such split, or a shard is missing, truncated or does not match the index.
    """
    for path, shard in _shards(folder, split):
        with path.open("rb") as stream:
            for key, extension, offset, size in _samples(path, shard, part):
                stream.seek(offset)
                yield key, stream.read(size), extension


def tars(folder: Path, split: str) -> list[tuple[Path, Shard]]:
    """The tars of a split, with what the index says of each, for work that goes by the shard.

    Raises:
        ShardError: there is no such split, or a tar is missing or of another size.
    """
    return list(_shards(folder, split))


def read_tar(path: Path, shard: Shard, part: str = "") -> Iterator[tuple[str, bytes, str]]:
    """As `read`, of one of the `tars`."""
    with path.open("rb") as stream:
        for key, extension, offset, size in _samples(path, shard, part):
            stream.seek(offset)
            yield key, stream.read(size), extension


class Table:
    """The samples of a split by position, for random access.

    Opening it reads the headers of the tars once. It can be shared by threads, crosses a fork, and pickles to the
    workers of a DataLoader; each process opens the tars for itself, when it first needs them.

    Args:
        part: that of each sample in place of the sample itself, such as INPUT.

    Attributes:
        index: the folder's index.
        keys: the key of each sample.
        extensions: the extension of each sample, without a dot.
    """

    MAX_OPEN = 256
    """So many tars stay open; others are opened for each read, because systems limit open files."""

    def __init__(self, folder: Path, split: str, part: str = ""):
        """Raises:
        ShardError: there is no such split, or a shard is missing, truncated or does not match the index.
        """
        self.index = load_index(folder)
        self.keys: list[str] = []
        self.extensions: list[str] = []
        self._paths: list[Path] = []
        places: list[npt.NDArray[np.int64]] = []
        for path, shard in _shards(folder, split):
            rows = list(_samples(path, shard, part))
            self.keys += [key for key, *_ in rows]
            self.extensions += [sys.intern(extension) for _, extension, *_ in rows]
            number = len(self._paths)
            places.append(np.array([(number, offset, size) for *_, offset, size in rows], dtype=np.int64))
            self._paths.append(path)
        self._numbers, self._offsets, self._sizes = (
            np.concatenate(places).T.copy() if places else np.zeros((3, 0), dtype=np.int64)
        )
        self._open: dict[int, BinaryIO] = {}

    def __len__(self) -> int:
        return len(self.keys)

    def bytes(self, position: int) -> bytes:
        """The bytes of a sample.

        Raises:
            ShardError: the tar was shortened after the table was opened.
        """
        number, offset, size = (int(column[position]) for column in (self._numbers, self._offsets, self._sizes))
        stream = self._open.get(number)
        if stream is None:
            stream = self._paths[number].open("rb", buffering=0)
            if len(self._open) < self.MAX_OPEN:
                self._open[number] = stream
        data = os.pread(stream.fileno(), size, offset)  # no shared position: safe between threads and after a fork
        if len(data) != size:
            raise ShardError(f"{self._paths[number]}: ends within {self.keys[position]}: {len(data)} of {size} bytes")
        return data

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}


def _shards(folder: Path, split: str) -> Iterator[tuple[Path, Shard]]:
    """The tars of a split, each there and as large as the index says."""
    splits = load_index(folder)["splits"]
    if split not in splits:
        raise ShardError(f"{folder / 'index.json'}: no split `{split}`; there are {', '.join(splits) or 'none'}")
    for shard in splits[split]["shards"]:
        path = folder / shard["name"]
        if not path.is_file():
            raise ShardError(f"{path}: this shard is missing, although index.json lists it")
        if (found := path.stat().st_size) != shard["bytes"]:
            raise ShardError(f"{path}: {found} bytes, expected {shard['bytes']} by index.json: truncated or replaced")
        yield path, shard


def _samples(path: Path, shard: Shard, wanted: str) -> Iterator[tuple[str, str, int, int]]:
    """Key, extension, offset and size of each sample of a tar, or of its part, as many as the index says."""
    count, sample = 0, ""
    for name, offset, size in members(path):
        key, dot, rest = name.partition(".")
        if not dot:
            raise ShardError(f"{path}: the member {name} has no extension, expected <key>.<extension>")
        part, _, extension = rest.rpartition(".")
        if not part:
            sample = key
        elif key != sample:
            raise ShardError(f"{path}: {name} follows {sample or 'nothing'}, expected the sample that it is a part of")
        if part == wanted:
            count += 1
            yield key, extension, offset, size
    if count != shard["samples"]:
        what = f"samples with {wanted}" if wanted else "samples"
        raise ShardError(f"{path}: {count} {what}, expected {shard['samples']} by index.json")


def members(path: Path) -> Iterator[tuple[str, int, int]]:
    """Name, offset and size of each member of a tar, from its headers alone."""
    with parsing(ShardError, f"{path}: not a whole tar"), tarfile.open(path, "r:") as tar:
        while (member := tar.next()) is not None:
            getattr(tar, "members").clear()  # noqa: B009 - tarfile would keep every header in memory
            yield member.name, member.offset_data, member.size
