"""Masks of what is missing: files of either polarity, tables of boxes, and the checks that all masks pass.

Inside the program a mask is bool `[H, W]`, or `[N, 1, H, W]` a batch, and True is missing. Files may say otherwise:

- a mask image is black and white, and either may be missing; a transparent part is missing whatever its colour;
- a table of boxes is a CSV with a line an image: the file's name, then four whole numbers a box, `left, top, right,
  bottom` in px, where right and bottom are the first column and row outside the box. Further boxes of an image stand
  on the same line or on one of their own. A first line without a number is a header.
"""

import csv
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from afterimage.core import images
from afterimage.core.errors import HoleError, ImageError
from afterimage.core.parsing import parsing

Mask = npt.NDArray[np.bool_]
Missing = Literal["auto", "white", "black"]

DARK, LIGHT = 64, 192
"""What counts as black and as white: JPEG leaves neither pure."""
GREY_SHARE = 0.05
"""So much of a mask may lie between: soft edges."""
CLEAR_SHARE = 0.4
"""Where the smaller part covers more, its size does not tell whether it is the missing one."""


class Box(NamedTuple):
    """A box of px; right and bottom are the first column and row outside."""

    left: int
    top: int
    right: int
    bottom: int

    def __str__(self) -> str:
        return f"{self.left},{self.top} to {self.right},{self.bottom}"


class Listed(NamedTuple):
    """A box of a table, and the line that it is on."""

    box: Box
    line: int


def check(mask: Mask, height: int, width: int, name: str) -> Mask:
    """The mask, if it fits an image and leaves something to do and something to do it with.

    Raises:
        HoleError: it is of another size, nothing is missing, or everything is.
    """
    if mask.shape != (height, width):
        found = f"{mask.shape[1]} x {mask.shape[0]} px"
        raise HoleError(f"{name}: the mask is {found}, expected the image's {width} x {height} px")
    if not mask.any():
        raise HoleError(f"{name}: nothing is missing by this mask")
    if mask.all():
        raise HoleError(f"{name}: everything is missing by this mask; some of the image has to be known")
    return mask


def of_boxes(boxes: Sequence[Box], height: int, width: int, name: str) -> Mask:
    """The mask `[H, W]` of boxes, which may overlap.

    Raises:
        HoleError: a box is empty or reaches outside the image, or the boxes leave nothing.
    """
    mask = np.zeros((height, width), dtype=bool)
    for box in boxes:
        if not (0 <= box.left < box.right <= width and 0 <= box.top < box.bottom <= height):
            raise HoleError(f"{name}: the box {box} does not lie within the image's {width} x {height} px")
        mask[box.top : box.bottom, box.left : box.right] = True
    return check(mask, height, width, name)


def read(data: bytes, name: str, missing: Missing = "auto") -> Mask:
    """The mask `[H, W]` in an image file.

    A file does not say which colour is missing. With `auto` two signs have to agree: the missing part is the smaller
    one, and it holds less of the image's edge. Where they disagree, or the parts are of like size, the answer is in
    doubt, which is an error and not a guess. Transparency leaves no doubt.

    Raises:
        HoleError: the file is no image, is not black and white, has one colour only, or its polarity is in doubt.
    """
    try:
        header = images.open_header(data)
        alpha = None
        if "A" in header.getbands() or "transparency" in header.info:
            with parsing(ImageError, "damaged image"):
                alpha = np.asarray(header.convert("RGBA").getchannel("A"))
        pixels = np.asarray(images.decode(data))
    except ImageError as error:
        raise HoleError(f"{name}: not a mask that can be read: {error}") from None
    if alpha is not None and alpha.min() < LIGHT:
        return ~_light(alpha, name)
    if int(np.ptp(pixels.astype(np.int16), axis=-1).max()) > DARK:
        raise HoleError(f"{name}: a mask is black and white, and this one has colours")
    light = _light(pixels[..., 0], name)
    if light.all() or not light.any():
        raise HoleError(f"{name}: all of the mask is {'white' if light.all() else 'black'}; expected black and white")
    if missing == "auto":
        missing = _missing_colour(light, name)
    return light if missing == "white" else ~light


