import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import clip, decoded, scene

from afterimage import video
from afterimage.core.errors import VideoError
from afterimage.core.images import Uint8
from afterimage.video import clips, reading, work

ABOUT = {"row": "mine"}
ROOT = Path(__file__).parents[2]


def brighter(frames: Uint8) -> Uint8:
    return np.clip(frames.astype(np.int16) + 40, 0, 255).astype(np.uint8)


def same(frames: Uint8) -> Uint8:
    return frames


def restore(path: Path, out: Path, restorer: video.Restore = same, **options: Any) -> video.Outcome:
    overwrite = options.pop("overwrite", False)
    return video.restore(path, out, restorer, ABOUT, video.Settings(**options), overwrite)


@pytest.mark.parametrize("size", [(64, 48), (63, 45)])
def test_a_clip_keeps_its_size_times_and_sound(tmp_path: Path, size: tuple[int, int]) -> None:
    times = [0, 40, 120, 133, 500, 900]
    path = clip(tmp_path / "in.mp4", scene(6, *size), times, "aac")
    done = restore(path, tmp_path / "out.mp4", brighter)
    assert (done.units, done.faults) == (6, [])
    when, frames = decoded(tmp_path / "out.mp4")
    assert when == pytest.approx([time / 1000 for time in times])
    assert frames.shape[1:3] == (size[1] + size[1] % 2, size[0] + size[0] % 2)
    wanted = brighter(decoded(path)[1]).astype(int)
    assert abs(frames[:, : size[1], : size[0]] - wanted).mean() < 6
    with av.open(str(path)) as before, av.open(str(tmp_path / "out.mp4")) as after:
        sounds = [[bytes(p) for p in each.demux(each.streams.audio[0]) if p.size] for each in (before, after)]
    assert len(sounds[0]) > 10
    assert sounds[0] == sounds[1]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


def test_colours_stay_in_the_space_of_the_clip(tmp_path: Path) -> None:
    """A saturated picture coded by BT.709 comes back as it was, and is still said to be BT.709."""
    path = tmp_path / "in.mkv"
    with av.open(str(path), "w") as container:
        track = container.add_stream("libx264", rate=25, options={"crf": "4"})
        track.width, track.height, track.pix_fmt = 64, 48, "yuv420p"
        track.codec_context.colorspace = 1
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), (200, 30, 60), dtype=np.uint8), "rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=av.video.reformatter.Colorspace.ITU709)
        container.mux([*track.encode(frame), *track.encode(None)])
    restore(path, tmp_path / "out.mkv")
    result = next(reading.frames(reading.probe(tmp_path / "out.mkv"), [])).pixels
    assert abs(result.astype(int) - (200, 30, 60)).max() <= 6
    assert reading.probe(tmp_path / "out.mkv").space == 1


def test_side_by_side(tmp_path: Path) -> None:
    path = clip(tmp_path / "in.mp4", scene(5))
    restore(path, tmp_path / "out.mkv", brighter, side_by_side=True)
    _, frames = decoded(tmp_path / "out.mkv")
    assert frames.shape == (5, 48, 128, 3)
    assert frames[:, :, 64:].mean() - frames[:, :, :64].mean() == pytest.approx(40, abs=8)


def test_smoothing_lowers_flicker_and_leaves_motion_alone(tmp_path: Path) -> None:
    frames = scene(20)
    path = clip(tmp_path / "in.mp4", frames)
    words = restore(path, tmp_path / "plain.mp4", smooth=0).words
    assert "flicker" in words
    restore(path, tmp_path / "smooth.mp4")
    plain, smooth = (decoded(tmp_path / name)[1].astype(float) for name in ("plain.mp4", "smooth.mp4"))
    still = np.s_[1:, 36:, :]  # below the way of the square
    assert abs(np.diff(smooth[still], axis=0)).mean() < 0.6 * abs(np.diff(plain[still], axis=0)).mean()
    square = np.s_[10, 20:28, 22:30]
    assert abs(smooth[square] - plain[square]).mean() < 6


SLOW = """
import sys, time
from pathlib import Path
from afterimage import video
def slow(frames):
    time.sleep(0.06)
    return frames // 2
settings = video.Settings(smooth=0.5)
video.restore(Path(sys.argv[1]), Path(sys.argv[2]), slow, {"row": "mine"}, settings)
"""


