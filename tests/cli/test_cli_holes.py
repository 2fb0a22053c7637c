"""`afterimage inpaint` and `afterimage complete`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pictures
import pytest
import toys
from PIL import Image
from toys import call

from afterimage.observations.holes import masks
from afterimage.observations.holes.masks import Box

Ask = Callable[..., tuple[int, str, str]]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return toys.project(tmp_path / "project", monkeypatch, {"mine": toys.Smooth(), "drawing": toys.Drawing()})


@pytest.fixture
def inpaint(project: Path) -> Ask:
    return toys.caller("inpaint", "mine", project)


@pytest.fixture
def complete(project: Path) -> Ask:
    return toys.caller("complete", "drawing", project)


def mask_of(*boxes: Box) -> np.ndarray:
    return masks.of_boxes(boxes, 50, 70, "mask")


@pytest.fixture
def image() -> Path:
    """In this folder, 70 x 50 px."""
    pictures.noise(70, 50).save("a.png")
    return Path("a.png")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """An occluded image and its original, as the exercise lays them out."""
    for name in ("occluded_images", "original_images"):
        (tmp_path / name).mkdir()
    original = np.maximum(np.asarray(pictures.noise(60, 50)), 60)
    Image.fromarray(original).save(tmp_path / "original_images/bed_1.png")
    occluded = original.copy()
    occluded[10:30, 20:40] = 0
    Image.fromarray(occluded).save(tmp_path / "occluded_images/occluded_bed_1.png")
    return tmp_path


@pytest.mark.parametrize("mode", ["RGBA", "L"])
def test_boxes_are_filled_and_the_rest_stays(inpaint: Ask, project: Path, mode: str) -> None:
    picture = pictures.noise(70, 50).convert(mode)
    if "A" in mode:
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    picture.save("a.png")
    code, said, error = inpaint("a.png", "--box", "4,5,10,12", "--box", "40,20,9,9", "-o", "out.png")
    assert (code, said, error) == (0, "a.png: 5.7% filled -> out.png\n", "")
    with Image.open("out.png") as found:
        assert (found.size, found.mode) == ((70, 50), mode)
        known = ~mask_of(Box(4, 5, 14, 17), Box(40, 20, 49, 29))
        np.testing.assert_array_equal(np.asarray(found)[known], np.asarray(picture)[known])
        assert not np.array_equal(np.asarray(found), np.asarray(picture))
    code, _, error = inpaint("a.png", "--box", "4,5,10,12", "-o", "out.jpg")
    assert (code, "JPEG holds no transparency" in error) == ((1, True) if "A" in mode else (0, False))


def test_a_mask_of_either_polarity(inpaint: Ask, image: Path) -> None:
    mask = mask_of(Box(20, 20, 30, 31))
    outs = []
    for name, pixels, missing in (("w.png", mask, "auto"), ("b.png", ~mask, "auto"), ("b.png", ~mask, "black")):
        Image.fromarray(pixels).save(name)
        assert inpaint(image, "--mask", name, "--missing", missing, "-o", "out.png", "--overwrite")[0] == 0
        outs.append(Path("out.png").read_bytes())
    assert outs[0] == outs[1] == outs[2]


@pytest.mark.parametrize("name", ["inpaint", "complete"])
def test_masks_and_originals_of_a_folder_go_by_name(project: Path, name: str) -> None:
    images = {"a.png": pictures.png(70, 50), "deep/b.jpg": pictures.jpeg(70, 50, 1)}
    folder = pictures.folder(Path("images"), images)
    parts = {"a": mask_of(Box(20, 20, 30, 31)), "deep/b": mask_of(Box(0, 0, 35, 10))}
    files = {f"{part}.png": pictures.encoded(Image.fromarray(mask)) for part, mask in parts.items()}
    pictures.folder(Path("masks"), files)
    words = ("--mask", "masks", "--original", "images", "--samples", "1", "-o", "out", "--project", project)
    words = words if name == "complete" else tuple(word for word in words if word not in ("--samples", "1"))
    code, said, error = call(name, "drawing", folder, *words)
    assert (code, error) == (0, "")
    first, second = said.splitlines()
    assert "images/a.png: 3.1%" in first and "hole RMSE 0." in first and first.endswith(" to images/a.png")
    assert "images/deep/b.jpg: 10.0%" in second and second.endswith(" to images/deep/b.jpg")
    Path("masks/a.bmp").write_bytes(Path("masks/a.png").read_bytes())
    Path("masks/deep/b.png").unlink()
    code, said, error = call(name, "drawing", folder, *words, "--overwrite")
    assert (code, said) == (1, "")
    assert error.splitlines() == [
        "afterimage: images/a.png: expected one mask a.* in masks, found a.bmp and a.png",
        "afterimage: images/deep/b.jpg: expected one mask b.* in masks/deep, found none",
        "afterimage: 2 of 2 inputs failed",
    ]


@pytest.mark.parametrize(("name", "what"), [("inpaint", "filled"), ("complete", "completed 2 times")])
def test_what_is_missing_is_found(project: Path, pairs: Path, name: str, what: str) -> None:
    occluded = Path("occluded_images/occluded_bed_1.png")
    ask = toys.caller(name, "drawing", project)
    code, said, error = ask(occluded, "-o", "first.png")
    assert (code, error) == (0, "")
    assert said.startswith(f"{occluded}: 13.3% {what} -> first.png; hole RMSE 0.")
    assert said.endswith(" to original_images/bed_1.png\n")
    Path("alone.png").write_bytes(occluded.read_bytes())
    code, said, _ = ask("alone.png", "-o", "second.png")
    assert (code, said) == (0, f"alone.png: 13.3% {what} -> second.png\n")
    assert Path("first.png").read_bytes() == Path("second.png").read_bytes()
    mask = np.zeros((50, 60), bool)
    mask[3:6, 3:6] = True
    Image.fromarray(mask).save("mask.png")
    code, said, _ = ask(occluded, "--mask", "mask.png", "-o", "third.png")
    assert code == 0 and f"0.3% {what}" in said and "RMSE" not in said


def test_complete_writes_mean_samples_and_spread(complete: Ask, image: Path, tmp_path: Path) -> None:
    box = ("--box", "4,5,10,12")
    code, said, _ = complete(image, *box, "--samples", "3", "--temperature", "0.5", "--seed", "7", "-o", "out/x.webp")
    assert (code, said) == (0, "a.png: 3.4% completed 3 times -> out/x.webp\n")
    names = ["x-1.webp", "x-2.webp", "x-3.webp", "x-spread.webp", "x.webp"]
    assert sorted(path.name for path in Path("out").iterdir()) == names
    assert complete(image, *box, "--samples", "1")[1].startswith("a.png: 3.4% completed 1 time -> a-drawing.png")
    spread = np.asarray(Image.open("a-drawing-spread.png"))
    assert spread.shape == (50, 70, 3) and spread.max() < 5
    assert complete(image, *box, "-o", "two.png")[0] == 0
    np.testing.assert_array_equal(np.asarray(Image.open("two-1.png")), np.asarray(Image.open("a-drawing-1.png")))
    assert np.asarray(Image.open("two-spread.png")).max() > 100
    Path("b-1.png").write_text("mine")
    code, _, error = complete(image, *box, "-o", "b.png")
    assert (code, error) == (1, "afterimage: a.png: b-1.png: this output is there already; --overwrite replaces it\n")
    assert not Path("b.png").exists()


def test_a_row_that_draws_nothing_is_told(project: Path, image: Path) -> None:
    Path("b.png").write_bytes(image.read_bytes())
    code, said, error = call("complete", "mine", "a.png", "b.png", "--box", "4,5,10,12", "--project", project)
    text = "row `mine` draws no samples, it has one answer; `afterimage inpaint mine` gives it"
    assert (code, said, error) == (1, "", f"afterimage: {text}\n")


def test_bad_input_is_one_line(inpaint: Ask, image: Path) -> None:
    Image.fromarray(np.eye(30, dtype=bool)).save("small.png")
    Image.fromarray(np.full((50, 70), 40000, np.uint16)).save("deep.png")
    Path("text.png").write_text("no image")
    cases = [
        ((image, "--box", "1,1,4,4", "--mask", "small.png"), "--box and --mask both tell what is missing"),
        ((image,), "a.png: no black square found; give its mask or its original"),
        ((image, "--box", "1,2,3"), "box '1,2,3': expected x,y,w,h in whole px"),
        ((image, "--box", "60,2,20,3"), "the box 60,2 to 80,5 does not lie within the image's 70 x 50 px"),
        ((image, "--box", "0,0,70,50"), "everything is missing"),
        ((image, "--box", "1,1,0,4"), "does not lie within"),
        ((image, "--mask", "small.png"), "small.png: the mask is 30 x 30 px, expected the image's 70 x 50"),
        ((image, "--mask", "none.png"), "none.png: No such file"),
        ((image, "--mask", "text.png"), "text.png: not a mask that can be read"),
        ((image, "--original", "small.png"), "the image has 70 x 50 px and its original 30 x 30 px; expected one size"),
        (("deep.png", "--box", "1,1,4,4"), "deep.png: has more than 8 bits a sample"),
        (("text.png", "--box", "1,1,4,4"), "text.png: not an image"),
    ]
    for words, said in cases:
        code, _, error = inpaint(*words, "-o", "out.png")
        assert code == 1
        assert said in error, error
        assert error.count("\n") == 1
    assert not Path("out.png").exists()


def test_occluded_images_without_an_original(inpaint: Ask, pairs: Path) -> None:
    occluded = Path("occluded_images/occluded_bed_1.png")
    lone = Path("occluded_images/occluded_bed_2.png")
    lone.write_bytes(occluded.read_bytes())
    code, said, error = inpaint(lone, occluded, "-o", "out")
    assert code == 1
    assert "occluded_bed_2.png: expected one original bed_2.* in" in error
    assert "13.3% filled" in said
