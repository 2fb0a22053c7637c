"""Baselines of frames: what a bad frame is worth as it is, after the usual filters, and after methods that are fitted.

A frame that the camera left small is brought to the image's size: `identity` repeats its pixels, and all others start
from the bicubic enlargement where `METHODS` does not say another.

No baseline is trained, but some have a setting or a curve that is fitted on the training pairs of a level: what is
known of the level in general, and not of the frame.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from afterimage.core import shards
from afterimage.core.images import Uint8, decode
from afterimage.evaluation.metrics import curve, psnr, tones
from afterimage.observations.frames.cctv import disc, quantised, resized
from afterimage.observations.frames.filters import FILTERS, fitted
from afterimage.observations.frames.store import Level

CURVE_PAIRS, SETTING_PAIRS = 200, 8
"""At most so many training pairs are behind a level's curve, and behind the choice of a setting."""
PROJECTIONS = 10
BACK_PROJECTION = "back_projection"
KERNEL = "bicubic_antialiased"
"""How back-projection takes the frame to have been reduced."""


Step = Callable[[Uint8], Uint8]


class Method(NamedTuple):
    """How a small frame is enlarged, and the steps before and after; a step is a filter, or `tone`, or of SETTINGS."""

    enlarging: str
    after: Sequence[str] = ()
    before: Sequence[str] = ()


METHODS: dict[str, Method] = {
    "identity": Method("nearest"),
    "bicubic": Method("bicubic"),
    "lanczos": Method("lanczos"),
    "back_projection": Method(BACK_PROJECTION),
    "gamma": Method("bicubic", ["gamma"]),
    "nlm": Method("bicubic", ["nlm"]),
    "gamma_nlm": Method("bicubic", ["gamma", "nlm"]),
    "unsharp": Method("bicubic", ["unsharp"]),
    "shift": Method("bicubic", ["shift"]),
    "blur": Method("bicubic", ["blur"]),
    "exposure_nlm": Method("bicubic", ["exposure", "nlm"]),
    "tone": Method("bicubic", ["tone"]),
    "tone_nlm": Method("bicubic", ["tone", "nlm"]),
    "tone_nlm_fitted": Method("bicubic", before=["tone", "nlm_fitted"]),
    "wiener": Method("bicubic", ["wiener"]),
    "richardson_lucy": Method("bicubic", ["richardson_lucy"]),
}


def restore(method: str, frame: Uint8, size: tuple[int, int], training: "Training | None" = None) -> Uint8:
    """What a baseline makes of a frame: 8-bit `[H, W, 3]` of `size` (H, W).

    Args:
        training: the pairs of the level, for those methods that fit something.
    """
    return restorer(method, training)(frame, size)


def restorer(method: str, training: "Training | None" = None) -> Callable[[Uint8, tuple[int, int]], Uint8]:
    """A baseline with all that it fits: from a frame and a size (H, W) to what `restore` makes of them."""
    enlarging, after, before = METHODS[method]
    steps = {name: _step(name, method, training) for name in (*before, *after)}
    return partial(_through, [steps[name] for name in before], enlarging, [steps[name] for name in after])


def _through(
    before: Sequence[Step], enlarging: str, after: Sequence[Step], frame: Uint8, size: tuple[int, int]
) -> Uint8:
    for step in before:
        frame = step(frame)
    image = back_projected(frame, size) if enlarging == BACK_PROJECTION else fitted(frame, size, enlarging)
    for step in after:
        image = step(image)
    return image


