"""Shards: WebDataset tars that are the same on any machine, and the index that says what is in them.

Images, features and reconstructions have the same layout, so writing (`writer`, `describe`, `write_index`) and
reading (`load_index`, `read`, `Table`) serve them all. Where each sample lies in its tar is in `places`, so that
opening a million of them reads no header.

A sample is the member `<key>.<extension>`. What else belongs to it lies right behind, each thing as a part with a name
of its own: `<key>.<part>.<extension>`. Where images come in pairs, the part `input` is the input of the sample.
"""

import builtins
import hashlib
import os
import re
import tarfile
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NotRequired, TypedDict

from afterimage.core import outputs, places
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
    places: NotRequired[dict[str, places.Rows]]
    """Of a tar that was just written, where its samples lie, by part; never in index.json."""


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
        self._path, self._file = path, file
        self._placed: dict[str, list[tuple[str, str, int, int]]] = {"": []}

    def __call__(self, name: str, *data: "ReadableBuffer") -> None:
        """Add a member `<key>.<extension>` or `<key>.<part>.<extension>`, whose bytes may come in pieces.

        Raises:
            ShardError: the name is neither.
        """
        if not MEMBER.fullmatch(name):
            raise ShardError(f"{self._path}: {name!r} is no name of a sample; expected <key>.<extension>")
        key, part, extension = _parts(self._path, name)
        size = sum(memoryview(piece).nbytes for piece in data)
        self._file.write(_header(name, size))
        self._placed.setdefault(part, []).append((key, extension, self._file.bytes, size))
        for piece in (*data, bytes(-size % tarfile.BLOCKSIZE)):
            self._file.write(piece)

    def described(self) -> Shard:
        """The tar's entry in the index, once it is whole: `describe` without reading it again."""
        return {
            "name": self._path.name,
            "samples": len(self._placed[""]),
            "bytes": self._file.bytes,
            "sha256": self._file.sha256.hexdigest(),
            "places": {part: places.rows(placed) for part, placed in self._placed.items()},
        }


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
    """Write `index.json` beside finished tars: what they hold, and the tars of each split in their order.

    Beside it, `places` are written of each split, and of each part that all its samples have.
    """
    totals = {}
    for split, described in splits.items():
        tars = [{key: value for key, value in shard.items() if key != "places"} for shard in described]
        totals[split] = {"samples": sum(shard["samples"] for shard in described), "shards": tars}
        placed = [shard.get("places") or _placed(folder / shard["name"]) for shard in described]
        for part in dict.fromkeys(part for each in placed for part in each):
            pieces = [each.get(part, places.rows(())) for each in placed]
            if [len(piece) for piece in pieces] == [shard["samples"] for shard in described]:
                places.write(places.path(folder, split, part), tars, pieces)
    outputs.write_json(folder / "index.json", {**about, "splits": totals})


