"""`afterimage restore --stream`: a camera on the network, and the words around it."""

import os
import signal
from pathlib import Path

import pytest
import toys
from clips import decoded
from video import cameras

from afterimage.video import live


class Ending(toys.Negative):
    """Gets this signal the third time that it is asked."""

    def __init__(self, number: signal.Signals):
        super().__init__()
        self.number = number

    def __call__(self, given: object) -> object:  # type: ignore[override]
        if len(self.given) == 2:
            os.kill(os.getpid(), self.number)
        return super().__call__(given)


toys.OBSERVES[Ending] = "frames"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(live, "TIMEOUT", 1.5)
    monkeypatch.setattr(live, "PAUSES", (0.1,))
    rows = {"mine": toys.Negative(), "int": Ending(signal.SIGINT), "term": Ending(signal.SIGTERM)}
    return toys.project(tmp_path / "project", monkeypatch, rows)


def test_so_many_frames(project: Path) -> None:
    ask = toys.caller("restore", "mine", project)
    with cameras.camera(cameras.Rtsp, [1000]) as camera:
        address = f"rtsp://me:secret@127.0.0.1:{camera.port}/live"
        code, said, error = ask("--stream", address, "-o", "out.mp4", "--frames", "7")
        assert code == 0, error
        assert said.startswith(f"rtsp://me:***@127.0.0.1:{camera.port}/live: 7 frames -> out.mp4; flicker ")
        assert "secret" not in said + error
    assert len(decoded(Path("out.mp4"))[0]) == 7
    code, _, error = ask("--stream", address, "-o", "out.mp4")
    assert (code, error) == (1, "afterimage: out.mp4: this output is there already; --overwrite replaces it\n")


@pytest.mark.parametrize("name", ["int", "term"])
def test_a_signal_ends_the_clip_well(project: Path, name: str) -> None:
    before = signal.getsignal(signal.SIGINT)
    with cameras.camera(cameras.Http, [1000], pause=0.03) as camera:
        ask = toys.caller("restore", name, project)
        code, said, error = ask("--stream", f"http://127.0.0.1:{camera.port}/", "-o", "out.mp4")
    assert code == 0, error
    count = len(decoded(Path("out.mp4"))[0])
    assert count >= 8
    assert f": {count} frames -> out.mp4; flicker " in said
    assert signal.getsignal(signal.SIGINT) is before


def test_what_breaks_off_is_kept_and_said(project: Path) -> None:
    with cameras.camera(cameras.Http, [6]) as camera:
        address = f"http://me:secret@127.0.0.1:{camera.port}/"
        code, said, error = toys.caller("restore", "mine", project)("--stream", address, "-o", "out.mkv", "-q")
    name = f"http://me:***@127.0.0.1:{camera.port}/"
    assert (code, said) == (1, "")
    lines = error.splitlines()
    assert lines[0].startswith(f"afterimage: {name}: ") and lines[0].endswith("; attempt 1 of 1 in 0.1 s")
    assert lines[1:] == [f"afterimage: {name}: nothing came for 1.5 s; gave up after 1 attempts"]
    assert len(decoded(Path("out.mkv"))[0]) == 6


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["rtsp://me:secret@host/a"], "rtsp:/me:***@host/a: an address; --stream ADDRESS reads a camera"),
        (["http://host/a.mp4?key=secret"], "http:/host/a.mp4?***: an address; --stream ADDRESS reads a camera"),
        (["a.mp4", "--stream", "rtsp://host/a"], "expected INPUTs, or --stream with an address"),
        ([], "expected INPUTs, or --stream with an address"),
        (["--stream", "rtsp://host/a"], "--stream needs --out, the file to write"),
        (["a.mp4", "--frames", "3"], "--frames goes with --stream"),
        (
            ["--stream", "rtsp://host/a", "-o", "out.avi"],
            "out.avi: a clip is written as .mp4, .m4v, .mov, .mkv, found .avi",
        ),
        (
            ["--stream", "https://u:secret@host/", "-o", "a.mp4"],
            "https://u:***@host/: a stream begins with rtsp:// or http://",
        ),
    ],
)
def test_words_that_do_not_go_together(project: Path, words: list[str], expected: str) -> None:
    code, said, error = toys.caller("restore", "mine", project)(*words)
    assert (code, said, error) == (1, "", f"afterimage: {expected}\n")
