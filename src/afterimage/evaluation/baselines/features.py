"""Baselines of features: what can be had without looking at the features."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from afterimage.core import shards
from afterimage.core.errors import ShardError
from afterimage.core.images import Uint8, decode

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
"""From the folder of a data set's image shards to a method."""
