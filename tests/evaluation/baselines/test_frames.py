"""What filters, and what is fitted on a level's training pairs, make of frames."""

import numpy as np
import pytest
import rows
from pictures import shards_of
from rows import observed
from skimage.data import astronaut

from afterimage.evaluation import frames
from afterimage.evaluation.baselines.frames import METHODS, Training, back_projected, restore
from afterimage.evaluation.metrics import psnr
from afterimage.observations.frames import cctv, store

IMAGE = astronaut()[100:164, 150:214]
LEVELS = {
    "dark": [{"step": "low_light", "gamma": [1.4, 1.4], "exposure": [0.6, 0.6]}],
    "blurred": [{"step": "defocus", "radius": [2.0, 2.0]}],
    "clean": [],
}


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Training]:
    root = tmp_path_factory.mktemp("frames")
    originals = shards_of(root / "shards", {"train": [12], "val": [1], "test": [1]})
    rows.written(observed("frames", levels=LEVELS), "mine", originals, root / "frames")
    return {level.name: Training(level, originals) for level in store.levels(root / "frames")}


def test_the_identity_repeats_pixels_and_touches_nothing_of_a_frame_that_fits():
    np.testing.assert_array_equal(restore("identity", IMAGE, (64, 64)), IMAGE)
    small = IMAGE[:32, :32]
    np.testing.assert_array_equal(restore("identity", small, (64, 64)), small.repeat(2, axis=0).repeat(2, axis=1))


@pytest.mark.parametrize("method", METHODS)
def test_every_baseline_gives_an_image_of_the_size(method, training):
    for side in (8, 33, 64):
        found = restore(method, IMAGE[:side, :side], (64, 64), training["dark"])
        assert found.shape == (64, 64, 3) and found.dtype == np.uint8


def test_every_baseline_is_described():
    assert list(frames.METHODS) == list(METHODS)


def test_a_levels_tone_curve_undoes_its_darkness(training):
    dark = cctv.replay(IMAGE, [{"step": "low_light", "gamma": 1.4, "exposure": 0.6}])
    found = restore("tone", dark, (64, 64), training["dark"])
    assert psnr(IMAGE[None], dark[None])[0] < 20
    assert psnr(IMAGE[None], found[None])[0] > 30
    np.testing.assert_array_equal(restore("tone", IMAGE, (64, 64), training["clean"]), IMAGE)


def test_deconvolution_takes_the_size_that_is_best_in_training(training):
    blurred = cctv.replay(IMAGE, [{"step": "defocus", "radius": 2.0}])
    before = psnr(IMAGE[None], blurred[None])[0]
    for method in ("wiener", "richardson_lucy"):
        found = restore(method, blurred, (64, 64), training["blurred"])
        assert psnr(IMAGE[None], found[None])[0] > before + 1, method


def test_a_back_projected_frame_gives_the_frame_again():
    small = cctv.resized(IMAGE, (32, 32), "bicubic_antialiased")
    found = back_projected(small, (64, 64))
    again = cctv.resized(found, (32, 32), "bicubic_antialiased").astype(int)
    plain = cctv.resized(restore("bicubic", small, (64, 64)), (32, 32), "bicubic_antialiased").astype(int)
    assert np.abs(again - small).mean() < np.abs(plain - small).mean() / 2
    assert psnr(IMAGE[None], found[None])[0] > psnr(IMAGE[None], restore("bicubic", small, (64, 64))[None])[0]
