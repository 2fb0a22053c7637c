from pathlib import Path
from typing import Any

import numpy as np
import pictures
import pytest
from PIL import Image

from afterimage import video
from afterimage.core.errors import VideoError
from afterimage.core.images import Uint8
from afterimage.video import work


def negative(frames: Uint8) -> Uint8:
    return 255 - frames


def restore(path: Path, out: Path, restorer: video.Restore = negative, **options: Any) -> video.Outcome:
    overwrite, ending = options.pop("overwrite", False), options.pop("ending", "")
    return video.restore(path, out, restorer, {"row": "mine"}, video.Settings(**options), overwrite, ending)


def pixels(path: Path) -> Uint8:
    return np.asarray(Image.open(path).convert("RGB"))


def images(root: Path, count: int = 4) -> Path:
    (root / "deep").mkdir(parents=True)
    for number in range(count):
        (root / f"{number}.png").write_bytes(pictures.png(seed=number))
    (root / "deep/last.jpg").write_bytes(pictures.jpeg())
    (root / "notes.txt").write_text("none")
    return root


@pytest.mark.parametrize("name", ["out.png", "out.jpg", "out.webp"])
def test_an_image(tmp_path: Path, name: str) -> None:
    path = tmp_path / "picture"  # no extension: what it is shows in its first bytes
    path.write_bytes(pictures.png(61, 45))
    done = restore(path, tmp_path / name)
    assert (done.units, done.faults) == (1, [])
    expected = 255 - np.asarray(pictures.noise(61, 45)).astype(int)
    assert abs(pixels(tmp_path / name) - expected).mean() < (0.01 if name == "out.png" else 6)
    restore(path, tmp_path / name, side_by_side=True, overwrite=True)
    assert pixels(tmp_path / name).shape == (45, 122, 3)


def test_a_folder(tmp_path: Path) -> None:
    root = images(tmp_path / "in")
    (root / "broken.png").write_bytes(b"no image")
    done = restore(root, tmp_path / "out")
    assert done.units == 5
    assert done.faults == ["broken.png: not an image in a known format"]
    names = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
    assert names == ["0.png", "1.png", "2.png", "3.png", "deep/last.png"]
    assert np.array_equal(pixels(tmp_path / "out/2.png"), 255 - pixels(root / "2.png"))
    assert not work.place(tmp_path / "out").exists()


def test_an_interrupted_folder_goes_on(tmp_path: Path) -> None:
    root = images(tmp_path / "in")
    calls = 0

    def fails(frames: Uint8) -> Uint8:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return negative(frames)

    with pytest.raises(KeyboardInterrupt):
        restore(root, tmp_path / "out", fails)
    assert not (tmp_path / "out").exists()
    assert restore(root, tmp_path / "out", fails).units == 5
    assert calls == 6


def test_images_that_changed_meanwhile_begin_anew(tmp_path: Path) -> None:
    root = images(tmp_path / "in")

    def fails(frames: Uint8) -> Uint8:
        if np.array_equal(frames[0], pixels(root / "3.png")):
            raise KeyboardInterrupt
        return negative(frames)

    with pytest.raises(KeyboardInterrupt):
        restore(root, tmp_path / "out", fails)
    (root / "0.png").write_bytes(pictures.png(30, 30, 9))
    restore(root, tmp_path / "out")
    assert pixels(tmp_path / "out/0.png").shape == (30, 30, 3)


def test_a_folder_that_is_there_keeps_its_other_files(tmp_path: Path) -> None:
    root = images(tmp_path / "in")
    (tmp_path / "out/deep").mkdir(parents=True)
    (tmp_path / "out/mine.txt").write_text("mine")
    (tmp_path / "out/0.png").write_text("old")
    with pytest.raises(VideoError, match="this output is there already"):
        restore(root, tmp_path / "out")
    restore(root, tmp_path / "out", overwrite=True)
    assert (tmp_path / "out/mine.txt").read_text() == "mine"
    assert pixels(tmp_path / "out/0.png").shape == (40, 48, 3)
    restore(root, tmp_path / "out", ending="-mine")  # names that are not there yet
    assert np.array_equal(pixels(tmp_path / "out/deep/last-mine.png"), pixels(tmp_path / "out/deep/last.png"))


def test_a_folder_goes_into_the_one_that_it_lies_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images(tmp_path / "in")
    monkeypatch.chdir(tmp_path)

    def fails(frames: Uint8) -> Uint8:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(Path("in"), Path(), fails, ending="-mine")
    restore(Path("in"), Path(), ending="-mine")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *(f"{number}-mine.png" for number in range(4)),
        "deep",
        "in",
    ]


def test_faces_in_images(tmp_path: Path) -> None:
    root = images(tmp_path / "in")
    assert restore(root, tmp_path / "out", faces=True, no_face="keep").words == "no face found in 5 of 5: kept as it is"
    assert np.array_equal(pixels(tmp_path / "out/1.png"), pixels(root / "1.png"))
    with pytest.raises(VideoError, match=r"in/0\.png: no face found"):
        restore(root, tmp_path / "other", faces=True, no_face="stop")
    assert not work.place(tmp_path / "other").exists()


def test_what_cannot_be_restored_is_named(tmp_path: Path) -> None:
    root = images(tmp_path / "in")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(pictures.truncated())
    for path, out, options, message in (
        (tmp_path / "empty", "out", {}, "empty: no images in this folder"),
        (broken, "out.png", {}, "broken.jpg: damaged image"),
        (root / "0.png", "out.mp4", {}, r"out\.mp4: an image is written as \.bmp, .*found \.mp4"),
        (root, "in/out", {}, "the output would lie in the input"),
        (root / "0.png", "in", {"overwrite": True}, "in: a folder, expected the name of the other kind"),
        (root, "file", {"overwrite": True}, "file: a file, expected the name of the other kind"),
    ):
        with pytest.raises(VideoError, match=message) as caught:
            restore(path, tmp_path / out, **options)
        assert "\n" not in str(caught.value)
    (root / "0.jpg").write_bytes(pictures.jpeg())
    with pytest.raises(VideoError, match=r"0\.jpg and 0\.png: both would be 0\.png"):
        restore(root, tmp_path / "out")
