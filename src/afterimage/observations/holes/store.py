"""Stored holes, and images with holes.

Training draws the hole of a sample anew in each epoch, from (seed, key, epoch). Validation and test have one fixed mask
a sample, stored as shards of `<key>.png`, white where the image is missing.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from afterimage.core import images, shards
from afterimage.core.errors import HoleError, ShardError
from afterimage.observations import Given
from afterimage.observations.holes import Holes, masks, occlusions
from afterimage.observations.holes.masks import Mask
from afterimage.observations.holes.row import Pairs, Row, draw

if TYPE_CHECKING:
    import torch


class Stored:
    """The holes of a data set's images, as a reconstructor observes them.

    Raises:
        ShardError: there are none.
    """

    def __init__(self, folder: Path, shards_dir: Path, settings: Mapping[str, Any]):
        self.folder, self.shards_dir = folder, shards_dir
        self.index = shards.load_index(folder)
        self.indices = [self.index]
        self.carried: list[Path] = []
        self.size: int = self.index["size"]
        self.row = Row.kind_of(self.index["row"]).model_validate(self.index["row"])

    def images(self, split: str) -> "HoledImages":
        """Images and masks of a split by position, for training."""
        return HoledImages(self.shards_dir, split, self.row, self.folder)

    def cases(self) -> list[str]:
        return ["test"]

    def test_hash(self, case: str) -> str:
        return shards.split_hash(self.index, case)

    def given(self, case: str, batch: int, keys: Sequence[str] | None = None) -> Iterator[Given]:
        import torch

        holed = self.images(case)
        wanted = None if keys is None else set(keys)
        chosen = [place for place, key in enumerate(holed.keys) if wanted is None or key in wanted]
        for start in range(0, len(chosen), batch):
            places = chosen[start : start + batch]
            names = [holed.keys[place] for place in places]
            tensors = holed.__getitems__([(0, place) for place in places])
            pixels, missing = tensors["images"], tensors["masks"]
            left = torch.where(missing > 0.5, 0, pixels)
            originals = np.stack([holed.pixels(place) for place in places])
            yield Given(names, Holes(names, (self.size, self.size), left, missing), originals)


class StoredHoles:
    """The fixed masks of a split, by key.

    Raises:
        ShardError: there are none, or they cannot be read.
    """

    def __init__(self, folder: Path, split: str):
        self.folder = folder
        self.table = shards.Table(folder, split)

    def __getitem__(self, key: str) -> Mask:
        """The mask `[H, W]` of a sample; ShardError where there is none."""
        if key not in self.table.keys:
            raise ShardError(f"{self.folder}: has no mask of `{key}`; run dvc repro")
        return masks.read(self.table.of(key), f"{self.folder}: `{key}`", missing="white")


class HoledImages:
    """Images and the masks of what is missing of them, by position, for `training.fit`.

    Args:
        shards_dir: the image shards.
        row: draws the holes of training samples.
        stored: the fixed masks, for all splits but training.
    """

    def __init__(self, shards_dir: Path, split: str, row: Row, stored: Path):
        self.images = shards.Table(shards_dir, split)
        paired = split == "train" and is_paired(row, self.images.index, shards_dir)
        self.inputs = shards.Table(shards_dir, split, shards.INPUT) if paired else None
        self.row = row
        self.stored = None if split == "train" else StoredHoles(stored, split)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def keys(self) -> Sequence[str]:
        return self.images.keys

    def pixels(self, position: int) -> images.Uint8:
        """An image, 8-bit `[H, W, 3]`."""
        return np.asarray(images.decode(self.images.bytes(position)))

    def mask(self, position: int, epoch: int, height: int, width: int) -> Mask:
        """The mask `[H, W]` of a sample in an epoch, or its fixed one."""
        key = self.keys[position]
        if self.inputs is not None:
            return of_pair(self.inputs.bytes(position), self.images.bytes(position), key)
        if self.stored is None:
            return draw(self.row, key, epoch, height, width)
        return masks.check(self.stored[key], height, width, key)

    def __getitems__(self, positions: Sequence[tuple[int, int]]) -> "dict[str, torch.Tensor]":
        """`images`, float32 `[N, 3, H, W]` in [0, 1], and `masks`, float32 `[N, 1, H, W]`, 1 where missing."""
        import torch

        pixels = np.stack([self.pixels(position) for _, position in positions])
        drawn = np.stack([self.mask(position, epoch, *pixels.shape[1:3]) for epoch, position in positions])
        return {"images": images.to_tensor(pixels), "masks": torch.from_numpy(drawn)[:, None].float()}


def is_paired(row: Row, index: shards.Index, shards_dir: Path) -> bool:
    """Whether a row's masks come from pairs, which the images then have to be."""
    if isinstance(row, Pairs) and not index.get("pairs"):
        raise HoleError(f"{shards_dir}: its images are no pairs, which holes of the shape `pairs` are found in")
    return isinstance(row, Pairs)


def of_pair(occluded: bytes, original: bytes, key: str) -> Mask:
    pixels = [np.asarray(images.decode(data)) for data in (occluded, original)]
    return occlusions.from_pair(pixels[0], pixels[1], key)
