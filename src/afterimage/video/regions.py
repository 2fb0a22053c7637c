"""Where a restorer looks: at whole frames, or at the faces in them."""

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from afterimage.core.errors import VideoError
from afterimage.core.images import Uint8
from afterimage.video import faces
from afterimage.video.faces import Face, Faces

if TYPE_CHECKING:
    from afterimage.video import Restore, Settings

ROOM = 2.0
"""The side of what is restored, in sides of the face: hair, neck, and where it moves to before it is found again."""
INNER = 0.5
"""The part of the ellipse in which all is restored, from brow to chin; from there to its edge the mask falls to 0."""
NARROW = 0.8
"""The width of the ellipse, of its height."""


class Looked(NamedTuple):
    """Frames that were restored, and what the next ones need."""

    frames: Uint8
    found: bool
    """Whether there were faces, if they were asked for."""
    faces: Faces | None = None


def apply(restore: "Restore", frames: Uint8, settings: "Settings", before: Faces | None = None) -> Looked:
    """Restore consecutive frames `[N, H, W, 3]` as the settings say.

    Faces are searched in the last frame, and lie between there and where they were in the frames before it.

    Args:
        before: the faces of the frames before these.

    Raises:
        VideoError: there is no face, and the settings say to stop.
    """
    if not settings.faces:
        return Looked(restore(frames), True)
    after = faces.follow(before, faces.find(frames[-1], settings.detector))
    if after:
        steps = [faces.between(before, after, (number + 1) / len(frames)) for number in range(len(frames))]
        result = frames.copy()
        for moving in zip(*steps, strict=True):
            _restore_face(restore, frames, result, moving)
        return Looked(result, True, tuple(face for face in after if face.strength > 0))
    if settings.no_face == "stop":
        raise VideoError("no face found; --no-face whole or keep goes on")
    return Looked(restore(frames) if settings.no_face == "whole" else frames, False, ())


def _restore_face(restore: "Restore", frames: Uint8, result: Uint8, moving: Faces) -> None:
    """Restore a face, which lies in another place in each frame, in upright squares, and blend it into the result."""
    side = max(1, round(ROOM * moving[-1].side))
    places = [_square(face, side) for face in moving]
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    squares: Uint8 = np.empty((len(frames), side, side, 3), dtype=np.uint8)
    for square, frame, place in zip(squares, frames, places, strict=True):
        square[:] = cv2.warpAffine(frame, place, (side, side), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    mask = _mask(side)
    for picture, found, place, face in zip(result, restore(squares), places, moving, strict=True):
        part, back = _seen(place, side, picture)
        size = (part.shape[1], part.shape[0])
        new = cv2.warpAffine(found, back, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
        weights = face.strength * cv2.warpAffine(mask, back, size, flags=cv2.INTER_LINEAR)[..., None]
        part[:] = np.rint(part + weights * (new.astype(np.float32) - part)).astype(np.uint8)


def _square(face: Face, side: int) -> npt.NDArray[np.float64]:
    """From places in the upright square around a face to places in its frame: `[2, 3]`.

    Pixels keep their size. Where a face is upright they keep their places on the grid too, and nothing is interpolated.
    """
    half = (side - 1) / 2
    cosine, sine = np.cos(face.angle), np.sin(face.angle)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    corner = np.array([face.x, face.y]) - 0.5 - turn @ (half, half)
    return np.column_stack([turn, corner if face.angle else np.rint(corner)])


def _seen(place: npt.NDArray[np.float64], side: int, picture: Uint8) -> tuple[Uint8, npt.NDArray[np.float64]]:
    """The part of a picture that holds a square (a view), and the way from the square to places in it."""
    corners = np.array([(0, 0, 1), (side - 1, 0, 1), (0, side - 1, 1), (side - 1, side - 1, 1)]) @ place.T
    limits = np.array(picture.shape[1::-1])
    low = np.clip(np.floor(corners.min(0)), 0, limits - 1).astype(int)
    high = np.clip(np.ceil(corners.max(0)) + 1, low + 1, limits).astype(int)
    back = place.copy()
    back[:, 2] -= low
    return picture[low[1] : high[1], low[0] : high[0]], back


def _mask(side: int) -> npt.NDArray[np.float32]:
    """1 in the middle of a square, falling to 0 at the edge of an upright ellipse in it."""
    places = (np.arange(side, dtype=np.float32) + 0.5) / side * 2 - 1
    radius = np.hypot(places[None, :] / NARROW, places[:, None])
    share = np.clip((1 - radius) / (1 - INNER), 0, 1)
    return (share * share * (3 - 2 * share)).astype(np.float32)
