"""Submission files of box inpainting: each value of each box of each image on a line of its own.

The file is a CSV with the header `id,value`. An id is `<file>_<box>_<pixel>`: the file's name as the table of boxes has
it (see `observations.holes.masks`), the number of the box among those of the file from 0, and the number of the value
within the box from 0: row by row, in a row pixel by pixel, of a pixel red, green and blue. Values are in [0, 1]. Files
come in the order of the table. Both sides are streams: one image is in memory at a time, however many there are.
"""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from afterimage.core import images, outputs
from afterimage.core.engine import progress
from afterimage.core.errors import HoleError, ImageError, SubmissionError
from afterimage.core.parsing import parsing
from afterimage.observations.holes import masks
from afterimage.observations.holes.masks import Box, Listed, Mask

HEADER = "id,value"
LEVELS = [f"{level / 255:.6f}" for level in range(256)]
TOLERANCE = 1e-6
"""Values of a pixel in two boxes that differ by more are not the same."""

Fill = Callable[[Image.Image, Mask], Image.Image]


class Checked(NamedTuple):
    """What a valid submission holds, and how far it is from the originals, where these are given."""

    files: int
    rows: int
    mse: float | None
    rmse: float | None


def write(fill: Fill, folder: Path, table: Path, out: Path) -> int:
    """Fill the boxes of all images that a table lists and write their values; returns the number of rows.

    Args:
        fill: from an RGB image and the mask of what is missing to the whole image.
        folder: holds the images by their names in the table.

    Raises:
        HoleError: the table is not what it should be, a file is missing or unreadable, or a box does not fit it.
    """
    listed = masks.read_boxes(table)
    rows = 0
    with outputs.file(out) as partial, partial.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write(f"{HEADER}\n")
        for name, boxes in progress(listed.items(), "submission", len(listed), "image"):
            pixels = _read(folder, table, name, boxes)
            mask = _mask(pixels, table, name, boxes)
            filled = np.asarray(fill(Image.fromarray(pixels), mask))
            for number, (box, _) in enumerate(boxes):
                values = filled[box.top : box.bottom, box.left : box.right].reshape(-1)
                stream.writelines(f"{name}_{number}_{place},{LEVELS[level]}\n" for place, level in enumerate(values))
                rows += len(values)
    return rows


def check(submission: Path, table: Path, originals: Path | None = None) -> Checked:
    """Check that a submission has a row for each value that a table of boxes asks for, in order, each once and in
    [0, 1], and that boxes which overlap agree.

    Args:
        originals: a folder with the whole images, to score it: mean squared error over all rows, and its root.

    Raises:
        SubmissionError: the file is not what it should be; the text has the line's number.
        HoleError: the table is not, or an original is missing or does not hold a box.
    """
    listed = masks.read_boxes(table)
    total, rows = 0.0, 0
    try:
        with parsing(SubmissionError, f"{submission}: not UTF-8 text"), submission.open(encoding="utf-8") as stream:
            lines = _Lines(submission, stream, listed)
            for name, boxes in progress(listed.items(), "check", len(listed), "image"):
                values = [lines.take(name, number, box) for number, (box, _) in enumerate(boxes)]
                _check_overlap(submission, name, boxes, values)
                rows += sum(each.size for each in values)
                if originals is not None:
                    pixels = _read(originals, table, name, boxes)
                    _mask(pixels, table, name, boxes)
                    for (box, _), found in zip(boxes, values, strict=True):
                        truth = pixels[box.top : box.bottom, box.left : box.right] / 255.0
                        total += float(np.square(found - truth).sum())
            lines.end()
    except OSError as error:
        raise SubmissionError(f"{submission}: cannot be read: {error.strerror}") from None
    mse = None if originals is None else total / rows
    return Checked(len(listed), rows, mse, None if mse is None else math.sqrt(mse))


