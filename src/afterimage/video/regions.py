"""Where a restorer looks: at whole frames, or at the faces in them."""

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from afterimage.core.errors import VideoError
from afterimage.core.images import Uint8

if TYPE_CHECKING:
    from skimage.feature import Cascade

    from afterimage.video import Restore, Settings

SEARCHED = 1152
"""The longer side, in pixels, of the picture in which faces are searched; larger frames are brought down to it."""
SMALLEST = 24
"""The smallest face there, in pixels: what the cascade was trained on."""
SCALE_STEP = 1.2
NEIGHBOURS = 3
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
        return restore(frames), True
    if boxes := faces(frames[len(frames) // 2]):
        return within(restore, frames, boxes), True
    if settings.no_face == "stop":
        raise VideoError("no face found; --no-face whole or keep goes on")
    return (restore(frames) if settings.no_face == "whole" else frames), False


def within(restore: "Restore", frames: Uint8, boxes: list[Box]) -> Uint8:
    """Restore these parts of the frames and blend each into its surroundings."""
    result = frames.copy()
    for box in boxes:
        found = restore(np.ascontiguousarray(_part(frames, box)))
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


def _part(frames: Uint8, box: Box) -> Uint8:
    return frames[:, box.top : box.bottom, box.left : box.right]


def _feather(box: Box) -> npt.NDArray[np.float32]:
    """1 inside a box, falling to 0 over the outer sixth of it."""

    def ramp(length: int) -> npt.NDArray[np.float32]:
        places = np.arange(length, dtype=np.float32) + 0.5
        return np.clip(np.minimum(places, length - places) / (length / 6), 0, 1)

    return np.minimum.outer(ramp(box.bottom - box.top), ramp(box.right - box.left))[..., None]
