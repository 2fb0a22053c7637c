"""Every metric against other implementations, the papers' formulas and published examples; docs/metrics.md has them."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from campaigns.tiny import ROOT
from safetensors.torch import load_file
from scipy import ndimage
from skimage.color import rgb2ycbcr
from skimage.data import astronaut, chelsea, coffee
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity
from sklearn.isotonic import IsotonicRegression
from torchmetrics.functional import image as theirs
from torchmetrics.functional import mean_squared_error as their_mse

from afterimage.evaluation import metrics
from afterimage.evaluation.metrics import Lpips, mse, psnr, ssim
from afterimage.evaluation.regions import band, measure

Pair = tuple[np.ndarray, np.ndarray]
SSIM = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1}

TOLERANCES = {
    ("mse", "scikit-image"): 1e-15,
    ("mse", "torchmetrics"): 1e-15,
    ("psnr", "scikit-image"): 1e-9,
    ("psnr", "torchmetrics"): 1e-5,
    ("ssim", "scikit-image"): 1e-12,
    ("ssim", "torchmetrics"): 1e-9,
    ("ssim", "the paper's formula"): 1e-9,
    ("lpips_untrained", "lpips"): 1e-6,
    ("lpips_untrained map", "lpips"): 1e-6,
    ("hole_rmse", "scikit-image"): 1e-12,
    ("hole_psnr", "scikit-image"): 1e-9,
    ("hole_ssim", "scikit-image"): 1e-9,
    ("band_rmse", "distances of SciPy"): 1e-12,
    ("hole_sharpness", "OpenCV"): 1e-9,
    ("psnr_y", "scikit-image"): 1e-9,
    ("ssim_y", "scikit-image"): 1e-9,
    ("psnr_tone", "scikit-learn"): 1e-9,
}
"""The largest difference that is allowed from each reference, in the metric's own unit."""


def cases() -> dict[str, Pair]:
    """8-bit images `[H, W, 3]` and what stands for their reconstruction, by what is special about them."""
    random = np.random.default_rng(7)
    found: dict[str, Pair] = {}
    for name, photograph in (("astronaut", astronaut()), ("coffee", coffee()), ("chelsea", chelsea())):
        image = photograph[60:108, 90:138]
        for strength in (1, 8, 60):
            noisy = image + random.normal(size=image.shape) * strength
            found[f"{name}, noise {strength}"] = image, np.clip(noisy, 0, 255).round().astype(np.uint8)
        found[f"{name}, 1 px to the right"] = image, photograph[60:108, 89:137]
        found[f"{name}, odd sizes"] = photograph[60:97, 90:143], photograph[61:98, 91:144]
    image = found["astronaut, noise 8"][0]
    grey = np.repeat(image[..., :1], 3, axis=2)
    found["grey"] = grey, np.repeat(found["astronaut, noise 8"][1][..., :1], 3, axis=2)
    found["identical"] = image, image
    found["one level of one sample"] = image, image.copy()
    found["one level of one sample"][1][5, 6, 1] ^= 1
    found["black and white"] = np.zeros_like(image), np.full_like(image, 255)
    found["constant"] = np.full_like(image, 100), np.full_like(image, 110)
    found["noise"] = (
        random.integers(0, 256, (2, 40, 44, 3), dtype=np.uint8)[0],
        found["astronaut, noise 8"][0][:40, :44],
    )
    found["extremes"] = tuple(random.integers(0, 2, (2, 40, 40, 3), dtype=np.uint8) * 255)  # type: ignore[assignment]
    found["SSIM's window alone"] = image[:11, :11], found["astronaut, noise 8"][1][:11, :11]
    return found


CASES = cases()
Measure = Callable[[np.ndarray, np.ndarray, Lpips, Path], tuple[object, object]]


def unit(image: np.ndarray) -> torch.Tensor:
    """`[1, 3, H, W]` in [0, 1] and double precision, as torchmetrics takes it."""
    return torch.from_numpy(image / 255).movedim(-1, 0)[None].contiguous()


def decibels(value: float) -> float:
    return min(value, metrics.PSNR_CAP)  # identical images: infinity there


def their_psnr(a: np.ndarray, b: np.ndarray) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a division by zero, of identical images
        return decibels(peak_signal_noise_ratio(a, b, data_range=1))


def their_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """torchmetrics' map without its border: its mean counts windows that reach over the border, into a mirror image."""
    options = {"sigma": 1.5, "data_range": 1.0, "return_full_image": True}
    _, values = theirs.structural_similarity_index_measure(unit(a), unit(b), **options)
    return float(values[0, :, 5:-5, 5:-5].mean())


