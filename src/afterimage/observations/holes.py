"""Holes: images of which a part is missing.

A row of `holes` says what the missing part looks like. Training draws it anew for each sample and epoch, from (seed,
key, epoch); validation and test have one fixed mask a sample, which the stage draw-holes stores as shards of
`<key>.png`, white where the image is missing.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from PIL import Image, ImageDraw
from pydantic import Field, field_validator

from afterimage import images, outputs, randomness, shards
from afterimage.errors import HoleError, ShardError
from afterimage.observations import masks, occlusions
from afterimage.observations.masks import Box, Mask
from afterimage.params import Row

if TYPE_CHECKING:
    import torch

FIXED = ("val", "test")
"""The splits whose masks are stored."""

Share = Annotated[float, Field(gt=0, lt=1)]
"""Of the image's shorter side, so that a row means the same at any size: 0.293 is 19 of 64 px and 75 of 256."""
Corner = Literal["top-left", "top-right", "bottom-left", "bottom-right"]


class HolesRow(Row):
    """What all rows of `holes` have in common; `shape` picks the class that knows the rest."""

    dataset: str
    seed: int
    shape: str

    @classmethod
    def kind(cls, value: Any) -> type[Self]:
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


class Boxes(HolesRow):
    """Square boxes anywhere; they may overlap."""

    shape: Literal["boxes"]
    count: int = Field(gt=0)
    side: Share

    def draw(self, random: np.random.Generator, key: str, height: int, width: int) -> Mask:
        side = _pixels(self.side, height, width)
        boxes = []
        for _ in range(self.count):
            left, top = (int(random.integers(extent - side + 1)) for extent in (width, height))
            boxes.append(Box(left, top, left + side, top + side))
        return masks.of_boxes(boxes, height, width, key)


class Corners(HolesRow):
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


class Centre(HolesRow):
    """One square box in the middle."""

    shape: Literal["centre"]
    side: Share

    def draw(self, random: np.random.Generator, key: str, height: int, width: int) -> Mask:
        side = _pixels(self.side, height, width)
        left, top = (width - side) // 2, (height - side) // 2
        return masks.of_boxes([Box(left, top, left + side, top + side)], height, width, key)


class Half(HolesRow):
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


class Strokes(HolesRow):
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


class Csv(HolesRow):
    """The boxes that a table lists, as `masks` describes it; a file's name without its extension is a sample's key."""

    shape: Literal["csv"]
    path: str
    sha256: str
    size: int = Field(gt=0)
    """Side in px of the images that the coordinates are of; samples of another side get them scaled."""

    def draw(self, random: np.random.Generator, key: str, height: int, width: int) -> Mask:
        listed = _table(self.path, self.sha256).get(key)
        if not listed:
            raise HoleError(f"{self.path}: lists no box of `{key}`")
        lines = sorted({line for _, line in listed})
        where = f"{self.path}, line {', '.join(map(str, lines))}"
        scaled = [
            Box(*(round(value * extent / self.size) for value, extent in zip(box, (width, height) * 2, strict=True)))
            for box, _ in listed
        ]
        return masks.of_boxes(scaled, height, width, where)


class File(HolesRow):
    """One mask for all samples, from an image file of their size."""

    shape: Literal["file"]
    path: str
    sha256: str
    missing: masks.Missing = "auto"

    def draw(self, random: np.random.Generator, key: str, height: int, width: int) -> Mask:
        return masks.check(_mask_file(self.path, self.sha256, self.missing), height, width, self.path)


class Pairs(HolesRow):
    """What covers the inputs of a data set of pairs, found by comparing each with its target, as `occlusions` does."""

    shape: Literal["pairs"]

    def draw(self, random: np.random.Generator, key: str, height: int, width: int) -> Mask:
        raise HoleError(f"`{key}` has no input beside it; the shape `pairs` is for data sets whose images are pairs")


SHAPES: dict[str, type[HolesRow]] = {
    "boxes": Boxes,
    "corners": Corners,
    "centre": Centre,
    "half": Half,
    "strokes": Strokes,
    "csv": Csv,
    "file": File,
    "pairs": Pairs,
}


def draw(row: HolesRow, key: str, epoch: int | None, height: int, width: int) -> Mask:
    """The mask `[H, W]` of a sample in an epoch; None: the fixed one.

    Raises:
        HoleError: a file that the row names is not what it should be, or the mask does not fit the image.
    """
    random = randomness.generator(row.seed, "holes", key, "fixed" if epoch is None else epoch)
    return row.draw(random, key, height, width)


