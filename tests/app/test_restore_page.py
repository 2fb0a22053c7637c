"""The page Restore: photographs and clips."""

from pathlib import Path

import numpy as np
import pictures
import pytest
import standins
from visits import movie, numbers, page, said, upload, watched

from afterimage.app import clips
from afterimage.observations.frames import CARE


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return standins.project(tmp_path, monkeypatch)


def test_a_good_picture_is_degraded_and_restored(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with watched(monkeypatch, "restored") as shown:
        test = page("Restore", monkeypatch, root)
        assert not test.exception
        assert list(shown) == ["given", "dark", "Exposure + non-local means"]
        assert CARE in said(test.caption)
        assert (np.asarray(shown["dark"]) == 255 - np.asarray(shown["given"])).all()
        degraded = numbers(test)
        assert set(degraded) == {"PSNR", "SSIM", "Time"}
        test.slider(key="strength").set_value(0.0).run()
        assert (np.asarray(shown["dark"]) == np.asarray(shown["given"])).all()
        test.slider(key="strength").set_value(1.0).run()
        test.slider(key="noise").set_value(0.1).run()
        assert numbers(test)["PSNR"] != degraded["PSNR"]
    upload(test, "bad.png", pictures.png(64, 48))
    assert set(numbers(test)) == {"Time"}  # what a visitor sends is taken for bad, and nothing to measure against


def test_a_clip_is_restored(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = movie(np.stack([np.asarray(pictures.noise(50, 40, seed)) for seed in range(10)]))
    test = page("Restore", monkeypatch, root)
    test.segmented_control(key="kind").set_value("Clip").run()
    test.file_uploader(key="clip").set_value(("clip.mp4", data, "video/mp4")).run()
    test.button(key="clip-go").click().run()
    assert not test.exception
    kept = test.session_state["kept"].values
    clip, made = kept["clip", "read"], kept["clip", ("made", "dark")]
    assert clip.frames.shape == (10, 40, 50, 3)
    restored = clips.read("out.mp4", made[1])
    assert (restored.frames.shape, restored.source.rate) == (clip.frames.shape, 25)
    assert np.abs(restored.frames.astype(int) - (255 - clip.frames.astype(int))).mean() < 8
    test.file_uploader(key="clip").set_value(("no.mp4", b"hello", "video/mp4")).run()
    assert said(test.error) == ["no.mp4: not a clip in a known format; expected MP4, MOV or WebM."]
    cut = data[: len(data) * 2 // 3]
    test.file_uploader(key="clip").set_value(("cut.mp4", cut, "video/mp4")).run()
    assert said(test.error)[0].startswith("cut.mp4: cannot be read as a clip")
    assert not test.exception
