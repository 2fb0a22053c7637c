"""Holes of all shapes: rows of `observations` of the kind `holes`, and how a mask is drawn from one."""

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from PIL import Image, ImageDraw
from pydantic import Field, field_validator

from afterimage.core import randomness
from afterimage.core.errors import HoleError
from afterimage.observations import ObservationRow
from afterimage.observations.holes import masks
from afterimage.observations.holes.masks import Box, Mask

Share = Annotated[float, Field(gt=0, lt=1)]
"""Of the image's shorter side, so that a row means the same at any size: 0.293 is 19 of 64 px and 75 of 256."""
TRIES = 1000
"""Of drawing boxes that are to lie apart."""
Corner = Literal["top-left", "top-right", "bottom-left", "bottom-right"]


class Row(ObservationRow):
    """What the rows of all shapes have in common; `shape` picks the class that knows the rest."""

    kind: Literal["holes"]
    seed: int
    shape: str

    @classmethod
    def kind_of(cls, value: Any) -> type[Self]:
        shape = value.get("shape") if isinstance(value, dict) else None
        return SHAPES.get(shape, cls) if isinstance(shape, str) else cls  # type: ignore[return-value]

    @field_validator("shape")
    @classmethod
    def _known(cls, shape: str) -> str:
        if shape not in SHAPES:
            raise ValueError(f"there is no such shape; there are {', '.join(SHAPES)}")
        return shape

    def draw(self, random: np.random.Generator, key: str, height: int, width: int) -> Mask:
        """The mask `[H, W]` of a sample; what is random in it comes from `random`."""
        raise NotImplementedError


class Boxes(Row):
    """Square boxes anywhere."""

    shape: Literal["boxes"]
    count: int = Field(gt=0)
    side: Share
    apart: bool = False
    """Whether none overlaps another."""

    def draw(self, random: np.random.Generator, key: str, height: int, width: int) -> Mask:
        side = _pixels(self.side, height, width)
        for _ in range(TRIES):
            boxes = []
            for _ in range(self.count):
                left, top = (int(random.integers(extent - side + 1)) for extent in (width, height))
                boxes.append(Box(left, top, left + side, top + side))
            mask = masks.of_boxes(boxes, height, width, key)
            if not self.apart or mask.sum() == self.count * side**2:
                return mask
        raise HoleError(
            f"{self.count} boxes of {side} px apart from one another were not found room for in {width} x {height} px"
        )


class Corners(Row):
    """A square box in each of these corners."""

    shape: Literal["corners"]
    corners: list[Corner] = Field(min_length=1)
    side: Share

    def draw(self, random: np.random.Generator, key: str, height: int, width: int) -> Mask:
        side = _pixels(self.side, height, width)
        boxes = []
        for corner in self.corners:
            top = 0 if corner.startswith("top") else height - side
            left = 0 if corner.endswith("left") else width - side
            boxes.append(Box(left, top, left + side, top + side))
        return masks.of_boxes(boxes, height, width, key)


class Centre(Row):
    """One square box in the middle."""

    shape: Literal["centre"]
    side: Share

    def draw(self, random: np.random.Generator, key: str, height: int, width: int) -> Mask:
        side = _pixels(self.side, height, width)
        left, top = (width - side) // 2, (height - side) // 2
        return masks.of_boxes([Box(left, top, left + side, top + side)], height, width, key)


