"""Outputs that are whole or not there: written under a temporary name, then renamed."""

import csv
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from afterimage.core.errors import SpaceError


@contextmanager
def folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder to write into; it becomes `path` when the block ends well and vanishes otherwise.

    Raises:
        SpaceError: the disk became full.
    """
    partial = _partial(path)
    try:
        with _told(path):
            partial.mkdir(parents=True)
            yield partial
        if path.exists():
            shutil.rmtree(path)
        partial.replace(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def file(path: Path) -> Iterator[Path]:
    """Yield a name to write to; it becomes `path` when the block ends well and vanishes otherwise.

    Raises:
        SpaceError: the disk became full.
    """
    partial = _partial(path)
    try:
        with _told(path):
            partial.parent.mkdir(parents=True, exist_ok=True)
            yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Make one line of a full disk, whatever the library that wrote made of it."""
    try:
        yield
    except SpaceError:
        raise
    except Exception as error:
        if reason := _full(error):
            raise SpaceError(f"{path}: {reason}; make room and run the same command to go on") from error
        raise


def _full(error: BaseException) -> str | None:
    """What the system says of a full disk, if that is behind an error.

    safetensors keeps no more of the system's error than its text; torch raises its own while that is on its way.
    """
    reasons = {code: os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)}
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, OSError) and below.errno in reasons:
            return reasons[below.errno]
        if found := [reason for reason in reasons.values() if reason in str(below)]:
            return found[0]
        below = below.__cause__ or below.__context__
    return None


def require_room(path: Path, needed: int, what: str) -> None:
    """Stop before the disk fills.

    Args:
        path: where the output will be; the file system of its nearest folder that exists is asked.
        needed: bytes.

    Raises:
        SpaceError: less is free.
    """
    place = next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise SpaceError(f"{what}: this needs {needed / 1e9:.3g} GB, {free / 1e9:.3g} GB are free in {path.parent}")


def digest(data: Any) -> str:
    """The SHA-256 of plain data, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def write_json(path: Path, data: Any) -> None:
    """Write JSON that is the same for the same data: sorted keys, no NaN, one newline at the end."""
    text = json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    with file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table with a header line; line ends are always one newline."""
    with file(path) as partial, partial.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _partial(path: Path) -> Path:
    partial = path.with_name(f".{path.name}.partial")
    if partial.is_dir():  # what a killed run left
        shutil.rmtree(partial)
    partial.unlink(missing_ok=True)
    return partial
