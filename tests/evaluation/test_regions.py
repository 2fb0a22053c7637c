"""The numbers of a hole and its band, against plain arithmetic and the reference implementations."""

import numpy as np
import pytest
from skimage.data import astronaut
from skimage.metrics import structural_similarity

from afterimage.core.errors import MetricError
from afterimage.evaluation import metrics
from afterimage.evaluation.metrics import Lpips
from afterimage.evaluation.regions import band, measure
from afterimage.observations.holes import masks
from afterimage.observations.holes.masks import Box


def pair() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two originals, the same with other pixels in their holes, and the holes."""
    random = np.random.default_rng(0)
    originals = np.stack([astronaut()[100:164, 150:214], astronaut()[30:94, 180:244]])
    boxes = [[Box(5, 6, 24, 25)], [Box(0, 0, 19, 19), Box(10, 30, 29, 49)]]
    missing = np.stack([masks.of_boxes(some, 64, 64, "a") for some in boxes])
    noise = random.integers(0, 256, originals.shape, dtype=np.uint8)
    return originals, np.where(missing[..., None], noise, originals), missing


def test_errors_are_those_of_the_region(lpips: Lpips):
    originals, found, missing = pair()
    columns = measure(originals, found, missing, lpips)
    for number in range(2):
        difference = (originals[number].astype(float) - found[number]) / 255
        for region, chosen in (("hole", missing[number]), ("band", band(missing)[number])):
            error = np.square(difference[chosen]).mean()
            assert columns[f"{region}_mse"][number] == pytest.approx(error)
            assert columns[f"{region}_rmse"][number] == pytest.approx(error**0.5)
            assert columns[f"{region}_psnr"][number] == pytest.approx(-10 * np.log10(error))
        assert columns["rmse"][number] == pytest.approx(np.square(difference).mean() ** 0.5)
        assert columns["missing"][number] == pytest.approx(missing[number].mean())
    # Known pixels are exact, so the whole error is the hole's share of it
    assert columns["hole_mse"] * columns["missing"] == pytest.approx(metrics.mse(originals, found))


def test_maps_are_those_of_the_reference_implementations(lpips: Lpips):
    originals, found, missing = pair()
    columns = measure(originals, found, missing, lpips)
    _, reference = structural_similarity(
        originals[0] / 255, found[0] / 255, channel_axis=-1, data_range=1, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False, full=True,
    )  # fmt: skip
    assert columns["hole_ssim"][0] == pytest.approx(reference[missing[0]].mean())
    distances = lpips.map(originals, found)
    assert distances.shape == missing.shape
    assert columns["hole_lpips_untrained"][1] == pytest.approx(distances[1][missing[1]].mean())
    assert distances.mean(axis=(1, 2)) == pytest.approx(lpips(originals, found), rel=0.05)
    assert lpips(originals, found).shape == (2,)  # a map leaves the plain distance as it was


def test_the_band_is_what_is_near_a_known_pixel():
    boxes = (Box(10, 10, 29, 29), Box(0, 0, 9, 9))
    missing = np.stack([masks.of_boxes([box], 64, 64, "a") for box in boxes])
    found = band(missing)
    assert found[0].sum() == 19**2 - 15**2  # two px on each side
    assert found[1].sum() == 9**2 - 7**2  # none along the image's own edge
    assert not (found & ~missing).any()
    assert band(np.pad(missing[:1], ((0, 0), (0, 192), (0, 192)))).sum() == 19**2 - 3**2  # 8 px of 256


def test_a_perfect_fill(lpips: Lpips):
    originals, _, missing = pair()
    columns = measure(originals, originals, missing, lpips)
    assert (columns["hole_psnr"] == metrics.PSNR_CAP).all()
    assert columns["hole_ssim"] == pytest.approx(1)
    assert (columns["band_rmse"] == 0).all()


def test_what_does_not_belong_together(lpips: Lpips):
    originals, found, missing = pair()
    with pytest.raises(MetricError, match="masks of shape"):
        measure(originals, found, missing[:, :32], lpips)
    with pytest.raises(MetricError, match="no hole to measure"):
        measure(originals, found, missing & False, lpips)


def test_looks_are_set_beside_those_of_the_original(lpips: Lpips):
    originals, noisy, missing = pair()
    same = measure(originals, originals, missing, lpips)
    assert same["hole_sharpness"] == pytest.approx([1, 1]) and same["seam"] == pytest.approx([1, 1])
    grey = np.where(missing[..., None], np.uint8(128), originals)
    flat = measure(originals, grey, missing, lpips)
    assert (flat["hole_sharpness"] < 0.5).all() and (flat["seam"] > 1.5).all()
    assert (measure(originals, noisy, missing, lpips)["hole_sharpness"] > 2).all()
    assert flat["texture"] == pytest.approx(same["texture"])  # of the original, whatever was filled in
    # A column of light beside a dark hole: each of its steps is one from white to black
    white = np.full((1, 64, 64, 3), 255, np.uint8)
    hole = masks.of_boxes([Box(20, 20, 30, 30)], 64, 64, "a")[None]
    black = np.where(hole[..., None], np.uint8(0), white)
    step = (65.481 + 128.553 + 24.966) / 255
    assert measure(white, black, hole, lpips)["seam"] == pytest.approx([step / (1 / 255)])