class _Lines:
    """The lines of a submission, each compared with the id that has to come next."""

    def __init__(self, path: Path, stream: Iterator[str], listed: dict[str, list[Listed]]):
        self.path, self.stream, self.listed = path, stream, listed
        self.order = {name: place for place, name in enumerate(listed)}
        self.line = 1
        if (header := next(stream, "").strip()) != HEADER:
            raise SubmissionError(f"{path}, line 1: {header[:60]!r}; expected the header {HEADER}")

    def take(self, name: str, number: int, box: Box) -> npt.NDArray[np.float64]:
        """The values `[h, w, 3]` of the next box."""
        shape = (box.bottom - box.top, box.right - box.left, 3)
        values = np.empty(math.prod(shape))
        for place in range(len(values)):
            text = next(self.stream, None)
            self.line += 1
            expected = f"{name}_{number}_{place}"  # may be as long as the table makes it
            if text is None:
                raise SubmissionError(f"{self.path}: ends after line {self.line - 1}; expected {expected} next")
            found, _, value = text.rstrip("\r\n").rpartition(",")
            if found != expected:
                raise self._misplaced(found, (self.order[name], number, place), expected)
            values[place] = self._value(value)
        return values.reshape(shape)

    def end(self) -> None:
        for text in self.stream:
            self.line += 1
            if text.strip():
                raise SubmissionError(f"{self.path}, line {self.line}: {text.strip()[:60]!r} is more than is asked for")

    def _value(self, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise SubmissionError(f"{self.path}, line {self.line}: {text[:60]!r} is no number") from None
        if not 0 <= value <= 1:  # so written that NaN fails too
            raise SubmissionError(f"{self.path}, line {self.line}: {value} is not between 0 and 1")
        return value

    def _misplaced(self, found: str, here: tuple[int, int, int], expected: str) -> SubmissionError:
        where = f"{self.path}, line {self.line}: "
        place = self._place(found)
        if place is None:
            return SubmissionError(f"{where}{found[:60]!r} is no row that is asked for; expected {expected}")
        if place < here:
            return SubmissionError(f"{where}{found} was there before; expected {expected}")
        return SubmissionError(f"{where}{found} comes too early, or {expected} is missing before it")

    def _place(self, found: str) -> tuple[int, int, int] | None:
        name, box, pixel = ["", "", "", *found.rsplit("_", 2)][-3:]
        boxes = self.listed.get(name)
        if boxes is None or not (box.isdecimal() and pixel.isdecimal()) or int(box) >= len(boxes):
            return None
        left, top, right, bottom = boxes[int(box)].box
        place = (self.order[name], int(box), int(pixel))
        return place if place[2] < 3 * (right - left) * (bottom - top) else None


def _check_overlap(path: Path, name: str, boxes: list[Listed], values: list[npt.NDArray[np.float64]]) -> None:
    """A pixel has one value, however many boxes it lies in."""
    for later in range(1, len(boxes)):
        for earlier in range(later):
            (a, _), (b, _) = boxes[earlier], boxes[later]
            left, top = max(a.left, b.left), max(a.top, b.top)
            right, bottom = min(a.right, b.right), min(a.bottom, b.bottom)
            if left >= right or top >= bottom:
                continue
            first, second = (
                found[top - box.top : bottom - box.top, left - box.left : right - box.left]
                for box, found in ((a, values[earlier]), (b, values[later]))
            )
            odd = int((np.abs(first - second).max(axis=-1) > TOLERANCE).sum())
            if odd:
                raise SubmissionError(
                    f"{path}: {name}: boxes {earlier} and {later} overlap and differ in {odd} of their common pixels"
                )


def _read(folder: Path, table: Path, name: str, boxes: list[Listed]) -> images.Uint8:
    try:
        return np.asarray(images.decode((folder / name).read_bytes()))
    except OSError as error:
        raise HoleError(f"{_where(table, name, boxes)}: {folder / name}: {error.strerror}") from None
    except ImageError as error:
        raise HoleError(f"{_where(table, name, boxes)}: {folder / name}: {error}") from None


def _mask(pixels: images.Uint8, table: Path, name: str, boxes: list[Listed]) -> Mask:
    height, width = pixels.shape[:2]
    return masks.of_boxes([box for box, _ in boxes], height, width, _where(table, name, boxes))


def _where(table: Path, name: str, boxes: list[Listed]) -> str:
    lines = sorted({line for _, line in boxes})
    return f"{table}, line {', '.join(map(str, lines))}: {name}"
