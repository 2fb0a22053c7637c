"""`afterimage restore`: clips beside images and folders."""

from pathlib import Path

import numpy as np
import pictures
import pytest
import toys
import yunet
from clips import clip, decoded, scene
from PIL import Image

from afterimage.video import work


class Interrupted(toys.Negative):
    """Is interrupted the third time that it is asked."""

    def __call__(self, given: object) -> object:  # type: ignore[override]
        if len(self.given) == 2:
            self.given.append(given)
            raise KeyboardInterrupt
        return super().__call__(given)


toys.OBSERVES[Interrupted] = "frames"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return toys.project(tmp_path / "project", monkeypatch, {"mine": toys.Negative(), "interrupted": Interrupted()})


def test_a_clip(project: Path) -> None:
    ask = toys.caller("restore", "mine", project)
    path = clip(Path("in.mkv"), scene(40))
    code, said, error = ask(path, "-o", "out.mkv", "--smooth", "0.5", "--side-by-side")
    assert code == 0
    assert said.startswith("in.mkv: 40 frames -> out.mkv; flicker ")
    assert decoded(Path("out.mkv"))[1].shape == (40, 48, 128, 3)
    code, _, error = ask(path, "-o", "out.mkv")
    assert (code, error) == (1, "afterimage: out.mkv: this output is there already; --overwrite replaces it\n")
    code, _, error = ask(path, "-o", "out.png")
    assert code == 1
    assert "a clip is written as .mp4" in error
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    code, said, error = ask(path, "-o", "out.mkv", "--faces", "--no-face", "keep", "--overwrite")
    assert code == 1
    assert "no face found in" in said
    assert "in.mkv: breaks off after" in error and error.endswith("not all of it could be read as it should be\n")


def test_clips_images_and_folders_in_one_go(project: Path) -> None:
    folder = pictures.folder(Path("photos"), {"a.png": pictures.png(), "deep/b.jpg": pictures.jpeg()})
    (folder / "broken.png").write_bytes(b"text")
    pictures.folder(Path(), {"c.png": pictures.png(61, 45)})
    clips = [clip(Path(f"{name}"), scene(5), form="matroska") for name in ("d.mkv", "e.avi")]
    ask = toys.caller("restore", "mine", project)
    code, said, error = ask(folder, "c.png", *clips, "-o", "out")
    assert code == 1
    assert "photos: broken.png: not an image in a known format" in error
    assert sorted(said.splitlines()) == [
        "c.png: 1 image -> out/c-mine.png",
        *(line for line in said.splitlines() if line.startswith(("d.mkv: 5 frames -> out/d-mine.mkv", "e.avi"))),
        "photos: 2 images -> out",
    ]
    names = sorted(path.relative_to("out").as_posix() for path in Path("out").rglob("*.*"))
    assert names == ["a-mine.png", "c-mine.png", "d-mine.mkv", "deep/b-mine.png", "e-mine.mkv"]
    found = np.asarray(Image.open("out/a-mine.png"))
    assert np.array_equal(found, 255 - np.asarray(Image.open(folder / "a.png")))


def test_an_interrupted_folder_goes_on(project: Path) -> None:
    files = {f"{number}.png": pictures.png(seed=number) for number in range(5)}
    folder = pictures.folder(Path("photos"), files)
    ask = toys.caller("restore", "interrupted", project)
    code, _, error = ask(folder, "-o", "out")
    assert (code, error.splitlines()[-1]) == (1, "afterimage: interrupted; the same command goes on")
    assert len(list(work.place(Path("out")).rglob("*.png"))) == 2
    code, said, _ = ask(folder, "-o", "out")
    assert (code, said) == (0, "photos: 5 images -> out\n")
    assert len(list(Path("out").iterdir())) == 5


def test_faces_are_asked_for_in_each_input(project: Path) -> None:
    pictures.folder(Path(), {"a.png": pictures.png(), "b.png": pictures.png(seed=1)})
    ask = toys.caller("restore", "mine", project)
    code, said, error = ask("a.png", "b.png", "--faces", "--no-face", "stop", "-o", "out")
    assert (code, said) == (1, "")
    for name in ("a.png", "b.png"):
        assert f"afterimage: {name}: no face found" in error
    code, said, _ = ask("a.png", "--faces", "--no-face", "keep")
    assert (code, said) == (0, "a.png: 1 image -> a-mine.png; no face found in 1 of 1: kept as it is\n")


def test_faces_are_found_by_a_file(project: Path) -> None:
    frame = np.full((160, 240, 3), 60, dtype=np.uint8)
    frame[80:88, 104:112] = (255, 0, 0)
    Image.fromarray(frame).save("a.png")
    detector = str(yunet.write(Path("yunet.onnx")))
    ask = toys.caller("restore", "mine", project)
    code, _, error = ask("a.png", "--face-detector", detector, "--no-face", "stop", "-o", "out.png")
    assert (code, error) == (0, "")
    changed = (np.asarray(Image.open("out.png")) != frame).any(-1)
    assert changed[84, 90:126].all() and not changed[:20].any()
    Path("other.onnx").write_bytes(b"nothing")
    code, _, error = ask("a.png", "--face-detector", "other.onnx", "-o", "other.png")
    assert code == 1 and "other.onnx: OpenCV cannot detect faces with this file; expected YuNet as ONNX" in error


def test_enlarging_is_for_images(project: Path) -> None:
    pictures.folder(Path(), {"a.png": pictures.png(61, 45)})
    ask = toys.caller("restore", "mine", project)
    code, _, error = ask("a.png", "--enlarge")
    assert (code, error) == (1, "afterimage: mine: this row does not enlarge; rows with `factor: 2` or 4 do\n")
    code, _, error = ask(clip(Path("in.mkv"), scene(5)), "--enlarge")
    assert (code, error) == (1, "afterimage: in.mkv: no image; --enlarge is for images\n")
    code, _, error = ask("a.png", "--enlarge", "--faces")
    assert code == 1 and "--enlarge is for whole images, without --faces" in error


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--brightness", "dark", "'dark'; expected keep, auto or an amount from 0 to 2"),
        ("--brightness", "3", "'3'; expected keep, auto or an amount from 0 to 2"),
        ("--brightness", "nan", "'nan'; expected keep, auto or an amount from 0 to 2"),
        ("--brightness", "keep", "mine: this row does not set the light of frames apart; `tone: true` rows do"),
        ("--strength", "1.5", "1.5 is not in the range 0<=x<=1"),
        ("--strength", "0.5", "mine: rows of its kind have no strength to set"),
    ],
)
def test_amounts_that_are_not(project: Path, option: str, value: str, expected: str) -> None:
    pictures.folder(Path(), {"a.png": pictures.png()})
    code, _, error = toys.caller("restore", "mine", project)("a.png", option, value)
    assert code != 0
    assert expected in error
    assert not list(Path().glob("a-*"))
