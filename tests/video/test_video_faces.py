import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import yunet
from clips import clip, decoded
from skimage import data

from afterimage import video
from afterimage.core.errors import VideoError
from afterimage.core.images import Uint8
from afterimage.video import Settings, clips, faces, regions, steady
from afterimage.video.faces import Face


def marked(x: int, y: int, size: tuple[int, int] = (240, 320)) -> Uint8:
    """A grey picture with the mark that tests/yunet.py takes for a face; it lies on a grid of 8 px."""
    frame = np.full((*size, 3), 60, dtype=np.uint8)
    frame[y : y + 8, x : x + 8] = (255, 0, 0)
    return frame


def test_the_cascade_finds_an_upright_face() -> None:
    astronaut = data.astronaut()
    face = faces.find(astronaut)[0]
    assert abs(face.x - 224) < 10
    assert abs(face.y - 120) < 20
    assert 70 < face.side < 120
    assert face.angle == 0
    large = faces.find(np.ascontiguousarray(cv2.resize(astronaut[:320], None, fx=4, fy=4)))[0]
    assert abs(large.x - 4 * 224) < 40
    assert faces.find(astronaut[:20, :20]) == []


@pytest.mark.parametrize("angle", [0.0, 0.4, -2.5])
def test_yunet_says_how_a_face_is_turned(tmp_path: Path, angle: float) -> None:
    detector = str(yunet.write(tmp_path / "yunet.onnx", angle))
    found = faces.find(marked(160, 120), detector)
    assert [face.strength for face in found] == [1.0]
    assert found[0][:4] == pytest.approx((164, 124, yunet.SIDE, angle), abs=0.01)
    assert faces.find(np.zeros((100, 100, 3), dtype=np.uint8), detector) == []
    larger = faces.find(np.repeat(np.repeat(marked(160, 120, (400, 640)), 3, axis=0), 3, axis=1), detector)[0]
    assert larger[:4] == pytest.approx((3 * 164, 3 * 124, 3 * yunet.SIDE, angle), abs=0.1)


def test_a_file_that_is_not_yunet(tmp_path: Path) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(b"not a network")
    (tmp_path / "in").mkdir()
    with pytest.raises(VideoError, match=r"other\.onnx: OpenCV cannot detect faces with this file; expected YuNet"):
        video.restore(tmp_path / "in", tmp_path / "out", lambda frames: frames, {}, Settings(True, detector=str(path)))
    with pytest.raises(VideoError, match=r"none\.onnx: there is no such file"):
        faces.check(str(tmp_path / "none.onnx"))


def test_a_face_is_followed_and_faded() -> None:
    start = faces.follow(None, [Face(100, 100, 50)])
    assert start == (Face(100, 100, 50),)
    moved = faces.follow(start, [Face(300, 300, 40), Face(104, 100, 54, 0.1)])
    assert moved == (Face(102, 100, 52, pytest.approx(0.05)), Face(300, 300, 40, strength=faces.FADE))
    assert faces.between(start, moved, 0.5)[0] == Face(101, 100, 51, pytest.approx(0.025))
    assert faces.between(start, moved, 0.5)[1] == Face(300, 300, 40, strength=faces.FADE / 2)
    missed = faces.follow(moved, [])
    assert [face.strength for face in missed] == [1 - faces.FADE, 0]
    assert missed[0][:4] == moved[0][:4]


def test_angles_are_mixed_the_shorter_way() -> None:
    before = (Face(0, 0, 10, math.pi - 0.1),)
    assert faces.between(before, (Face(0, 0, 10, -math.pi + 0.1),), 0.5)[0].angle == pytest.approx(math.pi)


