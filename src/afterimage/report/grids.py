"""Images side by side in the report: grids with error maps, samples, strips, all as PNG files like the charts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from afterimage.core.images import Uint8
from afterimage.report.figures import SOFT, Floats, canvas

CELL = 128
"""Side in px of an image in a grid."""
GAP = 10
ERROR_TOP = 0.25
"""The error that gets the brightest colour, on the scale where white is 1."""
SPREAD_TOP = 0.25
"""The same of the standard deviation of several completions."""
ERROR_STEPS = 16
ERROR_COLOURS = "inferno"


class Picture(NamedTuple):
    """An image with the words under it."""

    pixels: Uint8
    caption: str
    smooth: bool = True
    """Whether it is enlarged smoothly, as photographs are, or pixel by pixel."""


class GridRow(NamedTuple):
    """A test image and what was made of it; captions are set under the images."""

    name: str
    original: Uint8
    images: Sequence[Uint8 | None]
    """None leaves a place empty."""
    captions: list[str]


def grid(path: Path, columns: Sequence[tuple[str, str]], rows: Sequence[GridRow]) -> None:
    """Originals at the left, reconstructions beside them, and under each reconstruction its error map.

    Args:
        columns: title and subtitle of each column of reconstructions.
    """
    caption, head, foot = 22, 46, 58
    height = head + len(rows) * (2 * CELL + caption + GAP) + foot
    width = GAP + (len(columns) + 1) * (CELL + GAP)
    with canvas(path, width / 100, height / 100, dpi=100, layout=None) as figure:

        def text(x: float, y: float, words: str, **style: Any) -> None:
            figure.text(x / width, 1 - y / height, words, **{"ha": "center", "va": "center", "fontsize": 9.5, **style})

        def picture(x: int, y: int, pixels: npt.NDArray[Any]) -> None:
            figure.figimage(pixels, x, height - y - pixels.shape[0])

        for number, (title, subtitle) in enumerate([("original", ""), *columns]):
            centre = GAP + number * (CELL + GAP) + CELL / 2
            text(centre, 15, _short(title, 17), fontweight="bold")
            text(centre, 33, _short(subtitle, 20), fontsize=8.5, color=SOFT)
        top = head
        for row in rows:
            picture(GAP, top, _enlarged(row.original))
            text(GAP, top + CELL + caption / 2, _short(row.name, 19), ha="left", fontsize=9)
            text(GAP + CELL, top + CELL + caption + CELL / 2, "error", ha="right", fontsize=9, color=SOFT)
            for number, (image, words) in enumerate(zip(row.images, row.captions, strict=True), start=1):
                if image is None:
                    continue
                left = GAP + number * (CELL + GAP)
                error = np.abs(image.astype(np.float64) - row.original).mean(axis=-1) / 255
                picture(left, top, _enlarged(image))
                text(left + CELL / 2, top + CELL + caption / 2, words, fontsize=9)
                picture(left, top + CELL + caption, _enlarged(shaded(error / ERROR_TOP), Image.Resampling.NEAREST))
            top += 2 * CELL + caption + GAP
        bar = np.repeat(np.arange(ERROR_STEPS), 16)[None].repeat(12, axis=0)
        left = 2 * GAP + CELL
        picture(left, top + 14, shaded(bar / ERROR_STEPS))
        text(left - GAP, top + 20, "absolute error", ha="right", fontsize=9, color=SOFT)
        for share in (0, 0.5, 1):
            more = " and more" if share == 1 else ""
            place = left + share * bar.shape[1]
            text(place, top + 38, f"{share * ERROR_TOP:g}", fontsize=9, color=SOFT)
            if more:
                text(place + 14, top + 38, more, ha="left", fontsize=9, color=SOFT)


def pictures(path: Path, titles: Sequence[str], rows: Sequence[Sequence[Picture]]) -> None:
    """Images in rows, each with its caption under it, and a title above each column."""
    caption, head = 22, 30
    height = head + len(rows) * (CELL + caption + GAP)
    width = GAP + len(titles) * (CELL + GAP)
    with canvas(path, width / 100, height / 100, dpi=100, layout=None) as figure:
        for column, title in enumerate(titles):
            x = (GAP + column * (CELL + GAP) + CELL / 2) / width
            figure.text(x, 1 - 15 / height, _short(title, 17), ha="center", va="center", fontweight="bold")
        for number, row in enumerate(rows):
            top = head + number * (CELL + caption + GAP)
            for column, picture in enumerate(row):
                left = GAP + column * (CELL + GAP)
                how = Image.Resampling.LANCZOS if picture.smooth else Image.Resampling.NEAREST
                figure.figimage(_enlarged(picture.pixels, how), left, height - top - CELL)
                words = _short(picture.caption, 19)
                place = (left / width, 1 - (top + CELL + caption / 2) / height)
                figure.text(*place, words, ha="left", va="center", fontsize=9)


def side_by_side(path: Path, images: Sequence[Uint8]) -> None:
    """Square images in a row, and nothing between them: a page sets the words, in a size of its own."""
    side = 2 * CELL
    sheet = Image.new("RGBA", (len(images) * (side + GAP) - GAP, side))
    for number, pixels in enumerate(images):
        enlarged = Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS)
        sheet.paste(enlarged, (number * (side + GAP), 0))
    sheet.save(path, "PNG")


def shaded(values: Floats) -> Uint8:
    """Values `[H, W]` in the colours of error maps: none is black, 1 and more the brightest."""
    from matplotlib import colormaps

    colours = colormaps[ERROR_COLOURS].resampled(ERROR_STEPS)
    steps = np.minimum(values * ERROR_STEPS, ERROR_STEPS - 1).astype(int)
    return (colours(steps)[..., :3] * 255).round().astype(np.uint8)


def strips(path: Path, title: str, lines: Sequence[tuple[str, Uint8]]) -> None:
    """Rows of images side by side, `[h, n*h, 3]`, with a name before each."""
    names, count = 92, lines[0][1].shape[1] // lines[0][1].shape[0]
    width, height = names + count * CELL + GAP, 40 + len(lines) * (CELL + GAP)
    with canvas(path, width / 100, height / 100, dpi=100, layout=None) as figure:
        figure.text(GAP / width, 1 - 20 / height, title, va="center", fontweight="bold", fontsize=11)
        for number, (name, strip) in enumerate(lines):
            top = 40 + number * (CELL + GAP)
            place = ((names - GAP) / width, 1 - (top + CELL / 2) / height)
            figure.text(*place, name, ha="right", va="center", fontsize=9)
            enlarged = np.asarray(Image.fromarray(strip).resize((count * CELL, CELL), Image.Resampling.LANCZOS))
            figure.figimage(enlarged, names, height - top - CELL)


def _enlarged(pixels: Uint8, how: Image.Resampling = Image.Resampling.LANCZOS) -> Uint8:
    return np.asarray(Image.fromarray(pixels).resize((CELL, CELL), how))


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
