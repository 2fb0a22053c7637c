"""Where a restorer looks: at whole frames, in tiles where they are large, or at faces only."""

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from afterimage.errors import VideoError
from afterimage.images import Uint8

if TYPE_CHECKING:
    from skimage.feature import Cascade

    from afterimage.video import Restore, Settings

AT_ONCE = 1 << 20
"""Pixels that a restorer is given in one call: this bounds its memory, whatever the size of a frame."""
MARGIN = 32
"""Pixels around a tile that go in with it and are thrown away."""
GRID = 16
"""Tiles begin at multiples of it, so that a network which halves four times sees the grid of the whole frame."""

SEARCHED = 1152
"""The longer side, in pixels, of the picture in which faces are searched; larger frames are brought down to it."""
SMALLEST = 24
"""The smallest face there, in pixels: what the cascade was trained on."""
SCALE_STEP = 1.2
NEIGHBOURS = 2
"""How many overlapping finds make a face. A false one costs time; a missed one stays as bad as it was."""
GROWN = 0.5
"""By so much of its side a box grows on each side: the cascade's ends at brows and chin, and faces move."""


class Box(NamedTuple):
    """Part of a frame, in pixels; the ends are not in it."""

    top: int
    left: int
    bottom: int
    right: int


def apply(restore: "Restore", frames: Uint8, settings: "Settings") -> tuple[Uint8, bool]:
    """Restore consecutive frames `[N, H, W, 3]` as the settings say, and whether faces were found if they ask for them.

    Faces are searched in the middle frame and taken to be there in all.

    Raises:
        VideoError: there is no face, and the settings say to stop.
    """
    if not settings.faces:
        return whole(restore, frames), True
    if boxes := faces(frames[len(frames) // 2]):
        return within(restore, frames, boxes), True
    if settings.no_face == "stop":
        raise VideoError("no face found; --no-face whole or keep goes on")
    return (whole(restore, frames) if settings.no_face == "whole" else frames), False


def whole(restore: "Restore", frames: Uint8) -> Uint8:
    """Restore frames `[N, H, W, 3]`, tile by tile, so that no call gets more than about `AT_ONCE` pixels."""
    _, height, width, _ = frames.shape
    result = np.empty_like(frames)
    for kept in tiles(height, width):
        seen = Box(
            max(0, kept.top - MARGIN),
            max(0, kept.left - MARGIN),
            min(height, kept.bottom + MARGIN),
            min(width, kept.right + MARGIN),
        )
        found = _few_at_once(restore, _part(frames, seen))
        inner = Box(*(a - b for a, b in zip(kept, (seen.top, seen.left) * 2, strict=True)))
        _part(result, kept)[:] = _part(found, inner)
    return result


def tiles(height: int, width: int) -> list[Box]:
    """Boxes of about one size, `AT_ONCE` pixels at most, that cover a frame without overlap."""
    down = across = 1
    while _step(height, down) * _step(width, across) > AT_ONCE:
        if height / down > width / across:
            down += 1
        else:
            across += 1
    high, wide = _step(height, down), _step(width, across)
    return [
        Box(top, left, min(top + high, height), min(left + wide, width))
        for top in range(0, height, high)
        for left in range(0, width, wide)
    ]


def within(restore: "Restore", frames: Uint8, boxes: list[Box]) -> Uint8:
    """Restore these parts of the frames and blend each into its surroundings."""
    result = frames.copy()
    for box in boxes:
        found = whole(restore, np.ascontiguousarray(_part(frames, box)))
        part = _part(result, box)
        weights = _feather(box)
        part[:] = np.rint(part + weights * (found.astype(np.float32) - part)).astype(np.uint8)
    return result


def faces(frame: Uint8) -> list[Box]:
    """Boxes around the faces that look into the camera, found in a frame `[H, W, 3]`, each with some room.

    The detector is the cascade of local binary patterns that comes with scikit-image (Liao et al., Learning
    multi-scale block local binary patterns for face recognition, 2007). It misses profiles, small and dark faces.
    """
    height, width, _ = frame.shape
    scale = min(1.0, SEARCHED / max(height, width))
    searched = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else frame
    least, most = SMALLEST, min(searched.shape[:2])
    if most < least:
        return []
    found = _cascade().detect_multi_scale(
        searched,
        scale_factor=SCALE_STEP,
        step_ratio=1,
        min_size=(least, least),
        max_size=(most, most),
        min_neighbor_number=NEIGHBOURS,
    )
    boxes = []
    for one in found:
        room = GROWN * one["width"]
        top, left = one["r"] - room, one["c"] - room
        bottom, right = one["r"] + one["height"] + room, one["c"] + one["width"] + room
        boxes.append(
            Box(
                max(0, int(top / scale)),
                max(0, int(left / scale)),
                min(height, int(bottom / scale)),
                min(width, int(right / scale)),
            )
        )
    return sorted(boxes)


@cache
def _cascade() -> "Cascade":
    from skimage import data
    from skimage.feature import Cascade

    return Cascade(data.lbp_frontal_face_cascade_filename())


def _few_at_once(restore: "Restore", frames: Uint8) -> Uint8:
    count, height, width, _ = frames.shape
    few = max(1, AT_ONCE // (height * width))
    if few >= count:
        return restore(np.ascontiguousarray(frames))
    return np.concatenate([restore(np.ascontiguousarray(frames[n : n + few])) for n in range(0, count, few)])


def _step(length: int, parts: int) -> int:
    """The side of a tile: a multiple of the grid, unless there is one tile only."""
    return length if parts == 1 else -(-length // (parts * GRID)) * GRID


def _part(frames: Uint8, box: Box) -> Uint8:
    return frames[:, box.top : box.bottom, box.left : box.right]


def _feather(box: Box) -> npt.NDArray[np.float32]:
    """1 inside a box, falling to 0 over the outer sixth of it."""

    def ramp(length: int) -> npt.NDArray[np.float32]:
        places = np.arange(length, dtype=np.float32) + 0.5
        return np.clip(np.minimum(places, length - places) / (length / 6), 0, 1)

    return np.minimum.outer(ramp(box.bottom - box.top), ramp(box.right - box.left))[..., None]
