"""What covers an occluded photograph: found from its original, or from the black square alone.

The public exercise on bedrooms keeps pairs `occluded_images/occluded_<name>.jpg` and `original_images/<name>.jpg`, of
one size, with one black square in each occluded image. JPEG leaves neither its colour nor its border exact.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL.Image import Image

from afterimage.core.errors import HoleError
from afterimage.core.images import Uint8
from afterimage.observations.holes.masks import Box, Mask, Missing, check, read

FOLDERS = ("occluded_images", "original_images")
PREFIX = "occluded_"
DIFFERENT = 32
"""Levels by which a pixel differs from its original's; JPEG alone moves few by as much."""
BLACK = 24
"""Levels up to which a pixel of a JPEG counts as black."""
GREY = 3 * BLACK
"""The same for the line of px around a black square, into which JPEG spreads what lies beside."""
FULL = 0.9
"""Share of a line, or of what differs, that counts as all of it; the rest is JPEG's."""
SMALLEST = 4
"""Side in px of the smallest black square."""


def find(image: Image, name: str, mask: Path | None, missing: Missing, original: Image | None) -> Mask:
    """What is missing of an image: by its mask file, else by its original, else by its black square.

    Args:
        name: the image's, for messages.
        missing: the colour of the mask file that is.

    Raises:
        HoleError: the mask or the original does not fit the image, or no black square is found.
    """
    pixels = np.asarray(image)
    if mask is not None:
        return check(read(mask.read_bytes(), str(mask), missing), image.height, image.width, str(mask))
    return black_square(pixels, name) if original is None else from_pair(pixels, np.asarray(original), name)


def original_of(path: Path) -> Path | None:
    """The original of an occluded image that lies as in the exercise; None where there are no originals.

    Raises:
        HoleError: there are originals, but not of this image.
    """
    folder = path.parent.parent / FOLDERS[1]
    if path.parent.name != FOLDERS[0] or not folder.is_dir():
        return None
    name = path.stem.removeprefix(PREFIX)
    partners = sorted(each for each in folder.iterdir() if each.stem == name)
    if len(partners) != 1:
        found = "none" if not partners else " and ".join(each.name for each in partners)
        raise HoleError(f"{path}: expected one original {name}.* in {folder}, found {found}; or give its mask")
    return partners[0]


def from_pair(occluded: Uint8, original: Uint8, name: str) -> Mask:
    """Where an image `[H, W, 3]` differs from its original: the whole box where that is covered by black.

    Raises:
        HoleError: the two differ in size, are alike, or differ all over.
    """
    from scipy import ndimage

    if occluded.shape != original.shape:
        sizes = [f"{image.shape[1]} x {image.shape[0]} px" for image in (occluded, original)]
        raise HoleError(f"{name}: the occluded image has {sizes[0]} and its original {sizes[1]}; expected one size")
    difference = np.abs(occluded.astype(np.int16) - original).max(-1) > DIFFERENT
    covered = ndimage.binary_opening(difference, np.ones((3, 3)))
    if not covered.any():
        raise HoleError(f"{name}: nothing covers it: it is like its original")
    # What was dark already does not differ, so a black square comes in pieces: its box tells
    where = ndimage.find_objects(covered.astype(int))[0]
    levels = np.full_like(occluded[..., 0], 255)
    levels[where] = occluded[where].max(-1)
    box = _black_box(levels)
    mask = _of(box, covered) if box is not None else covered
    if (mask & covered).sum() < FULL * covered.sum():  # another shape, or another colour
        mask = ndimage.binary_fill_holes(covered)
    return check(mask, mask.shape[0], mask.shape[1], name)


def black_square(image: Uint8, name: str) -> Mask:
    """The one black square, or other upright box, of an image `[H, W, 3]`.

    Raises:
        HoleError: there is none, or several of like size.
    """
    levels = image.max(-1)
    box = _black_box(levels)
    if box is None:
        raise HoleError(f"{name}: no black square found; give its mask or its original")
    mask = _of(box, levels)
    other = _black_box(np.where(mask, np.uint8(255), levels))
    if other is not None and 2 * _area(other) > _area(box):
        raise HoleError(f"{name}: black boxes at {box} and at {other}; give a mask that says which is missing")
    return check(mask, mask.shape[0], mask.shape[1], name)


def _black_box(levels: npt.NDArray[np.uint8]) -> Box | None:
    """The box around the largest dark square, as far as its sides are dark; None if it is smaller than `SMALLEST`.

    Args:
        levels: the brightest channel of each pixel, `[H, W]`.
    """
    from scipy import ndimage

    dark = levels <= BLACK
    # How far each pixel is from the nearest that is not dark, or from the edge, by steps in eight directions
    reach = ndimage.distance_transform_cdt(np.pad(dark, 1), "chessboard")[1:-1, 1:-1]
    y, x = np.unravel_index(reach.argmax(), reach.shape)
    radius = int(reach[y, x]) - 1
    box = Box(int(x) - radius, int(y) - radius, int(x) + radius + 1, int(y) + radius + 1)
    if reach[y, x] == 0 or box.right - box.left < SMALLEST - 1:
        return None
    while (wider := _wider(box, dark)) != box:
        box = wider
    box = _wider(box, levels <= GREY)
    return box if min(box.right - box.left, box.bottom - box.top) >= SMALLEST else None


def _wider(box: Box, dark: Mask) -> Box:
    """The box with a line more on each side where that line is dark."""
    height, width = dark.shape
    left, top, right, bottom = box
    if left > 0 and dark[top:bottom, left - 1].mean() > FULL:
        left -= 1
    if right < width and dark[top:bottom, right].mean() > FULL:
        right += 1
    if top > 0 and dark[top - 1, left:right].mean() > FULL:
        top -= 1
    if bottom < height and dark[bottom, left:right].mean() > FULL:
        bottom += 1
    return Box(left, top, right, bottom)


def _of(box: Box, like: npt.NDArray[np.generic]) -> Mask:
    mask = np.zeros(like.shape, dtype=bool)
    mask[box.top : box.bottom, box.left : box.right] = True
    return mask


def _area(box: Box) -> int:
    return (box.right - box.left) * (box.bottom - box.top)
