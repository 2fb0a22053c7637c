"""Baselines of frames: what a bad frame is worth as it is, and after the usual filters.

A frame that the camera left small is first brought to the image's size: `identity` repeats its pixels, and all others
start from the bicubic enlargement.
"""

from afterimage.core.images import Uint8
from afterimage.observations.frames.filters import FilterName, filtered, fitted

METHODS: dict[str, tuple[str, tuple[FilterName, ...]]] = {
    "identity": ("nearest", ()),
    "bicubic": ("bicubic", ()),
    "gamma": ("bicubic", ("gamma",)),
    "nlm": ("bicubic", ("nlm",)),
    "gamma_nlm": ("bicubic", ("gamma", "nlm")),
    "unsharp": ("bicubic", ("unsharp",)),
    "exposure_nlm": ("bicubic", ("exposure", "nlm")),
}
"""How each baseline enlarges a small frame, and the filters that follow."""


def restore(method: str, frame: Uint8, size: tuple[int, int]) -> Uint8:
    """What a baseline makes of a frame: 8-bit `[H, W, 3]` of `size` (H, W)."""
    enlarging, filters = METHODS[method]
    return filtered(fitted(frame, size, enlarging), filters)
