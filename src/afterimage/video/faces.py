"""Faces in a frame, and the same faces from frame to frame.

- `find` looks for them. The cascade of local binary patterns that comes with scikit-image (Liao et al., Learning
  multi-scale block local binary patterns for face recognition, 2007) needs no file, and gives upright boxes of faces
  that look into the camera. YuNet (Wu, Peng and Yu, YuNet: a tiny millisecond-level face detector, 2023), from a file
  that a user has, finds more and gives eyes, nose and mouth, which say how a face is tilted.
- `follow` keeps them steady over time: what is found is joined with the face that it overlaps, its place is smoothed,
  and a face that comes or goes is faded in or out, since detectors miss faces for a while.
"""

import math
from collections.abc import Sequence
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from afterimage.core.errors import VideoError
from afterimage.core.images import Uint8

if TYPE_CHECKING:
    from skimage.feature import Cascade

SEARCHED = 1152
"""The longer side, in pixels, of the picture that the cascade searches; larger frames are brought down to it."""
SMALLEST = 24
"""The smallest face there, in pixels: what the cascade was trained on."""
SCALE_STEP = 1.2
NEIGHBOURS = 3
"""How many overlapping finds make a face. A false one costs time; a missed one stays as bad as it was."""
CANVAS = 640
"""The side of the square that YuNet gets, with the frame in its corner: its files are made for that size."""
SURE = 0.6
"""The least score of a face that YuNet finds."""
LANDMARKS = np.array(
    [(0.342, 0.462), (0.657, 0.460), (0.500, 0.641), (0.371, 0.825), (0.632, 0.823)], dtype=np.float64
) @ (1, 1j)
"""Where eyes, nose and corners of the mouth lie in the square of an upright face, as complex numbers: the places to
which faces are brought for recognition (Deng et al., ArcFace, 2019)."""

OVERLAP = 0.2
"""Squares that have at least this share of their union in common are the same face."""
SMOOTHING = 0.5
"""The share of what is found in the place of a face that was there before."""
FADE = 0.25
"""By so much a face becomes stronger when it is found, and weaker when it is not."""


class Face(NamedTuple):
    """A face: the square around it, from brow to chin."""

    x: float
    """The centre in px."""
    y: float
    side: float
    angle: float = 0.0
    """How far it is turned clockwise, in radians."""
    strength: float = 1.0
    """How much of what is restored is blended in."""


Faces = tuple[Face, ...]


def find(frame: Uint8, detector: str = "") -> list[Face]:
    """The faces in a frame `[H, W, 3]`, the largest first.

    Args:
        detector: a file with YuNet as ONNX; none: the cascade.
    """
    found = _by_yunet(frame, detector) if detector else _by_cascade(frame)
    kept: list[Face] = []
    for face in sorted(found, key=lambda face: (-face.side, face)):
        if all(_overlap(face, other) < OVERLAP for other in kept):
            kept.append(face)
    return kept


def follow(before: Faces | None, found: Sequence[Face]) -> Faces:
    """The faces after one more search: those before in their order, though some are gone, then those that are new.

    Args:
        before: None before the first search, which is believed.
    """
    if before is None:
        return tuple(found)
    pairs = sorted((-_overlap(a, b), old, new) for old, a in enumerate(before) for new, b in enumerate(found))
    partner: dict[int, int] = {}
    for overlap, old, new in pairs:
        if overlap <= -OVERLAP and old not in partner and new not in partner.values():
            partner[old] = new
    after = [
        _mixed(face, found[partner[old]]._replace(strength=min(1.0, face.strength + FADE)), SMOOTHING)
        if old in partner
        else face._replace(strength=max(0.0, face.strength - FADE))
        for old, face in enumerate(before)
    ]
    new_ones = [face._replace(strength=FADE) for new, face in enumerate(found) if new not in partner.values()]
    return (*after, *new_ones)


