"""Any folder of images, however deep, by the rules of `paths`.

A link to a file inside the folder counts as that file. One that leads out of the folder, or nowhere, is set aside.
Linked folders are not entered: inside, their images are there under their own names already; outside, the link is
set aside.
"""

import os
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal

from afterimage.core.errors import ImageError, SourceError
from afterimage.datasets.sources import Item, paths

COLUMNS = paths.COLUMNS
LEADS_OUT = "link that leads out of the folder"


class Row(paths.Files):
    """`path`: the folder."""

    source: Literal["folder"]


def items(row: Row) -> Iterator[Item]:
    """The images of the folder.

    Raises:
        SourceError: there is no such folder, it holds no images, a pattern does not match a file, or an image has no
            partner.
    """
    folder = Path(row.path)
    if not folder.is_dir():
        raise SourceError(f"{folder}: {'not a folder' if folder.exists() else 'there is no such folder'}")
    names = paths.chosen(walk(folder, paths.EXTENSIONS), row.only)
    if not names:
        raise SourceError(
            f"{folder}: no images in this folder (looked for {', '.join(paths.EXTENSIONS)}"
            f"{f' and {row.only!r}' if row.only else ''})"
        )
    faults = {name: LEADS_OUT for name in names if name.endswith("/")}
    yield from paths.items(names, row, partial(read, folder.resolve()), faults)


def walk(folder: Path, extensions: tuple[str, ...]) -> Iterator[str]:
    """Paths of files relative to the folder, with `/` between folders; that of a link that leads out ends with one."""

    def fail(error: OSError) -> None:
        raise error

    for here, folders, files in os.walk(folder, onerror=fail):
        inside = Path(here).relative_to(folder).as_posix()
        prefix = "" if inside == "." else f"{inside}/"
        folders[:] = [name for name in folders if paths.visible(name)]
        for name in folders:
            if (Path(here) / name).is_symlink() and _leads_out(folder.resolve(), Path(here) / name):
                yield f"{prefix}{name}/"
        for name in files:
            if paths.visible(name) and Path(name).suffix.lower() in extensions:
                yield f"{prefix}{name}"


def read(root: Path, name: str) -> BinaryIO:
    """Open a file of a folder.

    Raises:
        ImageError: it is a link that leads out of the folder or nowhere, or not a regular file.
    """
    path = root / name
    if _leads_out(root, path):
        raise ImageError(LEADS_OUT)
    if not path.exists():
        raise ImageError("link that leads nowhere")
    if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
        raise ImageError("not a regular file")
    return path.open("rb")


def _leads_out(root: Path, path: Path) -> bool:
    return not path.resolve().is_relative_to(root)
