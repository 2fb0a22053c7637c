"""Baselines: what can be had without learning. A learned row is worth its cost by what it gains on these."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
from pydantic import Field, field_validator

from afterimage import outputs, shards
from afterimage.errors import ShardError
from afterimage.images import Uint8, decode, encode_png
from afterimage.params import Row

Method = Callable[[Uint8], Uint8]
"""From a test image to what the baseline makes of it, both 8-bit `[H, W, 3]`."""


def mean_colour(folder: Path) -> Method:
    """Fill each image with its own mean colour.

    This is an oracle: it is told the mean of the image that it should find, which no reconstructor is. Of all images
    of one colour it has the smallest squared error.
    """

    def fill(image: Uint8) -> Uint8:
        return np.broadcast_to(np.rint(image.mean(axis=(0, 1))).astype(np.uint8), image.shape)

    return fill


def mean_image(folder: Path) -> Method:
    """Answer every image with the mean of the training images in `folder`: the best guess that looks at nothing.

    Raises:
        ShardError: there are no training images.
    """
    total, count = np.zeros(1, np.int64), 0
    for _, data, _ in shards.read(folder, "train"):
        total = total + np.asarray(decode(data))
        count += 1
    if count == 0:
        raise ShardError(f"{folder}: has no training images to take the mean of")
    mean = np.rint(total / count).astype(np.uint8)
    return lambda image: mean


METHODS: dict[str, Callable[[Path], Method]] = {"mean_colour": mean_colour, "mean_image": mean_image}
"""What `baselines` may name: from the folder of a data set's image shards to a method."""


class BaselineRow(Row):
    """A row of `baselines`: methods that are measured on the test split of a data set."""

    dataset: str
    methods: list[str] = Field(min_length=1)

    @field_validator("methods")
    @classmethod
    def _known_and_once(cls, names: list[str]) -> list[str]:
        for name in names:
            if name not in METHODS:
                raise ValueError(f"there is no method `{name}`; there are {', '.join(METHODS)}")
        if len(set(names)) < len(names):
            raise ValueError("a method is listed twice")
        return names


def reconstruct(method: str, originals: Path, out: Path) -> None:
    """Write what a method makes of the test split of image shards, as shards of 8-bit PNG with the same names.

    Raises:
        ShardError: the shards cannot be read.
    """
    rebuild = METHODS[method](originals)
    index = shards.load_index(originals)
    samples = shards.read(originals, "test")
    written = []
    with outputs.folder(out) as folder:
        for shard in index["splits"]["test"]["shards"]:
            path = folder / shard["name"]
            with shards.writer(path) as put:
                for key, data, _ in islice(samples, shard["samples"]):
                    put(f"{key}.png", encode_png(rebuild(np.asarray(decode(data)))))
            written.append(shards.describe(path, shard["samples"]))
        shards.write_index(folder, {"dataset": index["dataset"], "size": index["size"]}, {"test": written})
