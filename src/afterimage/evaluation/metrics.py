"""One definition of each number.

Images here are arrays `[N, H, W, 3]`, RGB, either 8-bit or float in [0, 1]; every metric gives one float64 an
image. Numbers that are published are measured on the 8-bit images that a user gets.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from afterimage.core.errors import MetricError
from afterimage.core.params import Row

Images = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

PSNR_CAP = 100.0
"""The PSNR in dB of identical images, and the most that any pair gets: no mean holds an infinity, nor does JSON."""

SSIM_WINDOW = 11
SSIM: dict[str, Any] = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1}
LUMA = (65.481, 128.553, 24.966)
LPIPS_SMALLEST = 31
"""The smallest side in px of which AlexNet's poolings leave anything for the last layer that LPIPS reads."""

IMAGENET = re.compile(r"torchvision IMAGENET1K_V1\)|\(7be5be79")
"""The origin of the weights that LPIPS was made with: torchvision's by name, or the file by its hash."""


class MetricsRow(Row):
    """The section `metrics`: how everything is measured."""

    seed: int = Field(ge=0)
    """Of the bootstrap."""
    bootstrap: int = Field(ge=1)
    """Resamples behind each interval."""


def mse(originals: Images, reconstructions: Images) -> Floats:
    """Mean squared error over pixels and channels, samples in [0, 1].

    Raises:
        MetricError: the arrays are not two batches of RGB images of one shape with samples in range.
    """
    return np.asarray(squared_error(originals, reconstructions).mean(axis=(1, 2, 3)))


def squared_error(originals: Images, reconstructions: Images) -> Floats:
    """The squared error `[N, H, W, 3]` of each sample.

    Raises:
        MetricError: as for `mse`.
    """
    a, b = _pair(originals, reconstructions)
    return np.asarray(np.square(a - b))


def psnr(originals: Images, reconstructions: Images) -> Floats:
    """Peak signal-to-noise ratio in dB over RGB, data range 1, at most `PSNR_CAP`.

    It is taken an image at a time: a mean over images is the mean of decibels, not the PSNR of a mean error.

    Raises:
        MetricError: as for `mse`.
    """
    return _decibels(mse(originals, reconstructions))


def ssim(originals: Images, reconstructions: Images) -> Floats:
    """Structural similarity (Wang et al., "Image quality assessment", IEEE TIP 2004), mean over RGB channels.

    Gaussian window of 11 px with sigma 1.5, population covariance, data range 1; windows that reach over the
    border do not count. This is scikit-image's implementation with the options of the paper.

    Raises:
        MetricError: as for `mse`, or a side is shorter than the window.
    """
    return np.asarray([float(mean) for mean, _ in _ssim(originals, reconstructions)])


def toned(originals: Images, reconstructions: Images) -> Floats:
    """The reconstructions after the best global curve for each: float `[N, H, W, 3]`, not rounded.

    The curve is one non-decreasing function of the 8-bit sample for all three channels, that with the least squared
    error to the original: isotonic regression (Barlow et al., "Statistical Inference under Order Restrictions", 1972)
    of the original's mean at each value. PSNR and SSIM after it say how much came back besides brightness and contrast.

    Raises:
        MetricError: as for `mse`, or the reconstructions are not 8-bit.
    """
    truth = _pair(originals, reconstructions)[0]
    if reconstructions.dtype != np.uint8:
        raise MetricError(f"samples of type {reconstructions.dtype}; a tone curve needs 8-bit ones")
    curves = (curve(*tones(each, found)) for each, found in zip(truth, reconstructions, strict=True))
    return np.stack([table[found] for table, found in zip(curves, reconstructions, strict=True)])


def tones(original: Images, image: Images) -> tuple[Floats, Floats]:
    """How many samples of an 8-bit image have each value, and the sum of the original's samples there: `[256]` each."""
    values = image.ravel()
    counts = np.bincount(values, minlength=256).astype(np.float64)
    return counts, np.asarray(np.bincount(values, original.ravel(), minlength=256), dtype=np.float64)


def curve(counts: Floats, sums: Floats) -> Floats:
    """The non-decreasing function of an 8-bit value with the least squared error to samples with these `tones`.

    Values that do not occur lie on the line between their neighbours that do.
    """
    from scipy.optimize import isotonic_regression

    there = np.flatnonzero(counts)
    best = isotonic_regression(sums[there] / counts[there], weights=counts[there]).x
    return np.asarray(np.interp(np.arange(256), there, best))