def formula(a: np.ndarray, b: np.ndarray) -> float:
    """SSIM as Wang et al. write it down, over every window of 11 x 11 px that lies inside."""
    window = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(window, window) / window.sum() ** 2

    def mean(image: np.ndarray) -> np.ndarray:
        return np.einsum("hwcij,ij->hwc", np.lib.stride_tricks.sliding_window_view(image, (11, 11), (0, 1)), window)

    c1, c2 = 0.01**2, 0.03**2
    covariance = mean(a * b) - mean(a) * mean(b)
    variances = mean(a * a) - mean(a) ** 2 + mean(b * b) - mean(b) ** 2
    means = mean(a) ** 2 + mean(b) ** 2
    return float(((2 * mean(a) * mean(b) + c1) * (2 * covariance + c2) / ((means + c1) * (variances + c2))).mean())


def official(a: np.ndarray, b: np.ndarray, trunk: Path, spatial: bool) -> np.ndarray:
    """The lpips package with the trunk of the default run under its heads."""
    import lpips as package

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = package.LPIPS(net="alex", pnet_rand=True, verbose=False, spatial=spatial)
    weights = load_file(trunk)
    for part, number in enumerate((0, 3, 6, 8, 10), start=1):
        layer = getattr(reference.net, f"slice{part}")[-2 if part > 1 else 0]
        layer.weight.data, layer.bias.data = (weights[f"features.{number}.{kind}"] for kind in ("weight", "bias"))
    with torch.no_grad():  # im2tensor is the package's own way from 8-bit samples to [-1, 1]
        return reference(package.im2tensor(a), package.im2tensor(b)).numpy()[0, 0].squeeze()


def hole(image: np.ndarray) -> np.ndarray:
    """Two boxes, one at a corner of the image."""
    mask = np.zeros(image.shape[:2], dtype=bool)
    mask[:9, :10] = mask[15:31, 12:30] = True
    return mask


def region(name: str, a: np.ndarray, b: np.ndarray, lpips: Lpips) -> float:
    return float(measure(a[None], b[None], hole(a)[None], lpips)[name][0])


def near_known(mask: np.ndarray) -> np.ndarray:
    width = max(1, round(min(mask.shape) / 32))
    return mask & (ndimage.distance_transform_cdt(mask, metric="chessboard") <= width)


