"""What filters alone make of frames."""

import numpy as np
import pytest
from skimage.data import astronaut

from afterimage.evaluation import frames
from afterimage.evaluation.baselines.frames import METHODS, restore

IMAGE = astronaut()[100:164, 150:214]


def test_the_identity_repeats_pixels_and_touches_nothing_of_a_frame_that_fits():
    np.testing.assert_array_equal(restore("identity", IMAGE, (64, 64)), IMAGE)
    small = IMAGE[:32, :32]
    np.testing.assert_array_equal(restore("identity", small, (64, 64)), small.repeat(2, axis=0).repeat(2, axis=1))


@pytest.mark.parametrize("method", METHODS)
def test_every_baseline_gives_an_image_of_the_size(method):
    for side in (8, 33, 64):
        found = restore(method, IMAGE[:side, :side], (64, 64))
        assert found.shape == (64, 64, 3) and found.dtype == np.uint8


def test_every_baseline_is_described():
    assert list(frames.METHODS) == list(METHODS)