def read_boxes(path: Path) -> dict[str, list[Listed]]:
    """The boxes of each file that a table names, in the order of the table.

    Raises:
        HoleError: the table is missing or empty, or a line is not what it should be; the text has the line's number.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise HoleError(f"{path}: no table of boxes: {error.strerror}") from None
    found: dict[str, list[Listed]] = {}
    with parsing(HoleError, f"{path}: not a table of boxes"):
        lines = list(csv.reader(data.decode("utf-8-sig").splitlines()))
    for number, cells in enumerate(lines, start=1):
        values = [cell.strip() for cell in cells]
        while values and not values[-1]:
            values.pop()
        if not values or (number == 1 and not any(_is_number(cell) for cell in values[1:])):
            continue
        found.setdefault(values[0], []).extend(_boxes(values, f"{path}, line {number}", number))
    if not found:
        raise HoleError(f"{path}: has no line with a box; expected a file's name, left, top, right, bottom")
    return found


def parse_box(text: str) -> Box:
    """A box from `x,y,w,h` in px, as a command line has it.

    Raises:
        HoleError: the text is no such box.
    """
    parts = text.split(",")
    if len(parts) != 4 or not all(part.strip().isdecimal() for part in parts):
        raise HoleError(f"box {text!r}: expected x,y,w,h in whole px, such as 10,20,75,75")
    x, y, width, height = (int(part) for part in parts)
    return Box(x, y, x + width, y + height)


def stem(name: str) -> str:
    """The name of a listed file without folders and extension."""
    return PurePosixPath(name).stem


def _boxes(values: list[str], where: str, number: int) -> list[Listed]:
    name, numbers = values[0], values[1:]
    if not name:
        raise HoleError(f"{where}: expected a file's name first")
    if not numbers or len(numbers) % 4:
        raise HoleError(f"{where}: {len(numbers)} numbers after the name; expected left, top, right, bottom a box")
    if wrong := [cell for cell in numbers if not _is_number(cell)]:
        raise HoleError(f"{where}: {wrong[0]!r} is no number of px")
    pixels = [float(cell) for cell in numbers]
    if broken := [value for value in pixels if not value.is_integer()]:
        raise HoleError(f"{where}: {broken[0]:g} is not a whole number of px")
    boxes = [Box(*(int(value) for value in pixels[start : start + 4])) for start in range(0, len(pixels), 4)]
    for box in boxes:
        if not (0 <= box.left < box.right and 0 <= box.top < box.bottom):
            raise HoleError(f"{where}: the box {box}; expected 0 <= left < right and 0 <= top < bottom")
    return [Listed(box, number) for box in boxes]


def _is_number(cell: str) -> bool:
    try:
        return abs(float(cell)) < 1e9
    except ValueError:
        return False


def _light(values: images.Uint8, name: str) -> Mask:
    between = float(((values > DARK) & (values < LIGHT)).mean())
    if between > GREY_SHARE:
        raise HoleError(f"{name}: a mask is black and white, and {between:.0%} of this one is neither")
    return values >= 128


def _missing_colour(light: Mask, name: str) -> Literal["white", "black"]:
    edge = np.concatenate([light[0], light[-1], light[1:-1, 0], light[1:-1, -1]])
    share, at_the_edge = float(light.mean()), float(edge.mean())
    white, black = share < 0.5, share > 0.5
    if min(share, 1 - share) > CLEAR_SHARE or (white and at_the_edge >= 0.5) or (black and at_the_edge <= 0.5):
        raise HoleError(
            f"{name}: whether white or black is missing is in doubt ({share:.0%} is white, at the edge "
            f"{at_the_edge:.0%}); say which"
        )
    return "white" if white else "black"
