"""Degradation: each step does what it says, statistically where it is random, and every case can be repeated."""

import json

import numpy as np
import pytest
from pictures import noise
from pydantic import TypeAdapter, ValidationError
from rows import STEPS
from skimage.data import astronaut

from afterimage.core import params
from afterimage.observations import ObservationRow
from afterimage.observations.frames import cctv

IMAGE = astronaut()[100:164, 150:214]
GREY = np.full((64, 64, 3), 100, np.uint8)


def step(name: str, **changes) -> cctv.AnyStep:
    return TypeAdapter(cctv.AnyStep).validate_python({"step": name, **STEPS[name], **changes})


ALL = [step(name) for name in STEPS] + [step("video", codec="h264", quantiser=[30, 40])]


def apply(name: str, image=IMAGE, **drawn):
    return cctv.replay(image, [{"step": name, **drawn}])


def test_every_step_is_tried_here():
    assert set(STEPS) == set(cctv.STEPS)


@pytest.mark.parametrize("one", ALL, ids=lambda one: getattr(one, "codec", one.step))
def test_a_step_changes_the_image_and_is_repeated_by_its_record(one):
    frame, records = cctv.degrade(IMAGE, [one], 0, "key", 1)
    assert frame.dtype == np.uint8 and frame.ndim == 3 and (frame.shape != IMAGE.shape or (frame != IMAGE).any())
    np.testing.assert_array_equal(cctv.replay(IMAGE, json.loads(json.dumps(records))), frame)
    np.testing.assert_array_equal(cctv.degrade(IMAGE, [one], 0, "key", 1)[0], frame)
    for other in ((1, "key", 1), (0, "other", 1), (0, "key", 2)):
        assert cctv.degrade(IMAGE, [one], *other)[1] != records or one.step in ("interlace", "jpeg", "video")


@pytest.mark.parametrize("size", [(1, 1), (7, 3), (33, 50), (90, 17)])
def test_images_of_any_size_go_through_all_steps(size):
    frame, records = cctv.degrade(np.asarray(noise(size[1], size[0])), ALL, 0, "key")
    assert len(records) == len(ALL) and frame.size > 0


def test_what_is_drawn_lies_in_its_range_and_fills_it():
    records = [dict(record) for key in range(300) for _, record in cctv.drawn(ALL[:7], 0, key)]
    for one in ALL[:7]:
        for name, (low, high) in one.LIMITS.items():
            asked = getattr(one, name)
            found = np.abs([record[name] for record in records if record["step"] == one.step])
            assert low <= asked[0] <= found.min() and found.max() <= asked[1] <= high
            assert found.min() < asked[0] + 0.1 * (asked[1] - asked[0]) + 1e-9
            assert found.max() > asked[1] - 0.1 * (asked[1] - asked[0]) - 1e-9


def test_a_chance_is_kept_and_leaves_the_other_steps_alone():
    rare = [step("defocus", chance=0.25), step("noise")]
    often = [step("defocus", chance=0.75), step("noise")]
    happened = [[record["step"] for _, record in cctv.drawn(rare, 0, key)].count("defocus") for key in range(400)]
    assert 0.18 < np.mean(happened) < 0.32
    for key in range(20):
        assert list(cctv.drawn(rare, 0, key))[-1] == list(cctv.drawn(often, 0, key))[-1]


def test_low_light_is_gamma_and_exposure():
    found = apply("low_light", GREY, gamma=2.0, exposure=0.5)
    assert np.unique(found).tolist() == [round(255 * 0.5 * (100 / 255) ** 2)]


@pytest.mark.parametrize("drawn", [{"radius": 2.3}, {"length": 5.0, "angle": 0.4, "bend": 0.5}])
def test_blur_spreads_a_point_over_what_was_drawn_and_keeps_its_light(drawn):
    point = np.zeros((33, 33, 3), np.uint8)
    point[16, 16] = 255
    name = "defocus" if "radius" in drawn else "motion"
    found = cctv.STEPS[name].apply(point / np.float32(255), drawn)
    assert found.sum() == pytest.approx(3, rel=1e-3)
    y, x = np.nonzero(found[..., 0] > 1e-4)
    reach = np.hypot(y - 16, x - 16).max()
    assert reach <= (2.3 + 0.5 if name == "defocus" else 5 / 2 + 1.5)
    assert np.hypot((found[..., 0] * (np.mgrid[:33, :33][0] - 16)).sum(), 0) < 0.3  # it stays where it was


def test_noise_has_the_variance_of_its_two_parts():
    image = np.full((400, 400, 3), 0.4, np.float32)
    found = cctv.Noise.apply(image, {"shot": 0.01, "read": 0.05, "seed": 3})
    assert found.mean() == pytest.approx(0.4, abs=2e-3)
    assert found.var() == pytest.approx(0.01 * 0.4 + 0.05**2, rel=0.02)
    assert abs(np.corrcoef(found[:, :-1].ravel(), found[:, 1:].ravel())[0, 1]) < 0.01


def test_chroma_noise_leaves_the_luma_and_comes_in_blotches():
    shift = cctv.Chroma.apply(np.full((200, 200, 3), 0.5, np.float32), {"strength": 0.05, "seed": 3}) - 0.5
    assert np.abs(shift @ np.array([0.299, 0.587, 0.114])).max() < 1e-5
    assert np.corrcoef(shift[:, :-1, 0].ravel(), shift[:, 1:, 0].ravel())[0, 1] > 0.5


def test_interlacing_moves_every_other_line():
    found = apply("interlace", shift=3)
    np.testing.assert_array_equal(found[::2], IMAGE[::2])
    np.testing.assert_array_equal(found[1::2, 3:], IMAGE[1::2, :-3])


@pytest.mark.parametrize("factor, size", [(2.0, 32), (3.1, 21), (8.0, 8)])
def test_downscaling_leaves_so_many_pixels(factor, size):
    assert all(apply("downscale", factor=factor, filter=name).shape == (size, size, 3) for name in cctv.FILTERS)


@pytest.mark.parametrize(
    "name, mild, strong",
    [
        ("jpeg", {"quality": 90}, {"quality": 10}),
        ("video", {"codec": "mpeg2", "quantiser": 2}, {"codec": "mpeg2", "quantiser": 25}),
        ("video", {"codec": "h264", "quantiser": 20}, {"codec": "h264", "quantiser": 45}),
    ],
)
def test_codecs_cost_more_the_more_they_compress(name, mild, strong):
    errors = [np.square(apply(name, **drawn).astype(float) - IMAGE).mean() for drawn in (mild, strong)]
    assert 0 < errors[0] < errors[1] / 3


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"step": "fog"}, "fog"),
        ({"step": "defocus", "radius": [2.0, 1.0]}, "from <= to"),
        ({"step": "defocus", "radius": [0.0, 99.0]}, "should lie between 0 and 50"),
        ({"step": "downscale", "factor": [2.0, 3.0], "filters": ["box"]}, "nearest"),
        ({"step": "jpeg", "quality": [10, 20], "chance": 2.0}, "less than or equal to 1"),
    ],
)
def test_a_wrong_step_is_named(wrong, said):
    with pytest.raises(ValidationError, match=said):
        TypeAdapter(cctv.AnyStep).validate_python(wrong)


def test_levels_of_the_project_are_read_from_params(tmp_path):
    from conftest import ROOT

    row = params.row(ROOT / "params.yaml", "observations", "photos-cctv", ObservationRow)
    assert list(row.levels) == ["clean", "light", "medium", "heavy"]
    used = {one.step for steps in row.levels.values() for one in steps}
    assert used == set(STEPS)
