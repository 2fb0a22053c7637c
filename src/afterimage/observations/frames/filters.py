"""The usual filters for bad frames: preprocessing of the rows that ask for it, and the baselines of restoration."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from afterimage.core.images import Uint8
from afterimage.observations.frames.cctv import resized

GAMMA = 0.8
NLM = {"h": 10, "hColor": 10, "templateWindowSize": 7, "searchWindowSize": 21}
"""OpenCV's defaults, which expect noise of a standard deviation of about 10 of 255 levels."""
UNSHARP_RADIUS, UNSHARP_AMOUNT = 1.0, 1.0
EXPOSED = 0.45
"""The mean to which `exposure` brings an image: about that of well-lit photographs, on sRGB values."""
LEAST_EXPONENT = 0.4
"""More brightening than this would show noise where an image is dark by nature."""

Filter = Callable[[Uint8], Uint8]
FilterName = Literal["gamma", "nlm", "exposure", "unsharp"]


def gamma(image: Uint8) -> Uint8:
    """Brighten by `image ** 0.8` (scikit-image), the seed's first step."""
    from skimage.exposure import adjust_gamma

    return adjust_gamma(image, GAMMA)


def nlm(image: Uint8) -> Uint8:
    """Non-local means for colour images (Buades, Coll and Morel 2005; OpenCV), the seed's second step."""
    import cv2

    bgr = np.ascontiguousarray(image[..., ::-1])
    return np.ascontiguousarray(cv2.fastNlMeansDenoisingColored(bgr, None, **NLM)[..., ::-1])


def exposure(image: Uint8) -> Uint8:
    """Bring the mean to that of a well-lit photograph by one exponent: brightness that any player could set."""
    mean = min(max(float(image.mean()) / 255, 1 / 255), 254 / 255)
    exponent = max(np.log(EXPOSED) / np.log(mean), LEAST_EXPONENT)
    table = np.rint(255 * (np.arange(256) / 255) ** exponent).astype(np.uint8)
    return table[image]


def unsharp(image: Uint8) -> Uint8:
    """Unsharp masking: the image plus what a Gaussian of 1 px takes from it."""
    import cv2

    floats = image.astype(np.float32)
    sharp = floats + UNSHARP_AMOUNT * (floats - cv2.GaussianBlur(floats, (0, 0), UNSHARP_RADIUS))
    return np.rint(np.clip(sharp, 0, 255)).astype(np.uint8)


FILTERS: dict[FilterName, Filter] = {"gamma": gamma, "nlm": nlm, "exposure": exposure, "unsharp": unsharp}


def filtered(image: Uint8, filters: Sequence[FilterName]) -> Uint8:
    """An image `[H, W, 3]` after filters, in their order."""
    for name in filters:
        image = FILTERS[name](image)
    return image


def fitted(frame: Uint8, size: tuple[int, int], enlarging: str = "bicubic") -> Uint8:
    """A frame at `size` (H, W): enlarged as told, reduced by area, untouched where it fits."""
    if frame.shape[:2] == tuple(size):
        return frame
    return resized(frame, size, enlarging if frame.shape[0] < size[0] else "area")
