"""From frame to frame: smoothing along motion, and how much flickers.

Where a pixel was in the frame before is told by the optical flow between the two inputs (Kroeger et al., Fast optical
flow using dense inverse search, 2016). The frame before is warped along it. What has become of it is believed as far as
the warped input agrees with the input: not where something comes out from behind something else, and nowhere in the
first frame after a cut. What is compared are means over small windows, which are far less noisy than a pixel, so that
noise does not count as motion.

- Smoothing is a recursive temporal filter along motion (Dubois and Sabri, Noise reduction in image sequences using
  motion-compensated temporal filtering, 1984): a pixel becomes a mixture of itself and of the warped frame before, as
  that was written.
- Flicker is the warping error of Lai et al. (Learning blind video temporal consistency, ECCV 2018): the mean absolute
  difference, in levels of 255, between a frame and the warped one before, both at half size, over pixels whose warped
  input agrees. Flow and pixels follow from the input alone, so that its flicker and that of the result are over the
  same ones.
"""

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from afterimage.core.images import Uint8

Floats = npt.NDArray[np.float32]

LEAST = 12
"""The least side, at half size, in which flow is found; smaller frames are compared as they are."""
FINEST = 1
"""Flow is refined up to the half of that, and enlarged from there."""
NOISE = 3
"""The window, at half size, whose mean is compared."""
AROUND = 7
"""The window, at half size, over which such differences count for the pixel in its middle."""
AGREES = 8.0
"""Levels of 255: a smaller change is none."""
HIDDEN = 2.0
"""The result may change so many times more: a restorer that raises contrast raises what it does not settle."""
CUT = 0.5
"""Where less than this share of the picture agrees, it is another scene."""


class Sums(NamedTuple):
    """Of all pairs of consecutive frames so far. Whole numbers, so that their order does not matter."""

    pixels: int = 0
    agreeing: int = 0
    before: int = 0
    """Sum over agreeing pixels and channels of the absolute difference in the input; `after`: in the result."""
    after: int = 0

    def flicker(self) -> tuple[float, float] | None:
        """In the input and in the result; None if nothing agrees."""
        return (self.before / (3 * self.agreeing), self.after / (3 * self.agreeing)) if self.agreeing else None


class State(NamedTuple):
    """What the next frame needs: the frame before `[H, W, 3]` as it was and as it was written."""

    source: Uint8
    result: Uint8
    sums: Sums


def follow(state: State | None, source: Uint8, restored: Uint8, smooth: float, partly: bool = False) -> State:
    """The state after one more frame; its `result` is the frame to write.

    Args:
        smooth: the share of the frame before where it agrees in full.
        partly: whether what the restorer left as it was is to stay so.
    """
    if state is None:
        return State(source, restored, Sums())
    now, then = _half(source), _half(state.source)
    flow = _flow(now, then)
    before = _warped(then, flow)
    change = _change(before, now)
    size = (source.shape[1], source.shape[0])
    scale = np.array([size[0] / now.shape[1], size[1] / now.shape[0]], dtype=np.float32)
    last = _warped(state.result, np.asarray(cv2.resize(flow, size) * scale, dtype=np.float32))
    result = _mixed(restored, last, change, source if partly else None, smooth) if smooth else restored
    agrees = (change < AGREES).astype(np.uint8)
    sums = Sums(
        state.sums.pixels + agrees.size,
        state.sums.agreeing + cv2.countNonZero(agrees),
        state.sums.before + int(cv2.norm(now, before, cv2.NORM_L1, agrees)),
        state.sums.after + int(cv2.norm(_half(result), _half(last), cv2.NORM_L1, agrees)),
    )
    return State(source, result, sums)


def _half(frame: Uint8) -> Uint8:
    height, width, _ = frame.shape
    size = (-(-width // 2), -(-height // 2))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _flow(now: Uint8, then: Uint8) -> Floats:
    """How far from each pixel of a frame its place in the one before is `[H, W, 2]`, in px, x first."""
    if min(now.shape[:2]) < LEAST:
        return np.zeros((*now.shape[:2], 2), dtype=np.float32)
    finder = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    finder.setFinestScale(FINEST)
    second, first = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (now, then))
    found = finder.calc(second, first, None)  # type: ignore[call-overload]  # OpenCV's stubs know no None
    return np.asarray(found, dtype=np.float32)


def _warped(frame: Uint8, flow: Floats) -> Uint8:
    flags = cv2.INTER_CUBIC | cv2.WARP_RELATIVE_MAP  # linear would blur what goes through it again and again
    found = cv2.remap(frame, flow, None, flags, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return np.asarray(found, dtype=np.uint8)


def _change(before: Uint8, after: Uint8) -> Floats:
    """How much each pixel's surroundings changed `[H, W]`, in levels: the most of the three channels."""
    change = cv2.blur(cv2.subtract(after, before, dtype=cv2.CV_32F), (NOISE, NOISE))
    red, green, blue = cv2.split(np.abs(change, out=change))
    return np.asarray(cv2.blur(cv2.max(cv2.max(red, green), blue), (AROUND, AROUND)), dtype=np.float32)


def _mixed(restored: Uint8, last: Uint8, change: Floats, source: Uint8 | None, smooth: float) -> Uint8:
    """A restored frame, and the warped one before where it agrees.

    Args:
        source: the input, if what it shares with the restored frame is to stay.
    """
    # What hardly shows in a dark input may be plain in the result
    change = np.maximum(change, _change(_half(last), _half(restored)) / HIDDEN)
    if (change < AGREES).mean() < CUT:
        return restored
    share = cv2.resize(smooth * np.exp(-np.square(change / AGREES)), (restored.shape[1], restored.shape[0]))
    if source is not None:
        share[(restored == source).all(-1)] = 0
    return np.asarray(cv2.blendLinear(last, restored, share, 1 - share), dtype=np.uint8)
