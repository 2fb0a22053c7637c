"""A trained restorer, applied to images and frames of any size."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from afterimage import devices, images, layout
from afterimage.images import Uint8
from afterimage.observations.cctv import resized
from afterimage.reconstructors import enhancement, restorer

TILE = 512
MARGIN = 64
"""A larger image goes through in tiles of about that side, each with so many px around it that are thrown away."""


class RestorerRow:
    """A trained row of `restorers`.

    Args:
        project: the folder that holds params.yaml and data/.
        row: its name.
        enlarge: keep the size that the network's upsampling layers give, `factor` times that of what goes in; else
            an image is first reduced by the factor and comes out at its own size.

    Raises:
        WeightsError: the row is not trained here.
    """

    def __init__(self, project: Path, row: str, enlarge: bool = False):
        self.network, self.card = restorer.load(project / layout.model(restorer.FAMILY, row))
        self.factor: int = self.card["factor"]
        self.enlarge = enlarge
        self.device = devices.choose("auto")
        self.network.to(self.device)

    def __call__(self, image: Image.Image) -> Image.Image:
        """An RGB image restored; the size stays, unless the row enlarges."""
        return Image.fromarray(self.frames(np.asarray(image)[None])[0])

    def frames(self, frames: Uint8) -> Uint8:
        """Frames `[N, H, W, 3]` of one size restored, 8-bit; the size stays, unless the row enlarges."""
        height, width = frames.shape[1:3]
        if self.factor > 1 and not self.enlarge:
            reduced = (max(1, round(height / self.factor)), max(1, round(width / self.factor)))
            frames = np.stack([resized(frame, reduced, "area") for frame in frames])
        if self.card["filters"]:
            frames = np.stack([enhancement.filtered(frame, self.card["filters"]) for frame in frames])
        result = self._by_tiles(frames)
        if self.enlarge or result.shape[1:3] == (height, width):
            return result
        return np.stack([resized(frame, (height, width), "bicubic") for frame in result])

    def _by_tiles(self, frames: Uint8) -> Uint8:
        count, height, width, _ = frames.shape
        times = self.factor
        result = np.empty((count, times * height, times * width, 3), np.uint8)
        high, wide = _side(height), _side(width)
        for top in range(0, height, high):
            for left in range(0, width, wide):
                # Windows begin at multiples of MARGIN, so every scale's grid is the one of the whole frame
                y0, x0 = max(0, top - MARGIN), max(0, left - MARGIN)
                window = frames[:, y0 : top + high + MARGIN, x0 : left + wide + MARGIN]
                kept = np.s_[
                    :,
                    times * (top - y0) : times * (min(top + high, height) - y0),
                    times * (left - x0) : times * (min(left + wide, width) - x0),
                ]
                place = np.s_[times * top : times * (top + high), times * left : times * (left + wide)]
                for rows in self._batches(count, window.shape[1] * window.shape[2]):
                    result[rows][(slice(None), *place)] = self._through(window[rows])[kept]
        return result

    def _batches(self, count: int, pixels: int) -> Iterator[slice]:
        """So many frames at a time as have the pixels of one tile."""
        step = max(1, TILE * TILE // pixels)
        for start in range(0, count, step):
            yield slice(start, start + step)

    def _through(self, frames: Uint8) -> Uint8:
        with torch.inference_mode():
            batch = images.to_tensor(frames).to(self.device).contiguous(memory_format=torch.channels_last)
            return images.to_uint8(self.network(batch))


def _side(length: int) -> int:
    """The side of tiles that share a length evenly: a multiple of MARGIN, at most 1.5 times TILE."""
    return -(-length // (max(1, round(length / TILE)) * MARGIN)) * MARGIN
