"""Flicker of a clip, of what rows make of it frame by frame, and with the frame before mixed in.

    python -m benchmarks.flicker CLIP [FRAMES] [SIDE]

Takes the first FRAMES frames, reduced until the longer side is SIDE px, and the rows of `benchmarks.video`. Flicker is
the warping error of Lai et al. (Learning blind video temporal consistency, ECCV 2018), in levels of 255: the mean
absolute difference between a frame and the one before, warped along the flow between the inputs, over pixels that are
visible in both. These are told as there: the flow forth and the flow back cancel out (Sundaram, Brox and Keutzer, Dense
point trajectories by GPU-accelerated large displacement optical flow, 2010). The flow is found at full size and
refined, unlike the one that smoothing uses, so that smoothing is not judged by its own errors.

Sharpness is the mean absolute Laplacian, relative to that of the frames by themselves: what smoothing costs in detail,
and what it takes away of noise.
"""

import sys
from collections.abc import Sequence
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from afterimage.core.images import Uint8
from benchmarks.video import ROWS

FRAMES = 24
SIDE = 960


class Warp:
    """From a frame to the one before, as the inputs tell."""

    def __init__(self, before: Uint8, after: Uint8):
        finder = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        first, second = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (before, after))
        self.back = finder.calc(second, first, None)
        there = self._along(finder.calc(first, second, None))
        lengths = np.square(self.back).sum(-1) + np.square(there).sum(-1)
        self.visible = np.square(self.back + there).sum(-1) < 0.01 * lengths + 0.5

    def error(self, before: Uint8, after: Uint8) -> float:
        difference = cv2.absdiff(after, self._along(before))
        return float(difference[self.visible].mean())

    def _along(self, picture: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        flags = cv2.INTER_LINEAR | cv2.WARP_RELATIVE_MAP
        return cv2.remap(picture, self.back, None, flags, borderMode=cv2.BORDER_REPLICATE)


def flicker(warps: Sequence[Warp], frames: Sequence[Uint8]) -> float:
    """The mean over all pairs of frames."""
    return float(np.mean([warp.error(*pair) for warp, pair in zip(warps, pairwise(frames), strict=True)]))


def sharpness(frames: Sequence[Uint8]) -> float:
    return float(np.mean([np.abs(cv2.Laplacian(frame, cv2.CV_32F)).mean() for frame in frames]))


def smoothed(sources: Sequence[Uint8], restored: Sequence[Uint8]) -> list[Uint8]:
    """Restored frames as a clip of them is written."""
    from afterimage import video
    from afterimage.video import steady

    state, found = None, []
    for source, result in zip(sources, restored, strict=True):
        state = steady.follow(state, source, result, video.SMOOTH)
        found.append(state.result)
    return found


def read(path: Path, count: int, side: int) -> list[Uint8]:
    from afterimage.video import reading

    clip = reading.probe(path)
    scale = min(1.0, side / max(clip.width, clip.height))
    size = (round(scale * clip.width), round(scale * clip.height))
    frames = (frame.pixels for frame in islice(reading.frames(clip, []), count))
    return [np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), dtype=np.uint8) for frame in frames]


def main(path: Path, count: int = FRAMES, side: int = SIDE) -> None:
    from afterimage import apply

    frames = read(path, count, side)
    warps = [Warp(*pair) for pair in pairwise(frames)]
    visible = np.mean([warp.visible.mean() for warp in warps])
    print(f"input: {flicker(warps, frames):.2f} over {visible:.0%} of the picture", flush=True)
    for name in ROWS:
        row = apply.load(Path(), name)
        restored = [row.frames(frame[None])[0] for frame in frames]
        found = smoothed(frames, restored)
        share = sharpness(found) / sharpness(restored)
        print(
            f"{name}: {flicker(warps, restored):.2f} by itself, {flicker(warps, found):.2f}; sharpness {share:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
