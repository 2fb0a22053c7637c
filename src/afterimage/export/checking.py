"""What was written against the row: both answer to the same images of three sizes, and are compared in 8 bits."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from afterimage.apply.features import Applied
from afterimage.core import images
from afterimage.core.images import Uint8
from afterimage.export.graphs import Graph
from afterimage.export.pictures import photographs
from afterimage.export.writing import Answering
from afterimage.observations.features import Features
from afterimage.observations.frames import Frames
from afterimage.observations.holes import Holes

SIDES = 64, 256
"""The smallest and the largest side in px of the first size; between them it is that of the training images."""

DARKER, NOISE = 2.5, 6.0
"""So many times, and the noise's standard deviation in levels of 255."""


class Difference(NamedTuple):
    """Between the answers to one image."""

    size: tuple[int, int]
    """(H, W) in px."""
    largest: int
    """In levels of 255."""
    share: float
    """Of the values that differ at all."""

    def __str__(self) -> str:
        levels = f"{self.largest} level{'' if self.largest == 1 else 's'}"
        return f"{self.size[1]} x {self.size[0]} px: {levels} of 255, {self.share:.4%} of the values differ"


def sizes(side: int) -> list[tuple[int, int]]:
    """Three sizes (H, W) in px: that of the training images, and two with odd sides."""
    side = min(max(side, SIDES[0]), SIDES[1])
    return [(side, side), (side + 33, side - 7), (side + 65, 2 * side - 3)]


def differences(graph: Graph, model: Answering) -> Iterator[Difference]:
    """Ask what was written and the row for a part of a photograph of each size."""
    pixels = photographs()["rocket"].pixels
    with torch.inference_mode():
        for size in sizes(graph.loaded.card["size"]):
            given, parts = SEEN[graph.loaded.row.observes](graph, pixels[: size[0], : size[1]])
            found = images.to_uint8(model(parts, given))
            wanted = images.to_uint8(graph.reference(given).images)
            change = np.abs(found.astype(int) - wanted)
            yield Difference(size, int(change.max()), float((change > 0).mean()))


def _frames(graph: Graph, pixels: Uint8) -> tuple[Any, list[Tensor]]:
    """Dark and noisy, so that a restorer has something to do."""
    noise = np.random.default_rng(0).normal(0, NOISE, pixels.shape)
    pixels = np.rint(np.clip(pixels / DARKER + noise, 0, 255)).astype(np.uint8)
    height, width = (graph.factor * side for side in pixels.shape[:2])
    return Frames(["0"], (height, width), [pixels]), [images.to_tensor(pixels)[None]]


def _holes(graph: Graph, pixels: Uint8) -> tuple[Any, list[Tensor]]:
    """A box in the middle is missing, of a third of each side."""
    height, width = pixels.shape[:2]
    mask = torch.zeros(1, 1, height, width)
    mask[..., height // 3 : 2 * height // 3, width // 3 : 2 * width // 3] = 1
    image = images.to_tensor(pixels)[None] * (1 - mask)
    return Holes(["0"], (height, width), image, mask), [image, mask]


def _features(graph: Graph, pixels: Uint8) -> tuple[Any, list[Tensor]]:
    layers = Applied(graph.row, graph.loaded, graph.reference, "cpu").features(pixels)
    height, width = graph.module(*layers).shape[-2:]
    return Features(["0"], (height, width), layers), layers


SEEN = {"frames": _frames, "holes": _holes, "features": _features}
"""What is left of an image, as the row is given it and as a graph is."""
