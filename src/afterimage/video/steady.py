"""From frame to frame: smoothing where nothing moves, and how much flickers.

A pixel is still where the input around it hardly differs from the frame before. What is compared are means over small
windows, which are far less noisy than a pixel, so that noise does not count as motion.

- Smoothing is a recursive temporal filter that lets go where there is motion (Dubois and Sabri, Noise reduction in
  image sequences using motion-compensated temporal filtering, 1984; here without compensation): a still pixel becomes
  a mixture of itself and of the frame before as it was written.
- Flicker is the mean absolute difference between consecutive frames over still pixels, in levels of 255: the warping
  error of Lai et al. (Learning blind video temporal consistency, 2018), taken where the warp is the identity. Which
  pixels are still is decided by the input alone, so that its flicker and that of the result are over the same ones.
"""

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from afterimage.core.images import Uint8

NOISE = 3
"""The window, at half size, whose mean is compared."""
AROUND = 7
"""The window, at half size, over which such differences count for the pixel in its middle."""
STILL = 6.0
"""Levels of 255: a smaller change is none."""


class Sums(NamedTuple):
    """Of all pairs of consecutive frames so far. Whole numbers, so that their order does not matter."""

    pixels: int = 0
    still: int = 0
    before: int = 0
    """Sum over still pixels and channels of the absolute difference in the input; `after`: in the result."""
    after: int = 0

    def flicker(self) -> tuple[float, float] | None:
        """In the input and in the result; None if nothing is still."""
        return (self.before / (3 * self.still), self.after / (3 * self.still)) if self.still else None


class State(NamedTuple):
    """What the next frame needs: the frame before `[H, W, 3]` as it was and as it was written."""

    source: Uint8
    result: Uint8
    sums: Sums


def follow(state: State | None, source: Uint8, restored: Uint8, smooth: float) -> State:
    """The state after one more frame; its `result` is the frame to write.

    Args:
        smooth: the share of the frame before where nothing moves at all.
    """
    if state is None:
        return State(source, restored, Sums())
    change = _change(state.source, source)
    result = _mixed(restored, state.result, change, smooth) if smooth else restored
    still = change < STILL
    sums = Sums(
        state.sums.pixels + still.size,
        state.sums.still + int(still.sum()),
        state.sums.before + _differences(source, state.source, still),
        state.sums.after + _differences(result, state.result, still),
    )
    return State(source, result, sums)


def _change(before: Uint8, after: Uint8) -> npt.NDArray[np.float32]:
    """How much each pixel's surroundings changed `[H, W]`, in levels: the most of the three channels."""
    height, width, _ = after.shape
    half = (-(-width // 2), -(-height // 2))
    first, second = (cv2.resize(frame, half, interpolation=cv2.INTER_AREA) for frame in (before, after))
    change = cv2.blur(cv2.subtract(second, first, dtype=cv2.CV_32F), (NOISE, NOISE))
    red, green, blue = cv2.split(np.abs(change, out=change))
    most = cv2.blur(cv2.max(cv2.max(red, green), blue), (AROUND, AROUND))
    return np.asarray(cv2.resize(most, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def _mixed(restored: Uint8, before: Uint8, change: npt.NDArray[np.float32], smooth: float) -> Uint8:
    share = smooth * np.exp(-np.square(change / STILL))[..., None]
    return np.rint(restored + share * (before.astype(np.float32) - restored)).astype(np.uint8)


def _differences(a: Uint8, b: Uint8, still: npt.NDArray[np.bool_]) -> int:
    return int(cv2.norm(a, b, cv2.NORM_L1, still.astype(np.uint8)))