class Training:
    """The training pairs of a level, and what baselines fit on them; nothing is read before it is needed."""

    def __init__(self, level: Level, originals: Path):
        self.level, self.originals = level, originals
        self._settings: dict[str, Any] = {}

    @cached_property
    def curve(self) -> Uint8:
        """The level's global tone curve `[256]`: `metrics.curve` of the pairs together, enlarged bicubically."""
        counts, sums = np.zeros(256), np.zeros(256)
        for frame, image in self.pairs(CURVE_PAIRS):
            more = tones(image / 255, fitted(frame, image.shape[:2]))
            counts, sums = counts + more[0], sums + more[1]
        return np.rint(curve(counts, sums) * 255).astype(np.uint8)

    def setting(self, method: str, step: str) -> Sequence[float]:
        """The setting of a method's step with the best mean PSNR; of equals the first."""
        if method not in self._settings:
            pairs = list(self.pairs(SETTING_PAIRS))
            means = {}
            for setting in SETTINGS[step]:
                self._settings[method] = setting
                found = (restore(method, frame, image.shape[:2], self) for frame, image in pairs)
                scores = [psnr(image[None], each[None])[0] for each, (_, image) in zip(found, pairs, strict=True)]
                means[setting] = np.mean(scores)
            self._settings[method] = max(means, key=lambda setting: means[setting])
        return self._settings[method]

    def pairs(self, most: int) -> Iterator[tuple[Uint8, Uint8]]:
        """Frame, as training sees it in epoch 0, and image of so many training images, evenly spaced by key."""
        table = shards.Table(self.originals, "train")
        inputs = self.level.inputs(self.originals, "train")
        order = sorted(range(len(table)), key=table.keys.__getitem__)
        count = min(most, len(order))
        for number in range(count):
            place = order[(2 * number + 1) * len(order) // (2 * count)]
            image = np.asarray(decode(table.bytes(place)))
            yield inputs.image(place) if inputs else self.level.fresh(image, table.keys[place], 0), image


def back_projected(frame: Uint8, size: tuple[int, int]) -> Uint8:
    """Iterative back-projection (Irani and Peleg, "Improving Resolution by Image Registration", CVGIP 1991): the
    enlargement is corrected until it would give the frame again, were it reduced by KERNEL."""
    small = frame.shape[:2]
    if small[0] >= size[0]:
        return fitted(frame, size)
    target = frame.astype(np.float32) / 255
    image = resized(target, size, KERNEL)
    for _ in range(PROJECTIONS):
        missing = target - resized(image, small, KERNEL)
        image = np.clip(image + resized(missing, size, KERNEL), 0, 1)
    return quantised(image)


def wiener(image: Uint8, radius: float, balance: float) -> Uint8:
    """Wiener's filter with a Laplacian prior (Orieux, Giovannelli and Rodet, JOSA A 2010; scikit-image), for a disc."""
    from skimage.restoration import wiener as deconvolve

    return _deconvolved(image, radius, lambda channel, kernel: deconvolve(channel, kernel, balance, clip=False))


def richardson_lucy(image: Uint8, radius: float, iterations: int) -> Uint8:
    """Richardson and Lucy's deconvolution (1972 and 1974; scikit-image), for a disc."""
    from skimage.restoration import richardson_lucy as deconvolve

    return _deconvolved(image, radius, lambda channel, kernel: deconvolve(channel, kernel, iterations))


def nlm_fitted(image: Uint8, strength: float) -> Uint8:
    """Non-local means (OpenCV) of a strength in levels, twice as strong in colour, where cheap cameras leave most."""
    import cv2

    bgr = np.ascontiguousarray(image[..., ::-1])
    found = cv2.fastNlMeansDenoisingColored(bgr, None, strength, 2 * strength, 7, 21)
    return np.ascontiguousarray(found[..., ::-1])


def shift(image: Uint8, down: int, right: int) -> Uint8:
    """The image moved by whole pixels; what comes in at a border is the border's own colour."""
    height, width = image.shape[:2]
    rows, columns = np.arange(height) - down, np.arange(width) - right
    return image[rows.clip(0, height - 1)][:, columns.clip(0, width - 1)]


def blur(image: Uint8, sigma: float) -> Uint8:
    """The image after a Gaussian of a standard deviation in px; 0: as it is."""
    import cv2

    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), dtype=np.uint8) if sigma else image


FAR = range(-2, 3)
"""In px, how far an image is moved in search of its original."""
RADII = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0)
"""In px, of the disc that deconvolution takes for the kernel, whose true form is unknown; the least is no blur."""
SETTINGS: dict[str, Sequence[Sequence[float]]] = {
    "shift": sorted(product(FAR, FAR), key=lambda each: abs(each[0]) + abs(each[1])),
    "blur": [(0,), (0.5,), (0.7,), (1,), (1.5,), (2,), (3,)],
    "nlm_fitted": [(1,), (2,), (3,), (5,), (8,), (12,)],
    "wiener": list(product(RADII, (1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0))),
    "richardson_lucy": list(product(RADII, (5, 15))),
}
FITTED: dict[str, Callable[..., Uint8]] = {
    "shift": shift,
    "blur": blur,
    "nlm_fitted": nlm_fitted,
    "wiener": wiener,
    "richardson_lucy": richardson_lucy,
}


def _step(name: str, method: str, training: "Training | None") -> Step:
    if name in FILTERS:
        return FILTERS[name]
    if training is None:
        raise ValueError(f"the baseline {method} is fitted on the training pairs of a level")
    if name == "tone":
        return training.curve.__getitem__
    setting = training.setting(method, name)
    return lambda image: FITTED[name](image, *setting)


def _deconvolved(image: Uint8, radius: float, deconvolve: Callable[[Any, Any], Any]) -> Uint8:
    """Each channel by itself, mirrored past the border, where a filter in the frequency domain would go round."""
    weights, margin = disc(radius), 8 + 2 * round(radius)
    padded: npt.NDArray[Any] = np.pad(image / 255, ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
    kernel = weights / weights.sum()
    found = np.stack([deconvolve(channel, kernel) for channel in np.moveaxis(padded, -1, 0)], axis=-1)
    return quantised(found[margin:-margin, margin:-margin])
