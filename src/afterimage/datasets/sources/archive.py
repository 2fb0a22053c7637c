"""The images in one archive - zip, tar, tar.gz, tar.bz2, tar.xz - from a path or a URL, by the rules of `paths`.

The archive stays one file: `members` reads its names, which are sorted, and then its images one by one; its rules for
hostile archives are stated there. A folder that holds all images is passed over, as if it were the archive.

Besides image files an archive may hold:

- `arrays`: videos as NumPy archives (.npz), each frame an image, as YouTube Faces with Facial Keypoints has them;
- `boxes`: a CSV table with boxes in the images, as sets for inpainting have them. They go to the column `boxes` of
  the manifest as `x0 y0 x1 y1; x0 y0 x1 y1`, in pixels, x1 and y1 just outside; so does an array of boxes.
"""

import io
import math
import posixpath
import re
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator, model_validator

from afterimage.core import images, params
from afterimage.core.arrays import header
from afterimage.core.errors import ImageError, SourceError
from afterimage.core.parsing import from_csv, parsing
from afterimage.datasets import sources
from afterimage.datasets.sources import Item, downloads, paths
from afterimage.datasets.sources.members import Archive, within

COLUMNS = (*paths.COLUMNS, "boxes")

Rectangles = list[tuple[int, int, int, int]]


class Arrays(params.Row):
    """Videos as .npz files; `group` is searched in the path of the file, and `parent` and `image` mean its folder and
    the file itself."""

    array: str = "colorImages"
    """The array with the frames: 8-bit, [H, W, 3, T] or [T, H, W, 3]."""
    every: Annotated[int, Field(gt=0)] = 1
    """2 takes every second frame."""
    boxes: str | None = None
    """The array with the corners of a box in each frame, [corners, 2, T], such as boundingBox."""


class Boxes(params.Row):
    """A table with boxes in the images: a line for each box, or for each image with all its boxes."""

    table: str
    """The CSV file in the archive."""
    image: str
    """The column that names the image: a path or its end, with or without extension."""
    corners: list[list[str]]
    """For each box of a line the columns of left, top, right and bottom. `+75` or `+width` in place of right and bottom
    is a size instead, as a number or a column."""

    @field_validator("corners")
    @classmethod
    def _four(cls, corners: list[list[str]]) -> list[list[str]]:
        if not corners or any(len(names) != 4 for names in corners):
            raise ValueError("expected left, top, right and bottom for each box")
        return corners


class Contents(paths.Files):
    """What the rows of sources of archives have in common."""

    sha256: str | None = None
    """The archive's."""
    arrays: Arrays | None = None
    boxes: Boxes | None = None

    @field_validator("sha256")
    @classmethod
    def _is_hash(cls, sha256: str | None) -> str | None:
        if sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", sha256):
            raise ValueError("expected 64 lower-case hexadecimal digits")
        return sha256

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.arrays and (self.boxes or self.pairs):
            raise ValueError("`arrays` goes with neither `boxes` nor `pairs`")
        return self


class Row(Contents):
    """`path`: the archive; with `url`, the module of this source."""

    source: Literal["archive"]
    url: str | None = None
    """Any URL that fsspec opens: https, s3, gs, file and others, some with a package of their own."""

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        if self.url is not None and self.sha256 is None:
            raise ValueError("a `url` needs the `sha256` of its file")
        return self


def items(row: Row) -> Iterator[Item]:
    """The images of the archive.

    Raises:
        SourceError: the archive cannot be had, is not the one that the row names, is refused, holds no images, or
            does not fit the row.
    """
    if row.url is not None and row.sha256 is not None:
        archive = Archive(downloads.from_url(row.url, row.sha256), downloads.public(row.url))
    else:
        path = Path(row.path)
        if not path.is_file():
            raise SourceError(f"{path}: {'not an archive' if path.exists() else 'there is no such archive'}")
        downloads.check(path, row.sha256, row.path)
        archive = Archive(path, row.path)
    yield from contents(archive, row)