def test_a_turned_face_is_restored_upright(tmp_path: Path) -> None:
    """What the restorer draws into the top of its square lies where the top of the face is."""
    detector = str(yunet.write(tmp_path / "yunet.onnx", math.pi / 2))
    squares = []

    def drawn(frames: Uint8) -> Uint8:
        squares.append(frames.shape)
        result = frames.copy()
        side = frames.shape[1]
        result[:, side // 4 : side // 2, side * 3 // 8 : side * 5 // 8] = (0, 255, 0)
        return result

    frame = marked(160, 120)
    result = regions.apply(drawn, frame[None], Settings(True, detector=detector)).frames[0]
    assert squares == [(1, 120, 120, 3)]
    green = np.argwhere(result[..., 1] > 200)
    assert green[:, 0].mean() == pytest.approx(124, abs=1.5)
    assert green[:, 1].mean() == pytest.approx(164 + 15, abs=3)  # clockwise by a quarter: the top is on the right
    assert np.array_equal(result[:40], frame[:40])


def noisy(count: int) -> Uint8:
    """A face that walks over a still background, with the noise of a camera."""
    random = np.random.default_rng(0)
    photograph, across = data.astronaut()[30:210, 130:310], np.arange(420)
    ground = np.stack([90 + 60 * np.sin(across / (9 + 4 * channel)) for channel in range(3)], axis=-1)
    scene = np.broadcast_to(ground, (240, 420, 3))
    radius = np.hypot(*np.mgrid[-1:1:180j, -1:1:180j])[..., None]
    cut = np.clip((1 - radius) * 8, 0, 1)
    frames = np.repeat(scene[None].copy(), count, axis=0)
    for number, frame in enumerate(frames):
        part = frame[30:210, 40 + 3 * number : 220 + 3 * number]
        part += cut * (photograph - part)
    return np.clip(frames + random.normal(0, 4, frames.shape), 0, 255).astype(np.uint8)


def flicker(frames: Uint8, results: Uint8) -> float:
    state = None
    for source, result in zip(frames, results, strict=True):
        state = steady.follow(state, source, result, 0.0)
    assert state is not None
    found = state.sums.flicker()
    assert found is not None
    return found[1]


def test_faces_flicker_no_more_than_whole_frames() -> None:
    """Around a face that moves, for a restorer that raises contrast and so the noise."""
    frames = noisy(24)

    def stronger(some: Uint8) -> Uint8:
        return np.clip(100 + 1.5 * (some.astype(np.float32) - 100), 0, 255).astype(np.uint8)

    before, results = None, []
    for start in range(0, len(frames), clips.TOGETHER):
        looked = regions.apply(stronger, frames[start : start + clips.TOGETHER], Settings(faces=True), before)
        before = looked.faces
        assert looked.found
        results.append(looked.frames)
    around = np.s_[:, 20:220, 30:320]
    alone = np.concatenate(results)
    assert (alone != frames).mean() > 0.05
    whole = flicker(frames[around], stronger(frames)[around])
    assert flicker(frames[around], alone[around]) < whole + 0.1


def test_an_interrupted_run_follows_the_same_faces(tmp_path: Path) -> None:
    """Broken off in the second piece, it ends with the frames of a run that was not."""
    detector = str(yunet.write(tmp_path / "yunet.onnx", 0.3))
    path = clip(tmp_path / "in.mp4", np.stack([marked(40 + number // 8 * 8, 80, (160, 240)) for number in range(48)]))
    settings = Settings(True, "keep", detector=detector)
    video.restore(path, tmp_path / "whole.mp4", lambda frames: 255 - frames, {}, settings)
    calls = []

    def breaks(frames: Uint8) -> Uint8:
        calls.append(len(frames))
        if len(calls) == 10:
            raise KeyboardInterrupt
        return 255 - frames

    with pytest.raises(KeyboardInterrupt):
        video.restore(path, tmp_path / "out.mp4", breaks, {}, settings)
    again = []

    def counted(frames: Uint8) -> Uint8:
        again.append(len(frames))
        return 255 - frames

    video.restore(path, tmp_path / "out.mp4", counted, {}, settings)
    assert sum(again) < 48
    assert np.array_equal(decoded(tmp_path / "out.mp4")[1], decoded(tmp_path / "whole.mp4")[1])
