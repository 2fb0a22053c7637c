"""The files of one archive - zip, tar, tar.gz, tar.bz2, tar.xz - by name, in any order, never unpacked.

A zip and a plain tar let go to any of their files. A compressed tar does not, so it is decompressed once into a
temporary tar, which has no name and goes away with the process: that costs its size on disk, but not another pass over
the whole for each file that lies out of order.

An archive may be hostile. Nothing is ever written under a name that it holds, and these are the rules:

- names are read as UTF-8 where they are that (a zip need not say so), else as code page 437 in a zip; a backslash in a
  zip is a `/`; empty parts and `.` in a path count as nothing;
- a file is set aside if its name is absolute or leads out of the archive, if it is a link that leads out or nowhere,
  a device or a pipe, sparse, encrypted, damaged, or larger than `sources.MAX_BYTES`, as it says or as it turns out;
- a link to a file in the archive counts as that file;
- of files with one name the last counts, as when unpacking; the others are renamed and set aside;
- the whole is refused if it is truncated, if its ending speaks of another kind, or if its files are more than
  `MAX_RATIO` times as large as itself and larger than `sources.MAX_BYTES`.
"""

import bz2
import contextlib
import gzip
import io
import lzma
import os
import posixpath
import re
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple, cast

from afterimage.core.errors import ImageError, SourceError
from afterimage.core.parsing import parsing
from afterimage.datasets import sources
from afterimage.datasets.sources import downloads

MAX_RATIO = 200
"""Deflate makes up to 1,032 bytes of one; images come nowhere near this."""
MAX_HEADER = 1 << 20
"""The longest read while a tar is indexed: a header may claim that the next name has gigabytes."""
MAX_LINK = 4096
BLOCK = 1 << 20

