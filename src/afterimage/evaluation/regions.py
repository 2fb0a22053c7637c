"""How well a hole was filled: the numbers within the hole, along its border, and of the whole image.

Images are 8-bit or float `[N, H, W, 3]` as in `metrics`, and whole: known pixels are the original's. The definitions
are those of `metrics`, taken over the pixels of a region:

- `hole`: the missing pixels;
- `band`: those of them that are near a known pixel, where a seam would show;
- the whole image has no prefix. Its error is that of the hole spread over all pixels.

What errors do not tell is how a fill looks, so two numbers compare it with the original's own, which has 1 in both:

- `hole_sharpness`: the contrast of the finest detail in the hole, less than 1 where it is blurred;
- `seam`: the steps between known and missing neighbours, more than 1 where the hole's border shows.

`texture` is that contrast of the original itself: how much there was to lose.
"""

from collections.abc import Sequence

import numpy as np

from afterimage.core.errors import MetricError
from afterimage.core.images import Uint8
from afterimage.evaluation.metrics import PSNR_CAP, Floats, Images, Lpips, luma, mse, squared_error, ssim_map
from afterimage.observations.holes.masks import Mask
from afterimage.observations.holes.store import StoredHoles

FAINTEST = 1 / 255
"""Detail and steps of the original below this are noise, and count as much."""
BAND = 1 / 32
"""Width of the band, of the image's shorter side: 2 px of 64, 8 px of 256."""


class Regions:
    """Measures the stored holes of test images: `evaluate` calls it for further columns."""

    def __init__(self, holes: StoredHoles, lpips: Lpips):
        self.holes, self.lpips = holes, lpips
        self.files = sorted(holes.folder.glob("*.*"))  # the masks of validation and test, and their indexes

    def __call__(self, keys: Sequence[str], originals: Uint8, reconstructions: Uint8) -> dict[str, Floats]:
        return measure(originals, reconstructions, np.stack([self.holes[key] for key in keys]), self.lpips)


def measure(originals: Images, reconstructions: Images, masks: Mask, lpips: Lpips) -> dict[str, Floats]:
    """Columns of images.csv, a number an image by name: `missing`, the share of the image that is, `rmse`, and
    `<region>_<metric>` with mse, rmse, psnr, ssim and LPIPS for the hole and the band.

    A mean over images is the mean of the images' numbers. The RMSE over the pixels of all holes together, which a
    submission is scored by, follows from `missing` and `hole_mse`.

    Args:
        masks: bool `[N, H, W]`, True where missing.

    Raises:
        MetricError: the arrays do not belong together, or a mask is empty.
    """
    if masks.shape != originals.shape[:3]:
        raise MetricError(f"masks of shape {masks.shape} for images of shape {originals.shape}")
    if not masks.any(axis=(1, 2)).all():
        raise MetricError("a mask without a missing pixel has no hole to measure")
    errors = squared_error(originals, reconstructions).mean(axis=-1)
    maps = {"ssim": ssim_map(originals, reconstructions), lpips.name: lpips.map(originals, reconstructions)}
    columns = {"missing": masks.mean(axis=(1, 2)), "rmse": np.sqrt(mse(originals, reconstructions))}
    for region, chosen in {"hole": masks, "band": band(masks)}.items():
        error = _mean(errors, chosen)
        columns[f"{region}_mse"] = error
        columns[f"{region}_rmse"] = np.sqrt(error)
        columns[f"{region}_psnr"] = -10 * np.log10(np.maximum(error, 10 ** (-PSNR_CAP / 10)))
        for metric, values in maps.items():
            columns[f"{region}_{metric}"] = _mean(values, chosen)
    for name, look in {"hole_sharpness": _detail, "seam": _steps}.items():
        columns[name] = look(reconstructions, masks) / np.maximum(look(originals, masks), FAINTEST)
    columns["texture"] = _detail(originals, masks)
    return columns


def band(masks: Mask) -> Mask:
    """The missing pixels `[N, H, W]` that are less than the band's width away from a known one, corners included."""
    from scipy import ndimage

    width = max(1, round(BAND * min(masks.shape[1:])))
    window = np.ones((2 * width + 1,) * 2, dtype=bool)
    inner = [ndimage.binary_erosion(mask, structure=window, border_value=1) for mask in masks]
    return masks & ~np.stack(inner)


def _detail(pictures: Images, masks: Mask) -> Floats:
    """The deviation of the Laplacian of each image's luma over its missing pixels, less those that touch known ones."""
    from scipy import ndimage

    inner = [ndimage.binary_erosion(mask, border_value=1) for mask in masks]
    found = [
        ndimage.laplace(light)[core if core.any() else mask]
        for light, core, mask in zip(luma(pictures), inner, masks, strict=True)
    ]
    return np.array([values.std() for values in found])


def _steps(pictures: Images, masks: Mask) -> Floats:
    """The mean step of each image's luma between missing pixels and their known neighbours."""
    light = luma(pictures)
    total, count = np.zeros(len(masks)), np.zeros(len(masks))
    for axis in (1, 2):
        step, border = np.abs(np.diff(light, axis=axis)), np.diff(masks, axis=axis)
        total += (step * border).sum(axis=(1, 2))
        count += border.sum(axis=(1, 2))
    return total / np.maximum(count, 1)


def _mean(values: Floats, chosen: Mask) -> Floats:
    return np.asarray((values * chosen).sum(axis=(1, 2)) / chosen.sum(axis=(1, 2)))
