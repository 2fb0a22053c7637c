"""What filters make of frames."""

import numpy as np
import pytest
from pictures import noise, shards_of
from skimage.data import astronaut
from skimage.filters import gaussian
from test_frames import row

from afterimage.core import shards
from afterimage.core.errors import ParamsError
from afterimage.observations.frames import filters as enhancement
from afterimage.observations.frames import store as frames

IMAGE = astronaut()[100:164, 150:214]


def error(a, b) -> float:
    return float(np.square(a.astype(float) - b).mean())


def test_the_identity_repeats_pixels_and_touches_nothing_of_a_frame_that_fits():
    np.testing.assert_array_equal(enhancement.restore("identity", IMAGE, (64, 64)), IMAGE)
    small = IMAGE[:32, :32]
    np.testing.assert_array_equal(
        enhancement.restore("identity", small, (64, 64)), small.repeat(2, axis=0).repeat(2, axis=1)
    )


@pytest.mark.parametrize("method", enhancement.METHODS)
def test_every_baseline_gives_an_image_of_the_size(method):
    for side in (8, 33, 64):
        found = enhancement.restore(method, IMAGE[:side, :side], (64, 64))
        assert found.shape == (64, 64, 3) and found.dtype == np.uint8


def test_filters_do_what_they_are_for():
    dark = np.rint(255 * 0.6 * (IMAGE / 255) ** 1.4).astype(np.uint8)
    assert error(enhancement.gamma(dark), IMAGE) < error(dark, IMAGE)
    assert error(enhancement.exposure(dark), IMAGE) < error(dark, IMAGE)
    assert enhancement.exposure(dark).mean() == pytest.approx(255 * enhancement.EXPOSED, rel=0.15)
    smooth = np.asarray(noise(64, 64))
    noisy = np.clip(smooth + np.random.default_rng(0).normal(0, 10, smooth.shape), 0, 255).astype(np.uint8)
    assert error(enhancement.nlm(noisy), smooth) < 0.6 * error(noisy, smooth)
    soft = np.rint(255 * gaussian(IMAGE / 255, 0.8, channel_axis=-1)).astype(np.uint8)
    assert error(enhancement.unsharp(soft), IMAGE) < error(soft, IMAGE)


def test_black_stays_finite():
    black = np.zeros((16, 16, 3), np.uint8)
    for name in enhancement.FILTERS:
        assert enhancement.filtered(black, [name]).max() <= 1


def test_baselines_are_written_for_the_test_frames(tmp_path):
    originals = shards_of(tmp_path / "shards", {"train": [1], "val": [1], "test": [3]})
    frames.write(row(), "mine", originals, tmp_path / "frames")
    level = frames.levels(tmp_path / "frames")[1]
    enhancement.reconstruct("bicubic", level, tmp_path / "out")
    assert [key for key, *_ in shards.read(tmp_path / "out", "test")] == shards.Table(originals, "test").keys
    with pytest.raises(ParamsError, match="no baseline `magic`"):
        enhancement.reconstruct("magic", level, tmp_path / "out")