ENDINGS = {
    "zip": (".zip",),
    "tar": (".tar",),
    "gzip": (".tar.gz", ".tgz"),
    "bzip2": (".tar.bz2", ".tbz2", ".tbz"),
    "xz": (".tar.xz", ".txz"),
}
OPENERS: dict[str, Any] = {"gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open}
BEGINNINGS = {
    b"PK\3\4": "zip",
    b"PK\5\6": "zip",
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"7z\xbc\xaf": "7z",
    b"Rar!": "rar",
    b"\x28\xb5\x2f\xfd": "zstd",
}


class Member(NamedTuple):
    """A file of an archive, and where to find it."""

    size: int
    place: int | zipfile.ZipInfo
    """The offset in a tar, the entry of a zip."""
    fault: str | None = None
    """Why it is set aside."""
    link: str | None = None
    """The member that it stands for."""


class Archive:
    """The files of an archive by name.

    Attributes:
        origin: the archive's name in messages.
        members: the files of all kinds by their normalised names, among them those that are set aside.
    """

    def __init__(self, path: Path, origin: str):
        """Raises:
        SourceError: there is no such file, or it is refused as a whole.
        """
        self.origin = origin
        self.members: dict[str, Member] = {}
        self._limit = 0
        self._zip: zipfile.ZipFile | None = None
        try:
            stream = path.open("rb")
        except OSError as error:
            raise SourceError(f"{origin}: cannot be opened: {error.strerror}") from None
        self._limit = max(sources.MAX_BYTES, MAX_RATIO * os.fstat(stream.fileno()).st_size)
        kind = _kind(stream, origin)
        with parsing(SourceError, f"{origin}: not a whole {kind} archive"):
            if kind == "zip":
                self._zip = zipfile.ZipFile(stream)
                self._add(self._zip_members(self._zip))
            else:
                self._tar = self._decompressed(stream, kind) if kind in OPENERS else stream
                self._add(self._tar_members())

    def read(self, name: str) -> bytes:
        """The bytes of a member.

        Raises:
            ImageError: it is to be set aside, for the reason that the text gives.
        """
        member = self._followed(self.members[name])
        if member.fault:
            raise ImageError(member.fault)
        if member.size > sources.MAX_BYTES:
            raise ImageError(f"larger than the {sources.MAX_BYTES} bytes allowed")
        if isinstance(member.place, int):
            self._tar.seek(member.place)
            return self._tar.read(member.size)
        return self._inflated(member.place, member.size)

    def open(self, name: str) -> BinaryIO:
        """The same, as a stream."""
        return io.BytesIO(self.read(name))

    def _followed(self, member: Member) -> Member:
        if member.fault or member.link is None:
            return member
        if member.link.startswith(("/", "../")):
            raise ImageError("link that leads out of the archive")
        target = self.members.get(member.link)
        if target is None or target.link is not None:
            raise ImageError("link that leads nowhere")
        return target

    def _inflated(self, entry: zipfile.ZipInfo, size: int) -> bytes:
        assert self._zip is not None
        with parsing(ImageError, "damaged in the archive"), self._zip.open(entry) as stream:
            data = stream.read(size)
        if len(data) != size:
            raise ImageError(f"damaged in the archive: {len(data)} bytes, expected {size}")
        return data

    def _add(self, entries: Iterator[tuple[str, Member]]) -> None:
        total = 0
        for name, member in entries:
            total += member.size
            self._bounded(total)
            if name in self.members:
                root, ending = posixpath.splitext(name)
                number = 1
                while (other := f"{root} (replaced {number}){ending}") in self.members:
                    number += 1
                self.members[other] = self.members[name]._replace(fault="a later file of the archive has this name")
            self.members[name] = member

    def _bounded(self, total: int) -> None:
        if total > self._limit:
            raise SourceError(
                f"{self.origin}: its files would take more than {self._limit} bytes, {MAX_RATIO} times its own size: "
                "refused as a bomb"
            )

    def _zip_members(self, archive: zipfile.ZipFile) -> Iterator[tuple[str, Member]]:
        for entry in archive.infolist():
            if entry.is_dir():
                continue
            given = entry.filename
            if not entry.flag_bits & 0x800:  # not said to be UTF-8, which many are all the same
                with contextlib.suppress(UnicodeError):
                    given = given.encode("cp437").decode("utf-8")
            name, fault = _normal(given.replace("\\", "/"))
            link = None
            if entry.flag_bits & 1:
                fault = fault or "encrypted"
            elif stat.S_ISLNK(entry.external_attr >> 16):
                try:
                    target = self._inflated(entry, min(entry.file_size, MAX_LINK)).decode("utf-8", "surrogateescape")
                    link = _joined(name, target)
                except ImageError as error:
                    fault = fault or str(error)
            yield name, Member(entry.file_size, entry, fault, link)

    def _tar_members(self) -> Iterator[tuple[str, Member]]:
        stream = cast(IO[bytes], _Careful(self._tar))
        with tarfile.open(fileobj=stream, mode="r:", encoding="utf-8", errors="surrogateescape") as tar:
            before = -1
            while (entry := tar.next()) is not None:
                getattr(tar, "members").clear()  # noqa: B009 - tarfile would keep every header in memory
                if tar.offset <= before or entry.size < 0:  # tarfile would go round in circles
                    raise tarfile.ReadError(f"{entry.name} has {entry.size} bytes")
                before = tar.offset
                if entry.isdir():
                    continue
                name, fault = _normal(entry.name)
                link = None
                if entry.islnk():
                    link = _normal(entry.linkname)[0]
                elif entry.issym():
                    link = _joined(name, entry.linkname)
                elif entry.issparse():
                    fault = fault or "sparse file"
                elif not entry.isreg():
                    fault = fault or "not a regular file"
                yield name, Member(0 if link or fault else entry.size, entry.offset_data, fault, link)
            # where a header is damaged, tarfile stops without a word, as if that were the end
            self._tar.seek(tar.offset)
            if (end := self._tar.read(tarfile.BLOCKSIZE)) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError(f"damaged header at byte {tar.offset}" if end else "its end is missing")

    def _decompressed(self, stream: BinaryIO, kind: str) -> BinaryIO:
        downloads.FOLDER.mkdir(parents=True, exist_ok=True)
        plain = cast(BinaryIO, tempfile.TemporaryFile(dir=downloads.FOLDER))  # noqa: SIM115 - lives as long as self
        size = os.fstat(stream.fileno()).st_size
        with OPENERS[kind](stream) as source, downloads.bar(f"decompress {self.origin}", size, 0) as progress:
            while block := source.read(BLOCK):
                self._bounded(plain.tell() + len(block))
                plain.write(block)
                progress.update(stream.tell() - progress.n)
        stream.close()
        plain.seek(0)
        return plain


class _Careful:
    """A stream that does not read as much at once as a hostile header asks for."""

    def __init__(self, stream: BinaryIO):
        self._stream = stream
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._stream.read(size)


def within(name: str) -> bool:
    """Whether a name stays inside the archive."""
    return not (_absolute(name) or ".." in name.split("/"))


def _absolute(name: str) -> bool:
    return name.startswith("/") or re.match(r"[A-Za-z]:/", name) is not None


def _normal(name: str) -> tuple[str, str | None]:
    """A member's name without what counts as nothing, and why it is to be set aside, if it is."""
    if _absolute(name):
        return name, "absolute name"
    name = "/".join(part for part in name.split("/") if part not in ("", "."))
    return name, None if within(name) else "name that leads out of the archive"


def _joined(name: str, target: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), target))


def _kind(stream: BinaryIO, origin: str) -> str:
    """What an archive is by its content; an ending that says otherwise is a fault."""
    head = stream.read(tarfile.BLOCKSIZE)
    stream.seek(0)
    kind = next((kind for beginning, kind in BEGINNINGS.items() if head.startswith(beginning)), None)
    if kind is None:
        with contextlib.suppress(tarfile.HeaderError):
            tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
            kind = "tar"
    if kind not in ENDINGS:
        raise SourceError(f"{origin}: {f'a {kind} archive' if kind else 'not an archive'}; expected a zip or a tar")
    said = next((said for said, endings in ENDINGS.items() if origin.lower().endswith(endings)), kind)
    if said != kind:
        raise SourceError(
            f"{origin}: a {kind} archive, although its name says {said}; if it is the right file, rename it"
        )
    return kind