def luma(images: Images) -> Floats:
    """Y of ITU-R BT.601 `[N, H, W]`, 16 to 235 over 255, as MATLAB's `rgb2ycbcr` has it; not rounded."""
    return np.asarray((16 + _unit(images) @ np.array(LUMA)) / 255)


def psnr_y(originals: Images, reconstructions: Images, shaved: int) -> Floats:
    """PSNR of the luma in dB without `shaved` px at each border: the protocol of super-resolution (Timofte et al.,
    "A+: Adjusted Anchored Neighborhood Regression", ACCV 2014), at most `PSNR_CAP`.

    Raises:
        MetricError: as for `mse`, or nothing is left within the border.
    """
    a, b = _lumas(originals, reconstructions, shaved, 1)
    return _decibels(np.square(a - b).mean(axis=(1, 2)))


def ssim_y(originals: Images, reconstructions: Images, shaved: int) -> Floats:
    """SSIM of the luma without `shaved` px at each border, with the window of `ssim`.

    Raises:
        MetricError: as for `mse`, or what is left within the border is smaller than the window.
    """
    from skimage.metrics import structural_similarity

    pairs = zip(*_lumas(originals, reconstructions, shaved, SSIM_WINDOW), strict=True)
    return np.asarray([structural_similarity(x, y, **SSIM) for x, y in pairs])


def _lumas(originals: Images, reconstructions: Images, shaved: int, least: int) -> tuple[Floats, Floats]:
    pair = _pair(originals, reconstructions)
    _at_least(originals, least + 2 * shaved, f"luma without {shaved} px at each border")
    inside = slice(shaved, -shaved or None)
    return luma(pair[0])[:, inside, inside], luma(pair[1])[:, inside, inside]


def ssim_map(originals: Images, reconstructions: Images) -> Floats:
    """SSIM `[N, H, W]` of the window around each pixel, mean over channels; past the border the image is mirrored.

    Raises:
        MetricError: as for `ssim`.
    """
    return np.stack([values.mean(axis=-1) for _, values in _ssim(originals, reconstructions)])


def _ssim(originals: Images, reconstructions: Images) -> list[tuple[float, Floats]]:
    """The mean and the map `[H, W, 3]` of each pair."""
    from skimage.metrics import structural_similarity

    a, b = _pair(originals, reconstructions)
    _at_least(a, SSIM_WINDOW, "SSIM's window")
    return [structural_similarity(x, y, full=True, channel_axis=-1, **SSIM) for x, y in zip(a, b, strict=True)]


class Lpips:
    """LPIPS 0.1 on AlexNet (Zhang et al., "The Unreasonable Effectiveness of Deep Features", CVPR 2018).

    The linear heads come with the lpips package; the trunk is a file of weights that the pipeline keeps. `name` is what
    the numbers may be called: `lpips` on ImageNet weights, which the heads were fitted to, and `lpips_untrained` on all
    others. What the file says of its origin decides.

    Raises:
        WeightsError: the file is missing, is none of the pipeline's, or does not fit AlexNet.
    """

    def __init__(self, weights: Path) -> None:
        import torch

        from afterimage.core import outputs
        from afterimage.core.weights import fit, load
        from afterimage.evaluation.alexnet import AlexNetDistance, heads

        about, state = load(weights)
        self.weights = outputs.sha256(weights)
        self.name = "lpips" if IMAGENET.search(str(about.get("origin"))) else "lpips_untrained"
        with torch.random.fork_rng(devices=[]):
            self._model = AlexNetDistance().eval()
        fit(self._model.trunk, state, str(weights))
        self._model.heads.load_state_dict(heads())

    def __call__(self, originals: Images, reconstructions: Images) -> Floats:
        """Distance of each pair: 0 for identical images, larger the more they differ.

        Raises:
            MetricError: as for `mse`, or a side is shorter than `LPIPS_SMALLEST`.
        """
        return self._distances(originals, reconstructions, spatial=False).flatten()

    def map(self, originals: Images, reconstructions: Images) -> Floats:
        """Distance `[N, H, W]` around each pixel: the layers' differences enlarged to the image and added.

        Raises:
            MetricError: as for calling it.
        """
        return self._distances(originals, reconstructions, spatial=True)[:, 0]

    def embed(self, images: Images) -> Floats:
        """Features `[N, 256]` of images `[N, H, W, 3]`: the means of the last layer that is looked at.

        Raises:
            MetricError: as for calling it.
        """
        import torch

        a = torch.from_numpy(_pair(images, images)[0]).movedim(-1, 1).float().mul(2).sub(1).contiguous()
        _at_least(images, LPIPS_SMALLEST, "AlexNet")
        with torch.inference_mode():
            return np.asarray(self._model.embed(a).double().numpy())

    def _distances(self, originals: Images, reconstructions: Images, spatial: bool) -> Floats:
        import torch

        pair = _pair(originals, reconstructions)
        _at_least(pair[0], LPIPS_SMALLEST, "AlexNet")
        a, b = (torch.from_numpy(images).movedim(-1, 1).float().mul(2).sub(1).contiguous() for images in pair)
        with torch.inference_mode():
            return np.asarray(self._model(a, b, spatial).double().numpy())


