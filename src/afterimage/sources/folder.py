"""Any folder of images, however deep.

- Files whose extension is in `EXTENSIONS`, in either case, are images; others are not, and are counted nowhere.
- Hidden files and folders (a name with a leading dot) and `__MACOSX` are passed over.
- A link to a file inside the folder counts as that file. One that leads out of the folder, or nowhere, is set
  aside. Linked folders are not entered: inside, their images are there under their own names already; outside,
  the link is set aside.
- Folders named train, val (or validation) and test at the top are the official split. Where there is a train folder
  but no val or no test, the missing ones are dealt out of train, by group. Images beside these folders are dealt
  out like any other.
"""

import os
import re
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal

from pydantic import field_validator

from afterimage import sources
from afterimage.errors import ImageError, SourceError
from afterimage.sources import Dataset, Item

COLUMNS = ()
EXTENSIONS = (
    *(".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"),
    *(".pbm", ".pgm", ".png", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
)
OFFICIAL = {"train": "train", "val": "val", "validation": "val", "test": "test"}


class Row(Dataset):
    """`path`: the folder."""

    source: Literal["folder"]
    group: str = "parent"
    """`parent`: images of one folder belong together, those at the top of the folder or of a split folder each
    stand alone; `image`: each stands alone; else a pattern with one group, searched in the path of the file
    relative to the folder."""

    @field_validator("group")
    @classmethod
    def _known(cls, group: str) -> str:
        try:
            groups = re.compile(group).groups
        except re.error as error:
            raise ValueError(f"not a pattern: {error}") from None
        if group not in ("parent", "image") and groups != 1:
            raise ValueError("expected `parent`, `image` or a pattern with one group in brackets")
        return group


def items(row: Row) -> Iterator[Item]:
    """The images of the folder.

    Raises:
        SourceError: there is no such folder, it holds no images, or the pattern does not match a file.
    """
    folder = Path(row.path)
    if not folder.is_dir():
        raise SourceError(f"{folder}: {'not a folder' if folder.exists() else 'there is no such folder'}")
    names = sorted(_names(folder), key=lambda name: sources.key(_stem(name)))
    if not names:
        raise SourceError(f"{folder}: no images in this folder (looked for {', '.join(EXTENSIONS)})")
    official = {split for name, split in OFFICIAL.items() if (folder / name).is_dir()}
    missing = [split for split in ("val", "test") if split not in official]
    root = folder.resolve()
    for name in names:
        group = _group(name, row.group)
        split = _official(name)
        if split == "train":
            split = sources.draw(group, row.split, missing)
        yield Item(
            name=_stem(name),
            origin=_printable(name),
            group=_printable(group),
            split=split,
            open=partial(_open, root, name),
        )


def _names(folder: Path) -> Iterator[str]:
    """Paths of the images relative to the folder, with `/` between folders; a linked folder's ends with one."""

    def fail(error: OSError) -> None:
        raise error

    for here, folders, files in os.walk(folder, onerror=fail):
        inside = Path(here).relative_to(folder).as_posix()
        prefix = "" if inside == "." else f"{inside}/"
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__MACOSX"]
        for name in folders:
            if (Path(here) / name).is_symlink() and _leads_out(folder.resolve(), Path(here) / name):
                yield f"{prefix}{name}/"
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS:
                yield f"{prefix}{name}"


def _open(root: Path, name: str) -> BinaryIO:
    path = root / name
    if _leads_out(root, path):
        raise ImageError("link that leads out of the folder")
    if not path.exists():
        raise ImageError("link that leads nowhere")
    if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
        raise ImageError("not a regular file")
    return path.open("rb")


def _leads_out(root: Path, path: Path) -> bool:
    return not path.resolve().is_relative_to(root)


def _stem(name: str) -> str:
    return name if name.endswith("/") else name[: -len(Path(name).suffix)]


def _official(name: str) -> str | None:
    top, slash, _ = name.partition("/")
    return OFFICIAL.get(top) if slash else None


def _group(name: str, rule: str) -> str:
    if name.endswith("/"):
        return name
    if rule == "image":
        return _stem(name)
    if rule == "parent":
        # without the split's folder: the same person in train and in test must be seen as one group
        inside = name.partition("/")[2] if _official(name) else name
        return inside.rpartition("/")[0] or _stem(name)
    match = re.search(rule, name)
    if match is None or match[1] is None:
        raise SourceError(f"{name}: the pattern {rule!r} of `group` does not match this file")
    return match[1]


def _printable(name: str) -> str:
    """Names may hold bytes that are no UTF-8; tables may not."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