def contents(archive: Archive, row: Contents) -> Iterator[Item]:
    """The images of an open archive, and what is set aside of it, in the order of their keys."""
    endings = (".npz",) if row.arrays else paths.EXTENSIONS
    wanted = [name for name in archive.members if name.lower().endswith(endings) and paths.visible(name.lstrip("/"))]
    outer = _outer([name for name in wanted if within(name)])
    inner = {name.removeprefix(outer) if within(name) else name: name for name in wanted}
    faults = {name: fault for name, full in inner.items() if (fault := archive.members[full].fault)}
    names = (paths.clips if row.arrays else paths.chosen)(inner, row.only)
    if not names:
        also = f" and {row.only!r}" if row.only else ""
        raise SourceError(f"{archive.origin}: no images in this archive (looked for {', '.join(endings)}{also})")

    def opened(name: str) -> BinaryIO:
        return archive.open(inner[name])

    if row.arrays:
        yield from _videos(names, row, row.arrays, opened, faults)
        return
    boxes = _listed(archive, row.boxes, names) if row.boxes else {}
    for name, item in zip(names, paths.items(names, row, opened, faults), strict=True):
        yield item._replace(extra=(*item.extra, _written(boxes.get(name, []))))


def _outer(names: list[str]) -> str:
    """The folder that holds all of these, as far as there is one, with a `/` at its end."""
    folders = {posixpath.dirname(name) for name in names}
    parts = posixpath.commonpath(folders).split("/") if folders and all(folders) else []
    outer = ""
    for part in parts:
        if part in paths.OFFICIAL or not part:
            break
        outer += f"{part}/"
    return outer


def _written(boxes: Rectangles) -> str:
    return "; ".join(" ".join(str(number) for number in box) for box in boxes)


# Videos in NumPy archives


class Video(NamedTuple):
    frames: npt.NDArray[np.uint8]
    """[T, H, W, 3]"""
    boxes: Rectangles


def _videos(
    names: list[str], row: Contents, arrays: Arrays, opened: Callable[[str], BinaryIO], faults: dict[str, str]
) -> Iterator[Item]:
    sound = [name for name in names if name not in faults]
    places = {name: (group, split) for name, group, split in paths.placed(sound, row)}
    for name in names:
        origin = paths.printable(name)
        try:
            if name in faults:
                raise ImageError(faults[name])
            video = _video(sources.read(partial(opened, name)), arrays)
        except ImageError as error:
            yield paths.aside(paths.numbered(name, 0), origin, str(error), COLUMNS)
            continue
        group, split = places[name]
        for number in range(0, len(video.frames), arrays.every):
            yield Item(
                name=paths.numbered(name, number),
                origin=f"{origin} frame {number}",
                group=group,
                split=split,
                open=partial(_encoded, video.frames[number]),
                extra=("", _written(video.boxes[number : number + 1])),
            )


def _encoded(frame: npt.NDArray[np.uint8]) -> BinaryIO:
    return io.BytesIO(images.encode_png(np.ascontiguousarray(frame)))


def _video(data: bytes, arrays: Arrays) -> Video:
    with parsing(ImageError, "not a whole .npz file"), zipfile.ZipFile(io.BytesIO(data)) as archive:
        pixels = _array(archive, arrays.array)
        corners = _array(archive, arrays.boxes) if arrays.boxes else None
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or 3 not in (pixels.shape[2], pixels.shape[3]):
        raise ImageError(
            f"`{arrays.array}` is {pixels.dtype} {list(pixels.shape)}, expected uint8 [H, W, 3, T] or [T, H, W, 3]"
        )
    frames = np.moveaxis(pixels, 3, 0) if pixels.shape[2] == 3 else pixels
    if not 0 < len(frames) <= paths.LAST + 1 or frames[0].size == 0:
        raise ImageError(f"`{arrays.array}` holds {len(frames)} frames of {frames.shape[2]} x {frames.shape[1]} px")
    if corners is None:
        return Video(frames, [])
    if corners.ndim != 3 or corners.shape[1:] != (2, len(frames)) or not np.isfinite(corners).all():
        raise ImageError(
            f"`{arrays.boxes}` is {corners.dtype} {list(corners.shape)}, expected [corners, 2, {len(frames)}]"
        )
    low, high = np.floor(corners.min(axis=0)).astype(int), np.ceil(corners.max(axis=0)).astype(int)
    return Video(frames, [(int(a), int(b), int(c), int(d)) for a, b, c, d in np.concatenate([low, high]).T])


