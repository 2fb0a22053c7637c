"""Cameras on the network: what comes, what breaks off, and what is never printed."""

import socket
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import decoded
from video import cameras

from afterimage import video
from afterimage.core.errors import VideoError
from afterimage.core.images import Uint8
from afterimage.video import live


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "TIMEOUT", 1.5)
    monkeypatch.setattr(live, "PAUSES", (0.1, 0.2))


def negative(frames: Uint8) -> Uint8:
    return 255 - frames


class Restoring:
    """What became of a camera."""

    def __init__(self, address: str, out: Path, restorer: video.Restore = negative, **options: Any):
        self.said: list[str] = []
        self.feed = live.Feed(address, self.said.append)
        self.done = video.stream(self.feed, out, restorer, video.Settings(smooth=0), **options)


@pytest.mark.parametrize(("handler", "scheme"), [(cameras.Http, "http"), (cameras.Rtsp, "rtsp")])
def test_a_camera_is_restored_up_to_so_many_frames(tmp_path: Path, handler: Any, scheme: str) -> None:
    with cameras.camera(handler, [1000], pause=0.03) as camera:
        found = Restoring(f"{scheme}://me:secret@127.0.0.1:{camera.port}/live", tmp_path / "out.mp4", count=12)
    assert (found.done.units, found.done.faults, found.said) == (12, [], [])
    when, frames = decoded(tmp_path / "out.mp4")
    assert frames.shape == (12, 48, 64, 3)
    assert np.all(np.diff(when) > 0)
    assert when[-1] - when[0] > 0.2  # as they came, not at once
    corner = np.asarray(cameras.pictures.noise(64, 48))[30:]
    assert abs(frames[0, 30:].astype(int) - (255 - corner)).mean() < 12
    assert camera.asked


@pytest.mark.parametrize("form", [".mkv", ".mov"])
def test_other_formats(tmp_path: Path, form: str) -> None:
    with cameras.camera(cameras.Http, [1000], size=(48, 40)) as camera:
        Restoring(f"http://127.0.0.1:{camera.port}/", tmp_path / f"out{form}", count=5)
    assert decoded(tmp_path / f"out{form}")[1].shape == (5, 40, 48, 3)


@pytest.mark.parametrize(("handler", "scheme"), [(cameras.Http, "http"), (cameras.Rtsp, "rtsp")])
def test_a_camera_that_breaks_off_and_comes_back(tmp_path: Path, handler: Any, scheme: str) -> None:
    with cameras.camera(handler, [6, 1000]) as camera:
        found = Restoring(f"{scheme}://me:secret@127.0.0.1:{camera.port}/live", tmp_path / "out.mp4", count=14)
    assert found.done.units == 14
    assert len(decoded(tmp_path / "out.mp4")[0]) == 14
    (line,) = found.said
    assert line.startswith(f"{scheme}://me:***@127.0.0.1:{camera.port}/live: ")
    assert line.endswith("; attempt 1 of 2 in 0.1 s")
    assert "secret" not in line


def test_a_camera_that_is_gone_leaves_a_clip_and_a_fault(tmp_path: Path) -> None:
    with cameras.camera(cameras.Http, [8]) as camera:  # then it takes connections and says nothing
        found = Restoring(f"http://127.0.0.1:{camera.port}/", tmp_path / "out.mp4")
    assert found.done.units == len(decoded(tmp_path / "out.mp4")[0]) == 8
    assert len(found.said) == 2
    assert found.done.faults == ["nothing came for 1.5 s; gave up after 2 attempts"]


def test_a_camera_that_never_answers_is_one_line(tmp_path: Path) -> None:
    for handler, scheme in ((cameras.Http, "http"), (cameras.Rtsp, "rtsp")):
        with (
            cameras.camera(handler, []) as camera,
            pytest.raises(VideoError, match=r"^\w+://me:\*\*\*@127.*: nothing came for 1.5 s$"),
        ):
            Restoring(f"{scheme}://me:secret@127.0.0.1:{camera.port}/", tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == []


def test_nobody_there_and_no_camera(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(VideoError, match=rf"^http://127.0.0.1:{port}/: Connection refused$"):
        Restoring(f"http://127.0.0.1:{port}/", tmp_path / "out.mp4")
    for other in ("https://camera/", "file:///etc/passwd", "rtsp:/camera", "camera"):
        with pytest.raises(VideoError, match=r"a stream begins with rtsp:// or http://$"):
            live.Feed(other, print)


def test_frames_that_are_not_taken_in_time_are_dropped_and_counted(tmp_path: Path) -> None:
    most = 0

    def slow(frames: Uint8) -> Uint8:
        nonlocal most
        time.sleep(0.3)
        most = max(most, len(found._held))
        return frames

    with cameras.camera(cameras.Http, [1000], pause=0.002) as camera:
        found = live.Feed(f"http://127.0.0.1:{camera.port}/", print)
        done = video.stream(found, tmp_path / "out.mp4", slow, video.Settings(), 40)
    assert done.units == 40
    assert found.dropped > 0
    assert most <= live.HELD
    assert done.words.endswith(f"; {found.dropped} frames dropped: the camera is faster")
    when, _ = decoded(tmp_path / "out.mp4")
    assert np.all(np.diff(when) > 0)


def test_it_can_be_stopped_at_any_time(tmp_path: Path) -> None:
    with cameras.camera(cameras.Http, [1000]) as camera:
        feed = live.Feed(f"http://127.0.0.1:{camera.port}/", print)

        def stopping(frames: Uint8) -> Uint8:
            threading.Timer(0.2, feed.stop).start()
            return frames

        done = video.stream(feed, tmp_path / "out.mp4", stopping, video.Settings())
    assert done.units == len(decoded(tmp_path / "out.mp4")[0]) > 0
    assert done.faults == []


def test_a_fault_of_the_restorer_ends_it(tmp_path: Path) -> None:
    def fails(frames: Uint8) -> Uint8:
        raise VideoError("enough")

    with (
        cameras.camera(cameras.Http, [1000]) as camera,
        pytest.raises(VideoError, match=r"^http://.*: at 0.000 s: enough$"),
    ):
        Restoring(f"http://127.0.0.1:{camera.port}/", tmp_path / "out.mp4", fails)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("address", "printed"),
    [
        ("rtsp://host:554/a", "rtsp://host:554/a"),
        ("rtsp://me@host/a", "rtsp://me@host/a"),
        ("rtsp://me:se:cr@et@host/a", "rtsp://me:***@host/a"),
        ("rtsp://me:se/cret@host/a", "rtsp://me:***@host/a"),
        ("rtsp:/me:secret@host/a", "rtsp:/me:***@host/a"),
        ("http://host/a.cgi?user=me&pwd=secret", "http://host/a.cgi?***"),
        ("http://me:sec?ret@host/a", "http://me:***@host/a"),
    ],
)
def test_what_is_printed_of_an_address(address: str, printed: str) -> None:
    assert live.shown(address) == printed