def write(row: HolesRow, name: str, shards_dir: Path, out_dir: Path) -> None:
    """Store the fixed masks of the validation and test samples of image shards, in tars of the same names.

    Args:
        name: of the row.

    Raises:
        ShardError: the image shards are not whole.
        HoleError: as for `draw`.
    """
    index = shards.load_index(shards_dir)
    size = index["size"]
    paired = _paired(row, index, shards_dir)
    written: dict[str, list[shards.Shard]] = {}
    with outputs.folder(out_dir) as folder:
        for split in FIXED:
            samples = shards.read(shards_dir, split)
            inputs = shards.read(shards_dir, split, shards.INPUT) if paired else repeat((None, None, None))
            written[split] = []
            for shard in index["splits"][split]["shards"]:
                path = folder / shard["name"]
                with shards.writer(path) as put:
                    for (key, data, _), (_, cover, _) in islice(zip(samples, inputs, strict=False), shard["samples"]):
                        mask = draw(row, key, None, size, size) if cover is None else _of_pair(cover, data, key)
                        put(f"{key}.png", images.encode_png(Image.fromarray(mask)))
                written[split].append(shards.describe(path, shard["samples"]))
        about = {
            "holes": name,
            "dataset": index["dataset"],
            "size": size,
            "missing": "white",
            "images": outputs.sha256(shards_dir / "index.json"),
        }
        shards.write_index(folder, about, written)


class StoredHoles:
    """The fixed masks of a split, by key.

    Raises:
        ShardError: there are none, or they cannot be read.
    """

    def __init__(self, folder: Path, split: str):
        self.folder = folder
        self.table = shards.Table(folder, split)
        self.place = {key: number for number, key in enumerate(self.table.keys)}

    def __getitem__(self, key: str) -> Mask:
        """The mask `[H, W]` of a sample; ShardError where there is none."""
        if key not in self.place:
            raise ShardError(f"{self.folder}: has no mask of `{key}`; draw the holes anew")
        return masks.read(self.table.bytes(self.place[key]), f"{self.folder}: `{key}`", missing="white")


class HoledImages:
    """Images and the masks of what is missing of them, by position, for `training.fit`.

    Args:
        shards_dir: the image shards.
        row: draws the holes of training samples.
        stored: the fixed masks, for all splits but training.
    """

    def __init__(self, shards_dir: Path, split: str, row: HolesRow, stored: Path):
        self.images = shards.Table(shards_dir, split)
        paired = split == "train" and _paired(row, self.images.index, shards_dir)
        self.inputs = shards.Table(shards_dir, split, shards.INPUT) if paired else None
        self.row = row
        self.stored = None if split == "train" else StoredHoles(stored, split)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def keys(self) -> list[str]:
        return self.images.keys

    def pixels(self, position: int) -> images.Uint8:
        """An image, 8-bit `[H, W, 3]`."""
        return np.asarray(images.decode(self.images.bytes(position)))

    def mask(self, position: int, epoch: int, height: int, width: int) -> Mask:
        """The mask `[H, W]` of a sample in an epoch, or its fixed one."""
        key = self.keys[position]
        if self.inputs is not None:
            return _of_pair(self.inputs.bytes(position), self.images.bytes(position), key)
        if self.stored is None:
            return draw(self.row, key, epoch, height, width)
        return masks.check(self.stored[key], height, width, key)

    def __getitems__(self, positions: Sequence[tuple[int, int]]) -> "dict[str, torch.Tensor]":
        """`images`, float32 `[N, 3, H, W]` in [0, 1], and `masks`, float32 `[N, 1, H, W]`, 1 where missing."""
        import torch

        pixels = np.stack([self.pixels(position) for _, position in positions])
        drawn = np.stack([self.mask(position, epoch, *pixels.shape[1:3]) for epoch, position in positions])
        return {"images": images.to_tensor(pixels), "masks": torch.from_numpy(drawn)[:, None].float()}


def _paired(row: HolesRow, index: shards.Index, shards_dir: Path) -> bool:
    """Whether a row's masks come from pairs, which the images then have to be."""
    if isinstance(row, Pairs) and not index.get("pairs"):
        raise HoleError(f"{shards_dir}: its images are no pairs, which holes of the shape `pairs` are found in")
    return isinstance(row, Pairs)


def _of_pair(occluded: bytes, original: bytes, key: str) -> Mask:
    pixels = [np.asarray(images.decode(data)) for data in (occluded, original)]
    return occlusions.from_pair(pixels[0], pixels[1], key)


def _pixels(share: float, height: int, width: int) -> int:
    return max(1, round(share * min(height, width)))


@lru_cache(maxsize=4)
def _table(path: str, sha256: str) -> dict[str, list[masks.Listed]]:
    _check_file(path, sha256)
    found: dict[str, list[masks.Listed]] = {}
    for name, listed in masks.read_boxes(Path(path)).items():
        if masks.stem(name) in found:
            raise HoleError(f"{path}, line {listed[0].line}: a second file named {masks.stem(name)}; keys are unique")
        found[masks.stem(name)] = listed
    return found


@lru_cache(maxsize=4)
def _mask_file(path: str, sha256: str, missing: masks.Missing) -> Mask:
    _check_file(path, sha256)
    return masks.read(Path(path).read_bytes(), path, missing)


def _check_file(path: str, sha256: str) -> None:
    """The row pins the file by its hash, because DVC watches the row and not the file."""
    if not Path(path).is_file():
        raise HoleError(f"{path}: there is no such file")
    if (found := outputs.sha256(Path(path))) != sha256:
        raise HoleError(f"{path}: its sha256 is {found}, expected {sha256}")
