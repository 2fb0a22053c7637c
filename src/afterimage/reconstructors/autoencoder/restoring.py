"""Trained autoencoders as reconstructors, on frames of any size."""

from collections.abc import Iterator

import numpy as np
import torch

from afterimage.core import images
from afterimage.core.images import Uint8
from afterimage.observations.frames import Frames
from afterimage.observations.frames.cctv import resized
from afterimage.observations.frames.filters import filtered, fitted
from afterimage.reconstructors import Reconstruction, Reconstructor
from afterimage.reconstructors.autoencoder.network import Restorer, enlarged
from afterimage.reconstructors.autoencoder.row import AutoencoderRow
from afterimage.reconstructors.autoencoder.tone import Blind, Light

TILE = 512
MARGIN = 64
"""A larger frame goes through in tiles of about that side, each with so many px around it that are thrown away."""


class Restoring(Reconstructor):
    """Restores frames: brought to 1/factor of the wanted size, filtered, through the network, to the wanted size.

    Attributes:
        brightness: of rows that set the light of a frame: how far towards what they would make of it; 0 keeps that of
            the frame.
        strength: how far from the frame, in the light that it is given, to what is restored of it.
    """

    def __init__(self, network: Restorer | Blind, row: AutoencoderRow, device: torch.device):
        self.network, self.row, self.device = network, row, device
        self.brightness, self.strength = 1.0, 1.0

    def __call__(self, given: Frames) -> Reconstruction:
        size, factor = given.size, self.row.factor
        reduced = (max(1, round(size[0] / factor)), max(1, round(size[1] / factor)))
        frames = np.stack([filtered(fitted(frame, reduced), self.row.filters) for frame in given.frames])
        result = self._by_tiles(frames)
        if result.shape[1:3] != tuple(size):
            result = np.stack([resized(frame, size, "bicubic") for frame in result])
        return Reconstruction(images.to_tensor(result))

    def _by_tiles(self, frames: Uint8) -> Uint8:
        count, height, width, _ = frames.shape
        times = self.row.factor
        result = np.empty((count, times * height, times * width, 3), np.uint8)
        light = self._light(frames)
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
                    seen = None if light is None else light.of(torch.arange(count, device=self.device)[rows])
                    result[rows][(slice(None), *place)] = self._through(window[rows], seen)[kept]
        return result

    def _batches(self, count: int, pixels: int) -> Iterator[slice]:
        """So many frames at a time as have the pixels of one tile."""
        step = max(1, TILE * TILE // pixels)
        for start in range(0, count, step):
            yield slice(start, start + step)

    def _light(self, frames: Uint8) -> Light | None:
        """What is to be seen in whole frames, one at a time: they may be large."""
        if not isinstance(self.network, Blind):
            return None
        with torch.inference_mode():
            seen = [self.network.look(images.to_tensor(frame[None]).to(self.device)) for frame in frames]
            return Light(*(torch.cat(parts) for parts in zip(*seen, strict=True)))

    def _through(self, frames: Uint8, light: Light | None) -> Uint8:
        with torch.inference_mode():
            batch = images.to_tensor(frames).to(self.device).contiguous(memory_format=torch.channels_last)
            if light is None or not isinstance(self.network, Blind):
                found, given = self.network(batch), batch
            else:
                found, given = self.network.restore(batch, light), light.toned(batch)
            if self.strength != 1:
                found = torch.lerp(enlarged(given, found), found, self.strength)
            if light is not None and self.brightness != 1:
                found = torch.lerp(light.undone(found), found, self.brightness)
            return images.to_uint8(found)


def _side(length: int) -> int:
    """The side of tiles that share a length evenly: a multiple of MARGIN, at most 1.5 times TILE."""
    return -(-length // (max(1, round(length / TILE)) * MARGIN)) * MARGIN