class Half(Row):
    """One half of the image."""

    shape: Literal["half"]
    missing: Literal["left", "right", "top", "bottom"]

    def draw(self, random: np.random.Generator, key: str, height: int, width: int) -> Mask:
        box = {
            "left": Box(0, 0, width // 2, height),
            "right": Box(width // 2, 0, width, height),
            "top": Box(0, 0, width, height // 2),
            "bottom": Box(0, height // 2, width, height),
        }[self.missing]
        return masks.of_boxes([box], height, width, key)


class Strokes(Row):
    """Free-form brush strokes (Yu et al., "Free-Form Image Inpainting with Gated Convolution", ICCV 2019, section 3.4).

    Each is a line with rounded bends: up to `bends` pieces of a length of up to `length`, each turning back against
    the one before by a random angle, with a brush of up to `brush`.
    """

    shape: Literal["strokes"]
    count: int = Field(gt=0)
    """The most strokes of an image; there is at least one."""
    bends: int = Field(gt=0)
    length: Share
    brush: Share

    def draw(self, random: np.random.Generator, key: str, height: int, width: int) -> Mask:
        length, brush = (_pixels(share, height, width) for share in (self.length, self.brush))
        canvas = Image.new("1", (width, height))
        pen = ImageDraw.Draw(canvas)
        for _ in range(random.integers(1, self.count + 1)):
            thick = int(random.integers(max(1, brush // 2), brush + 1))
            x, y = random.uniform(0, width), random.uniform(0, height)
            start = random.uniform(0, 2 * np.pi)
            self._dot(pen, x, y, thick)
            for bend in range(random.integers(1, self.bends + 1)):
                angle = start + random.uniform(0, 0.8 * np.pi) + np.pi * (bend % 2)
                step = random.uniform(0.25, 1) * length
                to_x = min(max(x + step * np.cos(angle), 0), width - 1)
                to_y = min(max(y + step * np.sin(angle), 0), height - 1)
                pen.line([(x, y), (to_x, to_y)], fill=1, width=thick)
                self._dot(pen, to_x, to_y, thick)
                x, y = to_x, to_y
        return masks.check(np.array(canvas, dtype=bool), height, width, key)

    def _dot(self, pen: ImageDraw.ImageDraw, x: float, y: float, thick: int) -> None:
        pen.ellipse([x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2], fill=1)


class Csv(Row):
    """The boxes that a table lists, as `masks` describes it; a file's name without its extension is a sample's key."""

    shape: Literal["csv"]
    size: int = Field(gt=0)
    """Side in px of the images that the coordinates are of; samples of another side get them scaled."""

    def draw(self, random: np.random.Generator, key: str, height: int, width: int) -> Mask:
        listed = _table(self.path).get(key)
        if not listed:
            raise HoleError(f"{self.path}: lists no box of `{key}`")
        lines = sorted({line for _, line in listed})
        where = f"{self.path}, line {', '.join(map(str, lines))}"
        scaled = [
            Box(*(round(value * extent / self.size) for value, extent in zip(box, (width, height) * 2, strict=True)))
            for box, _ in listed
        ]
        return masks.of_boxes(scaled, height, width, where)


class File(Row):
    """One mask for all samples, from an image file of their size."""

    shape: Literal["file"]
    missing: masks.Missing = "auto"

    def draw(self, random: np.random.Generator, key: str, height: int, width: int) -> Mask:
        return masks.check(_mask_file(self.path, self.missing), height, width, self.path)


class Pairs(Row):
    """What covers the inputs of a data set of pairs, found by comparing each with its target, as `occlusions` does."""

    shape: Literal["pairs"]

    def draw(self, random: np.random.Generator, key: str, height: int, width: int) -> Mask:
        raise HoleError(f"`{key}` has no input beside it; the shape `pairs` is for data sets whose images are pairs")


SHAPES: dict[str, type[Row]] = {
    "boxes": Boxes,
    "corners": Corners,
    "centre": Centre,
    "half": Half,
    "strokes": Strokes,
    "csv": Csv,
    "file": File,
    "pairs": Pairs,
}


def draw(row: Row, key: str, epoch: int | None, height: int, width: int) -> Mask:
    """The mask `[H, W]` of a sample in an epoch; None: the fixed one.

    Raises:
        HoleError: a file that the row names is not what it should be, or the mask does not fit the image.
    """
    random = randomness.generator(row.seed, "holes", key, "fixed" if epoch is None else epoch)
    return row.draw(random, key, height, width)


def _pixels(share: float, height: int, width: int) -> int:
    return max(1, round(share * min(height, width)))


@lru_cache(maxsize=4)
def _table(path: str) -> dict[str, list[masks.Listed]]:
    _check_file(path)
    found: dict[str, list[masks.Listed]] = {}
    for name, listed in masks.read_boxes(Path(path)).items():
        if masks.stem(name) in found:
            raise HoleError(f"{path}, line {listed[0].line}: a second file named {masks.stem(name)}; keys are unique")
        found[masks.stem(name)] = listed
    return found


@lru_cache(maxsize=4)
def _mask_file(path: str, missing: masks.Missing) -> Mask:
    _check_file(path)
    return masks.read(Path(path).read_bytes(), path, missing)


def _check_file(path: str) -> None:
    if not Path(path).is_file():
        raise HoleError(f"{path}: there is no such file")
