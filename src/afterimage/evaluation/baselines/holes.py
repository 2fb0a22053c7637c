"""Baselines of inpainting: what can be filled in without learning. Known pixels stay as they are."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from afterimage.core.images import Uint8
from afterimage.observations.holes.masks import Mask

if TYPE_CHECKING:
    from torch import Tensor

RADIUS = 3
"""Of what Telea and Navier-Stokes look at around a missing pixel, in px, as in OpenCV's examples."""

Method = Callable[[Uint8, Mask], npt.NDArray[np.generic]]
"""From an image `[H, W, 3]` whose missing pixels are black, and its mask `[H, W]`, to the image with all of them."""


def black(image: Uint8, mask: Mask) -> Uint8:
    """Leave the missing part black."""
    return image


def image_mean(image: Uint8, mask: Mask) -> Uint8:
    """Fill with the mean colour of all known pixels."""
    return _filled(image, mask, image[~mask].mean(axis=0))


def border_mean(image: Uint8, mask: Mask) -> Uint8:
    """Fill each connected hole with the mean colour of the known pixels that touch it."""
    from scipy import ndimage

    around = np.ones((3, 3), dtype=bool)
    holes, count = ndimage.label(mask, structure=around)
    for number in range(1, count + 1):
        hole = holes == number
        ring = ndimage.binary_dilation(hole, structure=around) & ~mask
        image = _filled(image, hole, image[ring].mean(axis=0))
    return image


def telea(image: Uint8, mask: Mask) -> npt.NDArray[np.generic]:
    """Fast marching from the border inwards (Telea, "An Image Inpainting Technique Based on the Fast Marching
    Method", Journal of Graphics Tools 2004)."""
    import cv2

    return np.asarray(cv2.inpaint(image, mask.astype(np.uint8), RADIUS, cv2.INPAINT_TELEA))


def navier_stokes(image: Uint8, mask: Mask) -> npt.NDArray[np.generic]:
    """Level lines carried into the hole as a fluid's vorticity (Bertalmio et al., "Navier-Stokes, Fluid Dynamics, and
    Image and Video Inpainting", CVPR 2001)."""
    import cv2

    return np.asarray(cv2.inpaint(image, mask.astype(np.uint8), RADIUS, cv2.INPAINT_NS))


def push_pull(image: Uint8, mask: Mask) -> Uint8:
    """The smooth fill that inpainters start from: what they are worth shows against it."""
    from afterimage.observations.holes.smooth import smooth_fill

    return _by_tensors(smooth_fill, image, mask)


def exemplar(image: Uint8, mask: Mask) -> Uint8:
    """Patches of the known part (Wexler, Shechtman and Irani, "Space-Time Completion of Video", PAMI 2007): what looks
    best without learning, at a price in squared error."""
    from afterimage.observations.holes.exemplar import exemplar_fill

    return _by_tensors(exemplar_fill, image, mask)


def biharmonic(image: Uint8, mask: Mask) -> Uint8:
    """The smoothest surface through the border: the biharmonic equation's solution (Damelin and Hoang, "On Surface
    Completion and Image Inpainting by Biharmonic Functions", 2018)."""
    from skimage.restoration import inpaint_biharmonic

    smooth = inpaint_biharmonic(image / 255.0, mask, channel_axis=-1)
    return np.rint(np.clip(smooth, 0, 1) * 255).astype(np.uint8)


METHODS: dict[str, Method] = {
    method.__name__: method
    for method in (black, image_mean, border_mean, push_pull, telea, navier_stokes, biharmonic, exemplar)
}
"""The baselines that every inpainting row is set against, the simplest first."""


def fill(method: str, image: Uint8, mask: Mask) -> Uint8:
    """What a method makes of an 8-bit image `[H, W, 3]` of which `mask` `[H, W]` is missing, same shape and type."""
    known = np.where(mask[..., None], np.uint8(0), image)
    return np.where(mask[..., None], METHODS[method](known, mask), image).astype(np.uint8)


def _filled(image: Uint8, mask: Mask, colour: npt.NDArray[np.float64]) -> Uint8:
    return np.where(mask[..., None], np.rint(colour).astype(np.uint8), image)


def _by_tensors(method: "Callable[[Tensor, Tensor], Tensor]", image: Uint8, mask: Mask) -> Uint8:
    import torch

    from afterimage.core.images import to_tensor, to_uint8

    return to_uint8(method(to_tensor(image)[None], torch.from_numpy(mask)[None, None].float()))[0]