def _array(archive: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    """An array, without NumPy's pickles and without believing a header that claims more than there is."""
    try:
        entry = archive.getinfo(f"{name}.npy")
    except KeyError:
        held = ", ".join(sorted(entry.removesuffix(".npy") for entry in archive.namelist())[:9])
        raise ImageError(f"no array `{name}` in this .npz file; it has {held or 'none'}") from None
    with archive.open(entry) as stream:
        shape, fortran, dtype = header(stream)
        size = math.prod(shape) * dtype.itemsize
        if dtype.hasobject or min(shape, default=0) < 0 or size > min(entry.file_size, sources.MAX_BYTES):
            raise ImageError(f"the array `{name}` claims to be {dtype} {list(shape)}, which the file does not hold")
        data = stream.read(size)
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


# Boxes in a table


def _listed(archive: Archive, boxes: Boxes, names: list[str]) -> dict[str, Rectangles]:
    """The boxes of each image that the table has some for."""
    where = f"{archive.origin}: {boxes.table}"
    full = [name for name in archive.members if f"/{name}".endswith(f"/{boxes.table}")]
    if len(full) != 1:
        raise SourceError(f"{where}: {'several such tables' if full else 'no such table'} in the archive")
    try:
        data = archive.read(full[0])
    except ImageError as error:
        raise SourceError(f"{where}: not a table that can be read: {error}") from None
    columns = [boxes.image, *(name.removeprefix("+") for corners in boxes.corners for name in corners)]
    text = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline="")
    lines = list(from_csv(text, where, SourceError, [name for name in columns if not name.isdecimal()]))
    called = _called(names)
    found: dict[str, Rectangles] = {}
    for number, line in enumerate(lines, 2):
        image = called.get(line[boxes.image] or "")
        if image == "":
            raise SourceError(f"{where}: line {number}: {line[boxes.image]} may be one of several images")
        if image is not None:
            try:
                found.setdefault(image, []).extend(_box(line, corners) for corners in boxes.corners)
            except (TypeError, ValueError) as error:
                raise SourceError(f"{where}: line {number}: {error}") from None
    if not found:
        raise SourceError(f"{where}: the column {boxes.image} names none of the images, such as {names[0]}")
    return found


def _called(names: list[str]) -> dict[str, str]:
    """The image behind each end of a path, with and without extension; nothing where there are several."""
    called: dict[str, str] = {}
    for name in names:
        parts = name.split("/")
        for start in range(len(parts)):
            end = "/".join(parts[start:])
            for word in {end, paths.stem(end)}:
                called[word] = name if called.get(word, name) == name else ""
    return called


def _box(line: dict[str, Any], corners: list[str]) -> tuple[int, int, int, int]:
    def value(name: str) -> int:
        text = name if name.isdecimal() else line[name]
        number = float(text)
        if not number.is_integer():
            raise ValueError(f"{name} is {text}, expected whole pixels")
        return int(number)

    left, top = value(corners[0]), value(corners[1])
    right, bottom = (
        start + value(name[1:]) if name.startswith("+") else value(name)
        for name, start in zip(corners[2:], (left, top), strict=True)
    )
    if not (0 <= left < right and 0 <= top < bottom):
        raise ValueError(f"{left} {top} {right} {bottom} is no box")
    return left, top, right, bottom