def _placed(path: Path) -> dict[str, places.Rows]:
    """Where the samples of a tar and their parts lie, by part."""
    found: dict[str, list[tuple[str, str, int, int]]] = {}
    for name, offset, size in members(path):
        key, part, extension = _parts(path, name)
        found.setdefault(part, []).append((key, extension, offset, size))
    return {part: places.rows(placed) for part, placed in found.items()}


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

    The headers of the tars are read on the way, and held against `places`.

    Args:
        part: that of each sample in place of the sample itself, such as INPUT.

    Raises:
        ShardError: there is no such split, or a shard is missing, truncated or does not match the index.
    """
    tars, placed = _opened(folder, split, part)
    known = repeat(None) if placed is None else iter(placed)
    for path, shard in tars:
        with path.open("rb") as stream:
            for (key, extension, offset, size), row in zip(_samples(path, shard, part), known, strict=False):
                if row is not None and row.item() != (key.encode(), extension.encode(), offset, size):
                    raise ShardError(f"{path}: {key} is not where {places.path(folder, split, part).name} has it")
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

    Opening it maps `places` into memory; the headers of the tars are read once where there are none. It can be shared
    by threads, crosses a fork, and pickles to the workers of a DataLoader; each process opens the tars for itself, when
    it first needs them.

    Args:
        part: that of each sample in place of the sample itself, such as INPUT.

    Attributes:
        index: the folder's index.
        keys: the key of each sample.
    """

    MAX_OPEN = 256
    """So many tars stay open; others are opened for each read, because systems limit open files."""

    def __init__(self, folder: Path, split: str, part: str = ""):
        """Raises:
        ShardError: there is no such split, or a shard is missing, truncated or does not match the index.
        """
        self._opened_as = (folder, split, part)
        self.index = load_index(folder)
        tars, placed = _opened(folder, split, part)
        if placed is None:
            placed = places.joined([places.rows(_samples(path, shard, part)) for path, shard in tars])
        self.keys = places.Keys(placed)
        self._rows, self._paths = placed, [path for path, _ in tars]
        self._ends = [*accumulate(shard["samples"] for _, shard in tars)]
        self._infix = f".{part}." if part else "."
        self._open: dict[int, BinaryIO] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def bytes(self, position: int) -> bytes:
        """The bytes of a sample.

        Raises:
            ShardError: they are not where they should be: the tar was changed after the table was opened, or it or its
                index is damaged.
        """
        position = range(len(self))[position]
        number = bisect_right(self._ends, position)
        key, extension, offset, size = self._rows[position].item()
        stream = self._open.get(number)
        if stream is None:
            stream = self._paths[number].open("rb", buffering=0)
            if len(self._open) < self.MAX_OPEN:
                self._open[number] = stream
        name = key + self._infix.encode() + extension
        if not _heads(os.pread(stream.fileno(), tarfile.BLOCKSIZE, max(0, offset - tarfile.BLOCKSIZE)), name, size):
            raise ShardError(f"{self._paths[number]}: {name.decode()} is not where it should be; {places.RESTORED}")
        data = os.pread(stream.fileno(), size, offset)  # no shared position: safe between threads and after a fork
        if len(data) != size:
            raise ShardError(f"{self._paths[number]}: ends within {self.keys[position]}: {len(data)} of {size} bytes")
        return data

    def of(self, key: str) -> builtins.bytes:
        """The bytes of the sample with this key.

        Raises:
            ShardError: as `bytes`, or there is none.
        """
        if (position := self.keys.place(key)) is None:
            folder, split, _ = self._opened_as
            raise ShardError(f"{folder}: has no sample `{key}` in {split}")
        return self.bytes(position)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._opened_as


def _heads(header: bytes, name: bytes, size: int) -> bool:
    """Whether a tar's header is of this member; names longer than its field stand before it, too."""
    field = header[:100].rstrip(b"\0")
    return field[:99] == name[:99] and header[124:135] == b"%011o" % size


def _opened(folder: Path, split: str, part: str) -> tuple[list[tuple[Path, Shard]], places.Rows | None]:
    """The tars of a split and where its samples lie in them; None where no index says so."""
    tars = list(_shards(folder, split))
    try:
        return tars, places.load(places.path(folder, split, part), [shard for _, shard in tars])
    except FileNotFoundError:
        return tars, None


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
        key, part, extension = _parts(path, name)
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


def _parts(path: Path, name: str) -> tuple[str, str, str]:
    """Key, part and extension of a member's name."""
    key, dot, rest = name.partition(".")
    if not dot:
        raise ShardError(f"{path}: the member {name} has no extension, expected <key>.<extension>")
    part, _, extension = rest.rpartition(".")
    return key, part, extension


def members(path: Path) -> Iterator[tuple[str, int, int]]:
    """Name, offset and size of each member of a tar, from its headers alone."""
    with parsing(ShardError, f"{path}: not a whole tar"), tarfile.open(path, "r:") as tar:
        while (member := tar.next()) is not None:
            getattr(tar, "members").clear()  # noqa: B009 - tarfile would keep every header in memory
            yield member.name, member.offset_data, member.size
