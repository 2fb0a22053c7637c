"""Holes of any size in images of any size, and the command that fills them."""

from pathlib import Path

import numpy as np
import pictures
import pytest
from PIL import Image
from test_cli import call
from test_pix2pix import save

from afterimage.apply.inpainters import InpainterRow, windows
from afterimage.errors import HoleError
from afterimage.observations import masks
from afterimage.observations.masks import Box


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    (root / "params.yaml").write_text("inpainters: {mine: {dataset: photos, holes: two-boxes}}\n")
    save(root)
    return root


@pytest.fixture(scope="module")
def row(project: Path) -> InpainterRow:
    return InpainterRow(project, "mine")


def mask_of(size: tuple[int, int], *boxes: Box) -> np.ndarray:
    return masks.of_boxes(boxes, size[1], size[0], "mask")


@pytest.mark.parametrize(
    ("size", "boxes"),
    [
        ((32, 32), [Box(3, 4, 12, 13), Box(18, 18, 27, 27)]),
        ((200, 133), [Box(0, 0, 60, 50), Box(150, 100, 155, 104)]),
        ((9, 70), [Box(2, 30, 6, 40)]),
        ((5, 4), [Box(1, 1, 3, 3)]),
        ((300, 300), [Box(0, 0, 300, 150)]),
    ],
)
def test_any_size_comes_back_with_its_known_pixels(row, size, boxes):
    image, mask = pictures.noise(*size), mask_of(size, *boxes)
    found = row(image, mask)
    assert found.size == image.size
    before, after = np.asarray(image), np.asarray(found)
    np.testing.assert_array_equal(after[~mask], before[~mask])
    hidden = Image.fromarray(np.where(mask[..., None], 255 - before, before).astype(np.uint8))
    np.testing.assert_array_equal(np.asarray(row(hidden, mask)), after)


def test_a_hole_is_filled_from_around_it(row):
    """On a slope of colour even a large hole is filled to within a few levels."""
    slope = np.linspace(40, 200, 256).astype(np.uint8)[None, :, None].repeat(256, 0).repeat(3, 2)
    mask = mask_of((256, 256), Box(90, 90, 165, 165))
    found = np.asarray(row(Image.fromarray(slope), mask))
    assert np.abs(found.astype(int) - slope)[mask].mean() < 8


def test_windows_hold_all_holes_once():
    mask = mask_of((400, 300), Box(10, 10, 85, 85), Box(200, 150, 275, 225), Box(390, 290, 393, 294))
    found = list(windows(mask, 64))
    total = sum(holes.astype(int) for _, holes in found)
    np.testing.assert_array_equal(total, mask.astype(int))
    for window, holes in found:
        rows, columns = np.nonzero(holes)
        assert window.left <= columns.min() and columns.max() < window.right
        assert window.top <= rows.min() and rows.max() < window.bottom
    assert [window.right - window.left for window, _ in found] == [225, 225, 64]  # the speck has a window of its own


def test_holes_of_a_size_share_a_window():
    mask = mask_of((256, 256), Box(10, 10, 85, 85), Box(160, 150, 235, 225))
    ((window, holes),) = windows(mask, 256)
    assert window == Box(0, 0, 256, 256)
    np.testing.assert_array_equal(holes, mask)


def test_masks_have_to_fit(row):
    with pytest.raises(HoleError, match="the mask is 10 x 10 px, expected the image's 48 x 40 px"):
        row(pictures.noise(), np.eye(10, dtype=bool))
    with pytest.raises(HoleError, match="nothing is missing"):
        row(pictures.noise(), np.zeros((40, 48), bool))


def inpaint(project: Path, image: Path, *words: str | Path) -> tuple[int, str, str]:
    return call("inpaint", "mine", image, *words, "-o", image.parent / "out.png", "--project", project)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P"])
def test_the_command_keeps_size_transparency_and_grey(project, tmp_path, mode):
    image = pictures.noise(70, 50).convert("RGBA" if "A" in mode else "RGB")
    if "A" in mode:
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    image = image.convert(mode)
    image.save(tmp_path / "a.png")
    code, said, _ = inpaint(project, tmp_path / "a.png", "--box", "4,5,10,12", "--box", "40,20,9,9")
    assert code == 0, said
    assert "5.7% filled" in said
    with Image.open(tmp_path / "out.png") as found:
        assert found.size == image.size
        assert found.mode == ("RGB" if mode == "P" else mode)
        known = ~mask_of(image.size, Box(4, 5, 14, 17), Box(40, 20, 49, 29))
        np.testing.assert_array_equal(np.asarray(found)[known], np.asarray(image.convert(found.mode))[known])
        if "A" in mode:
            np.testing.assert_array_equal(np.asarray(found.getchannel("A")), np.asarray(image.getchannel("A")))


def test_the_command_takes_a_mask_of_either_polarity(project, tmp_path):
    pictures.noise(70, 50).save(tmp_path / "a.png")
    mask = mask_of((70, 50), Box(20, 20, 30, 31))
    outs = []
    for name, pixels in (("white.png", mask), ("black.png", ~mask)):
        Image.fromarray(pixels).save(tmp_path / name)
        assert inpaint(project, tmp_path / "a.png", "--mask", tmp_path / name)[0] == 0
        outs.append((tmp_path / "out.png").read_bytes())
    assert outs[0] == outs[1]


def test_bad_input_is_one_line(project, tmp_path):
    image = tmp_path / "a.png"
    pictures.noise(70, 50).save(image)
    Image.fromarray(np.eye(30, dtype=bool)).save(tmp_path / "small.png")
    Image.fromarray(np.full((50, 70), 40000, np.uint16)).save(tmp_path / "deep.png")
    (tmp_path / "text.png").write_text("no image")
    cases = [
        ((image,), "expected --mask or --box, one of them"),
        ((image, "--box", "1,2,3"), "box '1,2,3': expected x,y,w,h in whole px"),
        ((image, "--box", "60,2,20,3"), "the box 60,2 to 80,5 does not lie within the image's 70 x 50 px"),
        ((image, "--box", "0,0,70,50"), "everything is missing"),
        ((image, "--box", "1,1,0,4"), "does not lie within"),
        ((image, "--mask", tmp_path / "small.png"), "small.png: the mask is 30 x 30 px, expected the image's 70 x 50"),
        ((image, "--mask", tmp_path / "none.png"), "No such file"),
        ((image, "--mask", tmp_path / "text.png"), "text.png: not a mask that can be read"),
        ((tmp_path / "deep.png", "--box", "1,1,4,4"), "deep.png: has more than 8 bits a sample"),
        ((tmp_path / "text.png", "--box", "1,1,4,4"), "text.png: not an image"),
    ]
    for words, said in cases:
        code, _, error = inpaint(project, *words)
        assert code == 1
        assert said in error, error
        assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "out.png").exists()
    code, _, error = call("inpaint", "other", image, "--box", "1,1,4,4", "--project", project)
    assert (code, error) == (1, "afterimage: no row `other` in inpainters; there are mine")