def detail(image: np.ndarray, mask: np.ndarray) -> float:
    """The deviation of the Laplacian of the luma within a mask, less the pixels at its edge."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    inner = cv2.erode(mask.astype(np.uint8), cross, borderType=cv2.BORDER_CONSTANT, borderValue=1) > 0
    return float(cv2.Laplacian(rgb2ycbcr(image)[..., 0] / 255, cv2.CV_64F, borderType=cv2.BORDER_REFLECT)[inner].std())


def luma(image: np.ndarray, shaved: int = 4) -> np.ndarray:
    return rgb2ycbcr(image)[shaved:-shaved, shaved:-shaved, 0] / 255


def tone(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    curve = IsotonicRegression().fit(b.ravel(), a.ravel() / 255)
    return curve.predict(b.ravel()).reshape(b.shape)


REFERENCES: dict[tuple[str, str], Measure] = {
    ("mse", "scikit-image"): lambda a, b, *_: (mse(a[None], b[None])[0], mean_squared_error(a / 255, b / 255)),
    ("mse", "torchmetrics"): lambda a, b, *_: (mse(a[None], b[None])[0], float(their_mse(unit(a), unit(b)))),
    ("psnr", "scikit-image"): lambda a, b, *_: (psnr(a[None], b[None])[0], their_psnr(a / 255, b / 255)),
    ("psnr", "torchmetrics"): lambda a, b, *_: (
        psnr(a[None], b[None])[0],
        decibels(float(theirs.peak_signal_noise_ratio(unit(a), unit(b), data_range=1.0))),
    ),
    ("ssim", "scikit-image"): lambda a, b, *_: (
        ssim(a[None], b[None])[0],
        structural_similarity(a, b, win_size=11, channel_axis=2, **{**SSIM, "data_range": 255}),
    ),
    ("ssim", "torchmetrics"): lambda a, b, *_: (
        ssim(a[None], b[None])[0],
        their_ssim(a, b),
    ),
    ("ssim", "the paper's formula"): lambda a, b, *_: (ssim(a[None], b[None])[0], formula(a / 255, b / 255)),
    ("lpips_untrained", "lpips"): lambda a, b, lpips, trunk: (lpips(a[None], b[None])[0], official(a, b, trunk, False)),
    ("lpips_untrained map", "lpips"): lambda a, b, lpips, trunk: (
        lpips.map(a[None], b[None])[0],
        official(a, b, trunk, True),
    ),
    ("hole_rmse", "scikit-image"): lambda a, b, lpips, _: (
        region("hole_rmse", a, b, lpips),
        mean_squared_error(a[hole(a)] / 255, b[hole(a)] / 255) ** 0.5,
    ),
    ("hole_psnr", "scikit-image"): lambda a, b, lpips, _: (
        region("hole_psnr", a, b, lpips),
        their_psnr(a[hole(a)] / 255, b[hole(a)] / 255),
    ),
    ("hole_ssim", "scikit-image"): lambda a, b, lpips, _: (
        region("hole_ssim", a, b, lpips),
        structural_similarity(a / 255, b / 255, channel_axis=2, full=True, **SSIM)[1][hole(a)].mean(),
    ),
    ("band_rmse", "distances of SciPy"): lambda a, b, lpips, _: (
        region("band_rmse", a, b, lpips),
        mean_squared_error(a[near_known(hole(a))] / 255, b[near_known(hole(a))] / 255) ** 0.5,
    ),
    ("hole_sharpness", "OpenCV"): lambda a, b, lpips, _: (
        region("hole_sharpness", a, b, lpips),
        detail(b, hole(a)) / max(detail(a, hole(a)), 1 / 255),
    ),
    ("psnr_y", "scikit-image"): lambda a, b, *_: (metrics.psnr_y(a[None], b[None], 4)[0], their_psnr(luma(a), luma(b))),
    ("ssim_y", "scikit-image"): lambda a, b, *_: (
        metrics.ssim_y(a[None], b[None], 4)[0],
        structural_similarity(luma(a), luma(b), **SSIM),
    ),
    ("psnr_tone", "scikit-learn"): lambda a, b, *_: (
        psnr(a[None], metrics.toned(a[None], b[None]))[0],
        their_psnr(a / 255, tone(a, b)),
    ),
}
LEAST = {"lpips_untrained": metrics.LPIPS_SMALLEST, "ssim_y": 19, "hole": 31, "band": 31}
"""The smallest side of a case that a metric, or the hole here, fits into."""


def largest(key: tuple[str, str], lpips: Lpips, trunk: Path) -> float:
    """The largest difference from a reference, over all cases that are not too small."""
    least = max((side for name, side in LEAST.items() if key[0].startswith(name)), default=11)
    pairs = [pair for pair in CASES.values() if min(pair[0].shape[:2]) >= least]
    assert len(pairs) >= 22
    both = [REFERENCES[key](*pair, lpips, trunk) for pair in pairs]
    assert all(np.shape(mine) == np.shape(other) for mine, other in both)
    assert max(float(np.max(other)) for _, other in both) > 1e-4, "a reference that is always 0 agrees with anything"
    return max(float(np.abs(np.asarray(mine) - np.asarray(other)).max()) for mine, other in both)


@pytest.mark.parametrize("key", REFERENCES, ids=" by ".join)
def test_a_metric_is_what_others_measure(key: tuple[str, str], lpips: Lpips, trunk: Path) -> None:
    found = largest(key, lpips, trunk)
    print(f"{key}: {found:.1e}")
    assert found <= TOLERANCES[key]


def test_the_page_says_the_tolerances() -> None:
    text = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| `([^|]+)` \| .+ \| ([^|]+) \| (\S+) \| (\S+) \|$", text, re.MULTILINE)
    assert {(name, reference): float(tolerance) for name, reference, tolerance, _ in lines} == TOLERANCES
    assert all(float(measured) <= float(tolerance) for *_, tolerance, measured in lines)


# Published, and worked by hand


def test_psnr_is_that_of_the_example_of_torchmetrics() -> None:
    """preds [[0, 1], [2, 3]] and target [[3, 2], [1, 0]] of data range 3: its documentation prints 2.5527."""
    a, b = (np.repeat(np.array(image)[None, ..., None] / 3, 3, 3) for image in ([[3, 2], [1, 0]], [[0, 1], [2, 3]]))
    assert psnr(a, b)[0] == pytest.approx(2.5527, abs=5e-5)


@pytest.mark.parametrize("levels", [1, 51, 255])
def test_of_constant_images_all_is_known(levels: int) -> None:
    black = np.zeros((2, 16, 16, 3), np.uint8)
    other, error = black + np.uint8(levels), levels / 255
    assert mse(black, other) == pytest.approx([error**2] * 2, rel=1e-12)
    assert psnr(black, other) == pytest.approx([-20 * np.log10(error)] * 2, abs=1e-9)
    assert ssim(black, other) == pytest.approx([0.01**2 / (error**2 + 0.01**2)] * 2, rel=1e-9)


def test_the_band_is_that_of_distances() -> None:
    mask = hole(CASES["grey"][0])
    assert 0 < near_known(mask).sum() < mask.sum()
    np.testing.assert_array_equal(band(mask[None])[0], near_known(mask))
