"""The photographs of a folder, and who is on them: the folder that a photograph lies in is the person."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from afterimage.core import images
from afterimage.core.errors import ImageError
from afterimage.core.images import Uint8
from afterimage.core.randomness import generator


class Photograph(NamedTuple):
    """A photograph of a folder."""

    key: str
    """Its path below the folder, without the extension."""
    person: str
    """The folder that it lies in; empty where it lies in none."""
    path: Path


class Square(NamedTuple):
    """A square of a photograph, in px."""

    x: int
    y: int
    side: int


class Seen(NamedTuple):
    """The photographs that could be read."""

    photographs: list[Photograph]
    pictures: list[Image.Image]
    """The square of each, as large as it is."""

    @property
    def people(self) -> list[str]:
        """Who is on each; a photograph in no folder is somebody of its own."""
        return [each.person or each.key for each in self.photographs]

    @property
    def pairs(self) -> bool:
        """Whether somebody is on two photographs or more."""
        return max(Counter(self.people).values()) > 1

    def at(self, side: int) -> Uint8:
        """The squares at a size, `[N, side, side, 3]`."""
        size = (side, side)
        return np.stack([np.asarray(each.resize(size, Image.Resampling.LANCZOS)) for each in self.pictures])


def some(photographs: Sequence[Photograph], count: int | None, seed: int) -> list[Photograph]:
    """About so many of the photographs, all of each person that is among them; None: every one. In order of keys."""
    ordered = sorted(photographs)
    if count is None or len(ordered) <= count:
        return ordered
    people = sorted({each.person or each.key for each in ordered})
    sizes = Counter(each.person or each.key for each in ordered)
    chosen: set[str] = set()
    for place in generator(seed, "people").permutation(len(people)):
        if sum(sizes[person] for person in chosen) >= count:
            break
        chosen.add(people[place])
    return [each for each in ordered if (each.person or each.key) in chosen]


def read(path: Path, square: Square | None) -> Image.Image:
    """A square of a photograph; None: the largest one in its middle.

    Raises:
        ImageError: it is no image, or the square is not within it.
    """
    image = images.decode(path.read_bytes())
    if square is None:
        side = min(image.size)
        square = Square((image.width - side) // 2, (image.height - side) // 2, side)
    right, bottom = square.x + square.side, square.y + square.side
    if right > image.width or bottom > image.height:
        raise ImageError(f"is {image.width} x {image.height} px; the square reaches to {right} x {bottom} px")
    return image.crop((square.x, square.y, right, bottom))
