"""Clips that visitors send, and clips that they get."""

from pathlib import Path

import numpy as np
import pictures
import pytest
from visits import movie

from afterimage.app import clips, safety
from afterimage.core.errors import VideoError


def test_a_clip_comes_back_at_its_times() -> None:
    frames = np.stack([np.asarray(pictures.noise(49, 41, seed)) for seed in range(5)])
    times = [0, 40, 100, 400, 440]
    clip = clips.read("../my clip.mkv", movie(frames, times=times, form="matroska"))
    assert (clip.name, clip.note, clip.frames.shape) == ("my clip", "", (5, 41, 49, 3))
    again = clips.read("out.mp4", clips.encode(clip, clip.frames))
    assert again.frames.shape == (5, 42, 50, 3)  # H.264 takes even sides
    assert np.abs(again.frames[:, :41, :49].astype(int) - frames.astype(int)).mean() < 8
    seconds = [float((time - again.times[0]) * again.source.time_base) for time in again.times]
    assert seconds == pytest.approx([time / 1000 for time in times], abs=1e-3)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the file is empty"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "not a clip in a known format"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "not a clip in a known format"),
        (b"\0\0\0\x18ftypmp42" + bytes(100), "cannot be read as a clip"),
        (b"\x1aE\xdf\xa3#EXTM3U\n", "cannot be read as a clip"),
        (movie(np.zeros((2, 30, 40, 3), np.uint8)), "40 x 30 px; expected at least 32 px a side"),
    ],
)
def test_a_bad_clip_is_one_sentence(data: bytes, words: str) -> None:
    with pytest.raises(VideoError, match=rf"^a\.mp4: .*{words}.*\.$") as caught:
        clips.read("x/a.mp4", data)
    assert "\n" not in str(caught.value)


def test_a_damaged_clip_is_read_as_far_as_it_goes() -> None:
    frames = np.stack([np.asarray(pictures.noise(64, 48, seed)) for seed in range(40)])
    data = movie(frames, form="matroska")
    clip = clips.read("cut.mkv", data[: len(data) // 2])
    assert 0 < len(clip.frames) < 40
    assert clip.note.startswith("cut.mkv: breaks off after ")


def test_no_other_file_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A playlist that calls itself a clip names a real one; no reader is to follow it."""
    (tmp_path / "real.mp4").write_bytes(movie(np.zeros((3, 40, 40, 3), np.uint8)))
    listed = f"ffconcat version 1.0\nfile '{tmp_path / 'real.mp4'}'\n".encode()
    for form in ("mp4", "matroska", "concat"):
        monkeypatch.setattr(clips, "_format", lambda shown, data, form=form: form)
        with pytest.raises(VideoError, match=r"cannot be read as a clip"):
            clips.read("a.mp4", listed)


def test_long_and_large_clips_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = movie(np.zeros((12, 32, 32, 3), np.uint8), rate=10)
    assert len(clips.read("a.mp4", data).frames) == 12
    monkeypatch.setattr(clips, "MAX_SECONDS", 1)
    with pytest.raises(VideoError, match=r"^a\.mp4: longer than the 1\.0 s allowed at 32 x 32 px; cut it shorter\.$"):
        clips.read("a.mp4", data)
    with pytest.raises(VideoError, match=r"longer than the 1\.0 s allowed"):  # few frames, far apart
        clips.read("a.mp4", movie(np.zeros((3, 32, 32, 3), np.uint8), times=[0, 900, 1100]))
    monkeypatch.setattr(clips, "MAX_SECONDS", 10)
    monkeypatch.setattr(clips, "MAX_PIXELS", 5 * 32 * 32)
    with pytest.raises(VideoError, match=r"longer than the 0\.5 s allowed"):
        clips.read("a.mp4", data)
    monkeypatch.setattr(safety, "MAX_MEGABYTES", 0)
    with pytest.raises(VideoError, match=r"MB are more than the 0 MB allowed\.$"):
        clips.read("a.mp4", data)
