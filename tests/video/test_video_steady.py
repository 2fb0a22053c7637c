"""The frame before, mixed in along motion: what it settles, and where it stays out."""

from collections.abc import Sequence

import cv2
import numpy as np
import pictures
import pytest

from afterimage import video
from afterimage.core.images import Uint8
from afterimage.video import steady


def ground(width: int, height: int, seed: int = 0) -> Uint8:
    """A picture with large and small things in it."""
    coarse = np.asarray(pictures.noise(width // 8, height // 8, seed))
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8) // 2 + 40


def noisy(frames: Sequence[Uint8], deviation: float = 8) -> list[Uint8]:
    random = np.random.default_rng(1)
    return [np.clip(frame + random.normal(0, deviation, frame.shape), 0, 255).astype(np.uint8) for frame in frames]


def follow(sources: Sequence[Uint8], restored: Sequence[Uint8] | None = None) -> tuple[list[Uint8], steady.Sums]:
    state, results = None, []
    for source, result in zip(sources, restored or sources, strict=True):
        state = steady.follow(state, source, result, video.SMOOTH)
        results.append(state.result)
    assert state is not None
    return results, state.sums


def error(frames: Sequence[Uint8], clean: Sequence[Uint8]) -> float:
    return float(np.mean([np.abs(a.astype(int) - b).mean() for a, b in zip(frames, clean, strict=True)]))


def test_a_still_clip_loses_noise_and_flicker() -> None:
    clean = [ground(160, 120)] * 10
    given = noisy(clean)
    results, sums = follow(given)
    assert error(results[3:], clean[3:]) < 0.7 * error(given[3:], clean[3:])
    assert sums.agreeing > 0.95 * sums.pixels
    before, after = sums.flicker() or (0, 0)
    assert after < 0.6 * before


def test_a_clip_that_pans_loses_noise_too() -> None:
    """Without following motion nothing could be mixed here; detail stays where it is."""
    wide = ground(260, 140)
    clean = [wide[number : number + 120, 3 * number : 3 * number + 160] for number in range(12)]
    given = noisy(clean)
    results, sums = follow(given)
    inner = np.s_[10:-10, 10:-10]
    assert error([r[inner] for r in results[4:]], [c[inner] for c in clean[4:]]) < 0.8 * error(given[4:], clean[4:])
    before, after = sums.flicker() or (0, 0)
    assert after < 0.75 * before


@pytest.mark.parametrize("dark", [1, 12])
def test_a_cut_leaves_the_first_frame_of_the_new_scene_as_it_is(dark: int) -> None:
    """Also where the input is so dark that two scenes hardly differ, and the result is not."""
    scenes = noisy([ground(160, 120, 0)] * 3 + [ground(160, 120, 1)] * 3, 3)
    results, _ = follow([scene // dark for scene in scenes], scenes)
    assert np.array_equal(results[3], scenes[3])
    assert not np.array_equal(results[4], scenes[4])


def test_what_moves_leaves_no_ghost() -> None:
    clean = []
    for number in range(14):
        frame = ground(200, 120).copy()
        frame[40:80, 10 + 9 * number : 50 + 9 * number] = (250, 30, 30)
        clean.append(frame)
    results, _ = follow(noisy(clean, 3))
    for result, frame in zip(results[1:], clean[1:], strict=True):
        red = (result[..., 0].astype(int) - result[..., 1] > 110) != (frame[..., 0].astype(int) - frame[..., 1] > 110)
        assert red.mean() < 0.003
    number = 13
    left = 10 + 9 * number
    behind = np.s_[40:80, left - 30 : left - 2]  # where the square has just been
    assert abs(results[number][behind].astype(int) - clean[number][behind]).mean() < 5
    assert (
        abs(
            results[number][44:76, left + 4 : left + 36].astype(int) - clean[number][44:76, left + 4 : left + 36]
        ).mean()
        < 5
    )


def test_what_the_restorer_left_stays_where_it_is_asked_for() -> None:
    given = noisy([ground(96, 64)] * 3)
    restored = [frame.copy() for frame in given]
    for frame in restored:
        frame[:, 48:] = 255 - frame[:, 48:]
    state = None
    for source, result in zip(given, restored, strict=True):
        state = steady.follow(state, source, result, video.SMOOTH, partly=True)
    assert state is not None
    assert np.array_equal(state.result[:, :48], given[-1][:, :48])
    assert (state.result[:, 48:] != restored[-1][:, 48:]).mean() > 0.3


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (25, 23), (400, 12)])
def test_frames_of_any_size(size: tuple[int, int]) -> None:
    frame = np.full((size[1], size[0], 3), 90, dtype=np.uint8)
    results, sums = follow([frame] * 3)
    assert np.array_equal(results[-1], frame)
    assert sums.flicker() == (0, 0)