def test_a_killed_run_goes_on_and_ends_with_the_same_frames(tmp_path: Path) -> None:
    path = clip(tmp_path / "in.mp4", scene(110), sound="aac")
    restore(path, tmp_path / "whole.mp4", lambda frames: frames // 2, smooth=0.5)
    out = tmp_path / "out.mp4"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    running = subprocess.Popen([sys.executable, "-c", SLOW, str(path), str(out)], env=environment)
    second = work.place(out) / "000001.mp4"
    deadline = time.monotonic() + 60
    while not second.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    assert not out.exists()
    calls = []

    def counted(frames: Uint8) -> Uint8:
        calls.append(len(frames))
        return frames // 2

    done = restore(path, out, counted, smooth=0.5)
    assert done.units == 110
    assert 0 < sum(calls) <= 110 - clips.PIECE
    assert out.read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    assert not work.place(out).exists()


def test_a_fault_keeps_what_is_finished_and_another_job_begins_anew(tmp_path: Path) -> None:
    path = clip(tmp_path / "in.mp4", scene(80))
    out = tmp_path / "out.mp4"
    calls = 0

    def fails(frames: Uint8) -> Uint8:
        nonlocal calls
        calls += 1
        if calls > 15:
            raise VideoError("enough")
        return frames

    with pytest.raises(VideoError, match="enough"):
        restore(path, out, fails)
    assert (work.place(out) / "000000.mp4").exists()
    calls = -100
    assert restore(path, out, fails, side_by_side=True).units == 80
    assert calls == -80


def test_times_that_are_missing_or_go_back_are_mended(tmp_path: Path) -> None:
    path = clip(tmp_path / "in.h264", scene(6), form="h264")  # a stream without times
    restore(path, tmp_path / "out.mp4")
    when, _ = decoded(tmp_path / "out.mp4")
    assert len(when) == 6
    assert np.all(np.diff(when) > 0)


def test_frames_of_another_size_are_brought_to_the_first(tmp_path: Path) -> None:
    first = clip(tmp_path / "a.h264", scene(5), form="h264").read_bytes()
    second = clip(tmp_path / "b.h264", scene(3, 32, 32), form="h264").read_bytes()
    path = tmp_path / "in.h264"
    path.write_bytes(first + second)
    done = restore(path, tmp_path / "out.mp4")
    assert done.faults == ["3 frames of other sizes were brought to 64 x 48 px, the first's"]
    assert decoded(tmp_path / "out.mp4")[1].shape == (8, 48, 64, 3)


def test_a_truncated_clip_is_restored_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = clip(tmp_path / "whole.mkv", scene(100))
    path = tmp_path / "in.mkv"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    done = restore(path, tmp_path / "out.mkv")
    assert 20 < done.units < 80
    assert len(decoded(tmp_path / "out.mkv")[0]) == done.units
    assert f"breaks off after {done.units} frames" in done.faults[0]


def bad(root: Path, what: str) -> Path:
    path = root / f"{what}.mp4"
    if what == "no clip":
        path.write_text("hello " * 100)
    elif what == "empty":
        path.touch()
    elif what == "no header":
        whole = clip(root / "whole.mp4", scene(30)).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif what == "no frames":
        with av.open(str(path), "w", format="matroska") as container:
            track = container.add_stream("libx264", rate=25)
            track.width, track.height, track.pix_fmt = 64, 48, "yuv420p"
            container.start_encoding()
    elif what == "only sound":
        with av.open(str(path), "w") as container:
            audio = container.add_stream("aac", rate=16000)
            tone = av.AudioFrame.from_ndarray(np.zeros((1, 16000), dtype=np.int16), "s16", "mono")
            tone.sample_rate = 16000
            container.mux([*audio.encode(tone), *audio.encode(None)])
    return path


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no clip", "cannot be read as a clip"),
        ("empty", "cannot be read as a clip"),
        ("no header", "cannot be read as a clip"),
        ("no frames", "no frames in this file"),
        ("only sound", "no video in this file"),
        ("missing", "there is no such file or folder"),
    ],
)
def test_what_cannot_be_restored_is_named(tmp_path: Path, what: str, message: str) -> None:
    path = bad(tmp_path, what)
    with pytest.raises(VideoError, match=message) as caught:
        restore(path, tmp_path / "out.mp4")
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.mp4").exists()
    assert not work.place(tmp_path / "out.mp4").exists()


def test_an_output_that_is_there_is_kept_unless_asked(tmp_path: Path) -> None:
    path = clip(tmp_path / "in.mp4", scene(5))
    out = tmp_path / "out.mp4"
    out.write_text("mine")
    with pytest.raises(VideoError, match="this output is there already"):
        restore(path, out)
    assert out.read_text() == "mine"
    assert restore(path, out, overwrite=True).units == 5
    assert len(decoded(out)[0]) == 5
    with pytest.raises(VideoError, match="would lie in the input"):
        restore(path, tmp_path / "." / "in.mp4", overwrite=True)


def test_formats_that_cannot_hold_the_clip(tmp_path: Path) -> None:
    path = clip(tmp_path / "in.mkv", scene(5), sound="pcm_u8")
    with pytest.raises(VideoError, match=r"a clip is written as \.mp4, .*found \.avi"):
        restore(path, tmp_path / "out.avi")
    with pytest.raises(VideoError, match="sound of the kind pcm_u8 does not fit into mp4"):
        restore(path, tmp_path / "out.mp4")
    assert restore(path, tmp_path / "out.mkv").units == 5


def test_smoothing_has_bounds(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="smooth 1: expected 0"):
        restore(tmp_path, tmp_path / "out", smooth=1.0)