def between(before: Faces | None, after: Faces, share: float) -> Faces:
    """The faces at a share of the way from one search to the one that followed it."""
    if before is None:
        return after
    return tuple(_mixed(old or new._replace(strength=0.0), new, share) for old, new in zip_longest(before, after))


def check(detector: str) -> None:
    """Try a file with YuNet on an empty picture.

    Raises:
        VideoError: it cannot be used.
    """
    _by_yunet(np.zeros((CANVAS, CANVAS, 3), dtype=np.uint8), detector)


def _by_cascade(frame: Uint8) -> list[Face]:
    searched, scale = _reduced(frame, SEARCHED)
    most = min(searched.shape[:2])
    if most < SMALLEST:
        return []
    boxes = _cascade().detect_multi_scale(
        searched,
        scale_factor=SCALE_STEP,
        step_ratio=1,
        min_size=(SMALLEST, SMALLEST),
        max_size=(most, most),
        min_neighbor_number=NEIGHBOURS,
    )
    return [
        Face(
            (box["c"] + box["width"] / 2) / scale,
            (box["r"] + box["height"] / 2) / scale,
            max(box["width"], box["height"]) / scale,
        )
        for box in boxes
    ]


@cache
def _cascade() -> "Cascade":
    from skimage import data
    from skimage.feature import Cascade

    return Cascade(data.lbp_frontal_face_cascade_filename())


def _by_yunet(frame: Uint8, detector: str) -> list[Face]:
    searched, scale = _reduced(frame, CANVAS)
    canvas = np.zeros((CANVAS, CANVAS, 3), dtype=np.uint8)
    canvas[: searched.shape[0], : searched.shape[1]] = searched[..., ::-1]
    try:
        _, found = _yunet(detector).detect(canvas)
    except cv2.error:
        raise VideoError(f"{detector}: OpenCV cannot detect faces with this file; expected YuNet as ONNX") from None
    return [_upright(line[4:14].reshape(5, 2) @ (1, 1j) / scale) for line in (() if found is None else found)]


@cache
def _yunet(path: str) -> Any:
    if not Path(path).is_file():
        raise VideoError(f"{path}: there is no such file; expected YuNet as ONNX")
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # it warns of what nobody asked for
    try:
        return cv2.FaceDetectorYN.create(path, "", (CANVAS, CANVAS), score_threshold=SURE)
    finally:
        cv2.utils.logging.setLogLevel(level)


def _upright(places: npt.NDArray[np.complex128]) -> Face:
    """The square of a face with its landmarks at these places: where the similarity transform that brings `LANDMARKS`
    to them takes the unit square (Umeyama, Least-squares estimation of transformation parameters, 1991; in the plane
    a product of complex numbers)."""
    middle, mean = LANDMARKS.mean(), places.mean()
    turn = np.vdot(LANDMARKS - middle, places - mean) / np.vdot(LANDMARKS - middle, LANDMARKS - middle).real
    centre = mean + turn * (0.5 + 0.5j - middle)
    return Face(float(centre.real), float(centre.imag), float(abs(turn)), float(np.angle(turn)))


def _reduced(frame: Uint8, longest: int) -> tuple[Uint8, float]:
    """A frame with its longer side at most that long, and its size as a share of what it was."""
    scale = min(1.0, longest / max(frame.shape[:2]))
    if scale == 1:
        return frame, scale
    return np.asarray(cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)), scale


def _overlap(a: Face, b: Face) -> float:
    """The share of the union of two squares, taken as upright, that both have in common."""
    reach = (a.side + b.side) / 2
    common = 1.0
    for apart in (a.x - b.x, a.y - b.y):
        common *= max(0.0, min(reach - abs(apart), a.side, b.side))
    return common / (a.side**2 + b.side**2 - common)


def _mixed(a: Face, b: Face, share: float) -> Face:
    """A share of the way from one to the other, the shorter way round."""
    turned = (b.angle - a.angle + math.pi) % (2 * math.pi) - math.pi
    near = b._replace(angle=a.angle + turned)
    return Face(*(old + share * (new - old) for old, new in zip(a, near, strict=True)))
