"""Classical inpainting fills what is missing, sees nothing of it, and leaves the rest as it was."""

import numpy as np
import pytest
from skimage.data import astronaut

from afterimage.evaluation import holes
from afterimage.evaluation.baselines.holes import METHODS, fill
from afterimage.observations.holes import masks
from afterimage.observations.holes.masks import Box

IMAGE = astronaut()[100:164, 150:214]
MASK = masks.of_boxes([Box(5, 6, 24, 25), Box(40, 30, 59, 49)], 64, 64, "a")


@pytest.mark.parametrize("method", METHODS)
def test_known_pixels_stay_and_missing_ones_are_not_seen(method):
    found = fill(method, IMAGE, MASK)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found[~MASK], IMAGE[~MASK])
    other = np.where(MASK[..., None], 255 - IMAGE, IMAGE).astype(np.uint8)
    np.testing.assert_array_equal(fill(method, other, MASK), found)


def test_means_are_those_of_known_pixels():
    assert not fill("black", IMAGE, MASK)[MASK].any()
    mean = np.rint(IMAGE[~MASK].mean(axis=0))
    np.testing.assert_array_equal(np.unique(fill("image_mean", IMAGE, MASK)[MASK], axis=0), [mean])
    halves = np.zeros_like(IMAGE)
    halves[:, 32:] = 90
    found = fill("border_mean", halves, MASK)  # each hole has a border of one colour
    np.testing.assert_array_equal(found, halves)


def test_smooth_methods_follow_a_slope():
    slope = np.broadcast_to(np.arange(64, dtype=np.uint8)[:, None, None] * 3, (64, 64, 3)).copy()
    for method, most in (("border_mean", 20), ("telea", 12), ("navier_stokes", 6), ("biharmonic", 0.01)):
        assert np.abs(fill(method, slope, MASK).astype(int) - slope)[MASK].mean() <= most


def test_every_baseline_is_described():
    assert list(holes.METHODS) == list(METHODS)
