"""What a visitor sends is checked here before anything else sees it.

Nothing is written to disk, no name or path from a visitor is opened, and of all formats that Pillow knows only a few
are tried. Whatever is wrong is one sentence.
"""

import hashlib
import io
import math
import re
import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, UnidentifiedImageError

from afterimage.core import images
from afterimage.core.errors import ImageError
from afterimage.core.parsing import parsing
from afterimage.observations.holes import masks
from afterimage.observations.holes.masks import Mask, Missing

EXTENSIONS = ("jpg", "jpeg", "png", "webp", "heic", "heif", "gif")
FORMATS = ("JPEG", "PNG", "WEBP", "HEIF", "GIF")
MAX_MEGABYTES = 25
"""Of one file."""
MAX_PIXELS = 25_000_000
MIN_SIDE, MAX_SIDE = 32, 12_000
ALLOWED = f"{MAX_MEGABYTES} MB, {MAX_PIXELS // 1_000_000} megapixels and {MAX_SIDE:,} px a side"
"""The bounds of a picture in words."""
MAX_FILES = 24
"""Pictures in a batch."""
MAX_BATCH_MEGABYTES = 200
MAX_SHAPES, MAX_POINTS = 500, 50_000


class Picture(NamedTuple):
    """A visitor's picture."""

    name: str
    """Without its extension, fit for file names and for text."""
    image: Image.Image
    """8-bit RGB."""
    digest: str
    """Of its pixels: what was computed from it is kept under this."""
    note: str = ""


def picture(name: str, data: bytes) -> Picture:
    """Read a file that a visitor sent.

    Raises:
        ImageError: one sentence that names the file and says what is wrong with it.
    """
    shown = plain(name)
    try:
        if len(data) > MAX_MEGABYTES * 1_000_000:
            raise ImageError(f"{len(data) / 1e6:.0f} MB are more than the {MAX_MEGABYTES} MB allowed")
        moving = _check_header(data)
        image = images.decode(data, MAX_PIXELS)
    except ImageError as error:
        raise ImageError(f"{shown}: {error}.") from None
    note = f"{shown} is an animation; its first frame is used." if moving else ""
    return of(stem(name), image, note)


def of(name: str, image: Image.Image, note: str = "") -> Picture:
    """A picture from an image that is known to be good."""
    digest = hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest()[:24]
    return Picture(name, image, digest, note)


def _check_header(data: bytes) -> bool:
    """Whether there are several frames in a file in a format that is allowed, of a size that is allowed."""
    from pillow_heif import register_heif_opener

    register_heif_opener()
    if not data:
        raise ImageError("the file is empty")
    with parsing(ImageError, "damaged header"):
        try:
            header = Image.open(io.BytesIO(data), formats=FORMATS)
        except UnidentifiedImageError:
            raise ImageError("not a picture in a known format; expected JPEG, PNG, WebP, HEIC or GIF") from None
    width, height = header.size
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise ImageError(
            f"{width} x {height} px are too many; expected at most {MAX_SIDE} px a side "
            f"and {MAX_PIXELS / 1e6:.0f} megapixels"
        )
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"{width} x {height} px are too few; expected at least {MIN_SIDE} px a side")
    with parsing(ImageError, "damaged image"):
        return bool(getattr(header, "is_animated", False))  # to count the frames, all would be read


def batch(files: Sequence[tuple[str, int]]) -> None:
    """Check the names and sizes in bytes of several files before any is read.

    Raises:
        ImageError: there are too many, or they are too large together.
    """
    if len(files) > MAX_FILES:
        raise ImageError(f"{len(files)} files are too many at once; expected at most {MAX_FILES}.")
    total = sum(size for _, size in files) / 1e6
    if total > MAX_BATCH_MEGABYTES:
        raise ImageError(f"{total:.0f} MB are too many at once; expected at most {MAX_BATCH_MEGABYTES} MB.")


def plain(name: str) -> str:
    """A file name as text that cannot be taken for a path, for markup or for a line of its own."""
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    kept = "".join(letter if letter.isalnum() or letter in " ._-()+" else "_" for letter in last).strip(" .")
    return kept if len(kept) <= 60 else f"{kept[:40]}…{kept[-15:]}"


def stem(name: str) -> str:
    """A file name without its extension, fit to name downloads after."""
    return plain(plain(name).rpartition(".")[0] or plain(name)).replace("…", "_") or "picture"


def mask_from_shapes(shapes: Any, size: tuple[int, int]) -> Mask:
    """The mask `[H, W]`, True = missing, that boxes and strokes draw on a picture of `size` (width, height), one after
    another; strokes that erase take away what was drawn before.

    `shapes` is what the browser says, so nothing about it is taken for granted.

    Raises:
        ImageError: it is no list of shapes, or there are too many.
    """
    layer = Image.new("L", size)
    pen = ImageDraw.Draw(layer)
    with parsing(ImageError, "The drawing could not be read; clear it and draw again"):
        if len(shapes) > MAX_SHAPES or sum(len(shape.get("points", ())) for shape in shapes) > MAX_POINTS:
            raise ImageError("The drawing has too many strokes; clear it and draw fewer.")
        for shape in shapes:
            if shape["kind"] == "box":
                x0, y0, x1, y1 = (_inside(value, max(size)) for value in shape["box"])
                left, top, right, bottom = min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)
                if right > left and bottom > top:
                    pen.rectangle((left, top, right - 1, bottom - 1), fill=1)
            else:
                width, ink = max(1, _inside(shape["width"], max(size))), int(not shape.get("erases"))
                points = [(_inside(x, max(size)), _inside(y, max(size))) for x, y in shape["points"]]
                pen.line(points, fill=ink, width=width)
                for x, y in points:
                    pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=ink)
    return np.asarray(layer) > 0


def _inside(value: Any, most: int) -> int:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return round(min(max(number, 0), most))


def mask_from_file(name: str, data: bytes, size: tuple[int, int], missing: Missing) -> Mask:
    """The mask `[H, W]`, True = missing, in a file that a visitor sent for a picture of `size` (width, height).

    Raises:
        AfterimageError: one sentence that names the file and says what is wrong with it.
    """
    shown = plain(name)
    try:
        if len(data) > MAX_MEGABYTES * 1_000_000:
            raise ImageError(f"more than the {MAX_MEGABYTES} MB allowed")
        _check_header(data)
    except ImageError as error:
        raise ImageError(f"{shown}: {error}.") from None
    return masks.check(masks.read(data, shown, missing), size[1], size[0], shown)
