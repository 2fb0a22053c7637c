"""What metrics promise besides their numbers, which test_references.py compares with others'."""

import math

import numpy as np
import pytest
from skimage.data import astronaut, coffee

from afterimage.core import params
from afterimage.core.errors import MetricError, ParamsError
from afterimage.evaluation import metrics
from afterimage.evaluation.metrics import MetricsRow, mse, psnr, ssim


@pytest.fixture(scope="module")
def pairs() -> tuple[np.ndarray, np.ndarray]:
    """Six 8-bit crops of photographs, 48 x 40 px, and versions with noise from faint to heavy."""
    photographs = (astronaut(), coffee())
    originals = np.stack([photographs[i % 2][60 + 30 * i :][:40, 90:138] for i in range(6)])
    noise = np.random.default_rng(7).normal(size=originals.shape)
    strengths = np.array([1, 3, 8, 20, 60, 150]).reshape(6, 1, 1, 1)
    return originals, np.clip(originals + noise * strengths, 0, 255).round().astype(np.uint8)


def test_worse_images_score_worse(lpips):
    original = astronaut()[60:108, 90:138]
    noise = np.random.default_rng(7).normal(size=original.shape)
    worse = np.stack([np.clip(original + noise * strength, 0, 255) for strength in (2, 8, 30, 100)]) / 255
    originals = np.stack([original] * 4)
    assert (np.diff(psnr(originals, worse)) < 0).all()
    assert (np.diff(ssim(originals, worse)) < 0).all()
    assert (np.diff(lpips(originals, worse)) > 0).all()


def test_identical_images(pairs, lpips):
    originals = pairs[0]
    assert (mse(originals, originals) == 0).all()
    assert (psnr(originals, originals) == metrics.PSNR_CAP).all()
    assert ssim(originals, originals) == pytest.approx(np.ones(6), abs=1e-12)
    assert (lpips(originals, originals) == 0).all()


def test_psnr_is_capped_just_below_infinity():
    black = np.zeros((1, 8, 8, 3))
    near, nearer = np.full_like(black, 1.01e-5), np.full_like(black, 0.99e-5)
    assert psnr(black, near)[0] < metrics.PSNR_CAP
    assert psnr(black, nearer)[0] == metrics.PSNR_CAP


def test_8_bit_and_float_images_score_the_same(pairs, lpips):
    floats = [images / 255 for images in pairs]
    for metric in (mse, psnr, ssim, lpips):
        np.testing.assert_allclose(metric(*pairs), metric(*floats), rtol=1e-6)


def test_the_batch_changes_nothing(pairs, lpips):
    for metric in (mse, psnr, ssim, lpips):
        singly = np.concatenate([metric(a[None], b[None]) for a, b in zip(*pairs, strict=True)])
        np.testing.assert_allclose(metric(*pairs), singly, atol=1e-6)


def test_shapes_that_differ_are_named(lpips):
    a, b = np.zeros((2, 40, 40, 3), np.uint8), np.zeros((2, 40, 41, 3), np.uint8)
    for metric in (mse, psnr, ssim, lpips):
        with pytest.raises(MetricError, match=r"\(2, 40, 40, 3\) and \(2, 40, 41, 3\)"):
            metric(a, b)


@pytest.mark.parametrize("shape", [(40, 40, 3), (2, 3, 40, 40), (0, 40, 40, 3)])
def test_other_layouts_are_refused(shape):
    with pytest.raises(MetricError, match=r"expected \[N, H, W, 3\]"):
        mse(np.zeros(shape), np.zeros(shape))


@pytest.mark.parametrize("value", [-0.01, 1.01, 255.0, math.nan, math.inf])
def test_floats_out_of_range_are_refused(value):
    good = np.zeros((1, 8, 8, 3))
    bad = good.copy()
    bad[0, 3, 3, 1] = value
    with pytest.raises(MetricError, match="expected 0 to 1"):
        mse(good, bad)


def test_other_types_are_refused():
    with pytest.raises(MetricError, match="int64"):
        mse(np.zeros((1, 8, 8, 3), np.int64), np.zeros((1, 8, 8, 3), np.int64))


def test_images_too_small(lpips):
    for metric, side in ((ssim, metrics.SSIM_WINDOW), (lpips, metrics.LPIPS_SMALLEST)):
        enough = np.zeros((1, side, side, 3), np.uint8)
        assert np.isfinite(metric(enough, enough + 9)).all()
        short = enough[:, 1:]
        with pytest.raises(MetricError, match=f"{side} x {side - 1} px are too few"):
            metric(short, short)


def test_the_parameters(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("metrics: {seed: 0, bootstrap: 10}\n")
    assert params.table(path, "metrics", MetricsRow).bootstrap == 10
    for text, message in (
        ("seed: 0", "metrics.bootstrap`: this key is missing"),
        ("seed: -1, bootstrap: 1", "seed`: -1"),
    ):
        path.write_text(f"metrics: {{{text}}}\n")
        with pytest.raises(ParamsError, match=message):
            params.table(path, "metrics", MetricsRow)


def test_a_tone_curve_is_taken_out_and_nothing_else(pairs):
    originals, noisy = pairs
    darker = np.rint(255 * 0.5 * (originals / 255) ** 1.5).astype(np.uint8)
    assert metrics.psnr(originals, metrics.toned(originals, darker)).min() > 40
    for found in (originals, noisy, darker):
        after = metrics.psnr(originals, metrics.toned(originals, found))
        assert (after >= metrics.psnr(originals, found) - 1e-9).all()
    # Neither darkness nor contrast moves it much, and noise stays where it was
    again = np.rint(40 + 0.8 * noisy.astype(float)).astype(np.uint8)
    first, second = (metrics.psnr(originals, metrics.toned(originals, found)) for found in (noisy, again))
    np.testing.assert_allclose(first[2:], second[2:], atol=0.2)
    with pytest.raises(MetricError, match="a tone curve needs 8-bit ones"):
        metrics.toned(originals, noisy / 255)


def test_a_tone_curve_never_falls(pairs):
    curve = metrics.curve(*metrics.tones(pairs[0][4] / 255, pairs[1][4]))
    assert (np.diff(curve) >= -1e-12).all()


def test_a_border_that_leaves_nothing_is_refused(pairs):
    with pytest.raises(MetricError, match="luma without 20 px"):
        metrics.psnr_y(*pairs, 20)