class Interval(NamedTuple):
    """A mean and the interval that holds it."""

    mean: float
    low: float
    high: float


def bootstrap(values: npt.ArrayLike, groups: Sequence[str], samples: int, seed: int, level: float = 0.95) -> Interval:
    """The mean of `values` with its percentile bootstrap interval (Efron, "Bootstrap methods", 1979).

    Images of one group (a person, a scene, a photograph cut into tiles) are not independent, so whole groups
    are drawn with replacement and the images of those drawn are pooled. Where every image is a group of its own,
    this is the plain bootstrap; with a single group images are drawn, since nothing else is left to vary.

    Args:
        values: `[N]`, one an image, or `[S, N]` of S trainings. Those are drawn with replacement too, independently of
            the groups, so that the interval joins both variations (Owen, "The pigeonhole bootstrap", 2007).

    Raises:
        MetricError: there are no values, or not one group a value.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim not in (1, 2) or array.size == 0 or array.shape[-1] != len(groups):
        raise MetricError(f"values of shape {array.shape} for {len(groups)} groups; expected one group a value")
    table = np.atleast_2d(array)
    unique, group = np.unique(np.asarray(groups), return_inverse=True)
    if len(unique) == 1:
        group = np.arange(table.shape[1])
    sizes = np.bincount(group)
    sums = np.stack([np.bincount(group, weights=line) for line in table])
    generator, others = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    means = np.empty(samples)
    block = max(1, 1_000_000 // len(sizes))  # bounds the memory; draws come in one order whatever the block
    for start in range(0, samples, block):
        count = min(block, samples - start)
        drawn = generator.integers(len(sizes), size=(count, len(sizes)))
        trainings = others.integers(len(sums), size=(count, len(sums)))
        pooled = np.take_along_axis(sums[trainings].mean(axis=1), drawn, axis=1) if len(sums) > 1 else sums[0][drawn]
        means[start : start + count] = pooled.sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(table.mean(axis=0).mean()), float(low), float(high))


def _decibels(errors: Floats) -> Floats:
    least = 10 ** (-PSNR_CAP / 10)
    return np.asarray(-10 * np.log10(np.maximum(errors, least)))


def _pair(originals: Images, reconstructions: Images) -> tuple[Floats, Floats]:
    if originals.shape != reconstructions.shape:
        raise MetricError(f"images of shapes {originals.shape} and {reconstructions.shape} cannot be compared")
    if originals.ndim != 4 or originals.shape[-1] != 3 or 0 in originals.shape:
        raise MetricError(f"images of shape {originals.shape}; expected [N, H, W, 3]")
    return _unit(originals), _unit(reconstructions)


def _unit(images: Images) -> Floats:
    if images.dtype == np.uint8:
        return images.astype(np.float64) / 255
    if not np.issubdtype(images.dtype, np.floating):
        raise MetricError(f"samples of type {images.dtype}; expected 8-bit or float")
    low, high = images.min(), images.max()
    if not (low >= 0 and high <= 1):  # so written that NaN fails too
        raise MetricError(f"float samples between {low} and {high}; expected 0 to 1")
    return images.astype(np.float64)


def _at_least(images: Images, side: int, what: str) -> None:
    height, width = images.shape[1:3]
    if min(height, width) < side:
        raise MetricError(f"{width} x {height} px are too few for {what}, which needs {side} px a side")
