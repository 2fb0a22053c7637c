"""What filters make of frames."""

import numpy as np
import pytest
from pictures import noise
from skimage.data import astronaut
from skimage.filters import gaussian

from afterimage.observations.frames import filters

IMAGE = astronaut()[100:164, 150:214]


def error(a, b) -> float:
    return float(np.square(a.astype(float) - b).mean())


def test_filters_do_what_they_are_for():
    dark = np.rint(255 * 0.6 * (IMAGE / 255) ** 1.4).astype(np.uint8)
    assert error(filters.gamma(dark), IMAGE) < error(dark, IMAGE)
    assert error(filters.exposure(dark), IMAGE) < error(dark, IMAGE)
    assert filters.exposure(dark).mean() == pytest.approx(255 * filters.EXPOSED, rel=0.15)
    smooth = np.asarray(noise(64, 64))
    noisy = np.clip(smooth + np.random.default_rng(0).normal(0, 10, smooth.shape), 0, 255).astype(np.uint8)
    assert error(filters.nlm(noisy), smooth) < 0.6 * error(noisy, smooth)
    soft = np.rint(255 * gaussian(IMAGE / 255, 0.8, channel_axis=-1)).astype(np.uint8)
    assert error(filters.unsharp(soft), IMAGE) < error(soft, IMAGE)


def test_black_stays_finite():
    black = np.zeros((16, 16, 3), np.uint8)
    for name in filters.FILTERS:
        assert filters.filtered(black, [name]).max() <= 1
