"""Mask files of either polarity, tables of boxes, and what is refused in one line."""

import re
from pathlib import Path

import numpy as np
import pytest
from pictures import encoded
from PIL import Image

from afterimage.core.errors import HoleError
from afterimage.observations.holes import masks
from afterimage.observations.holes.masks import Box, Listed


def hole() -> np.ndarray:
    mask = np.zeros((40, 60), dtype=bool)
    mask[10:20, 15:40] = True
    return mask


def picture(mask: np.ndarray, missing: int = 255, **options: object) -> bytes:
    return encoded(Image.fromarray(np.where(mask, missing, 255 - missing).astype(np.uint8)), **options)


@pytest.mark.parametrize("missing", [255, 0])
@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP"])
def test_either_polarity_is_recognised(missing, form):
    found = masks.read(picture(hole(), missing, form=form), "mask")
    assert (found != hole()).mean() < 0.01  # JPEG moves an edge by a pixel
    assert found.dtype == bool


def test_what_is_said_counts_more_than_what_is_seen():
    np.testing.assert_array_equal(masks.read(picture(hole()), "mask", "black"), ~hole())
    np.testing.assert_array_equal(masks.read(picture(hole(), 0), "mask", "black"), hole())


def test_transparent_is_missing():
    rgba = np.full((*hole().shape, 4), 200, np.uint8)
    rgba[..., 3] = np.where(hole(), 0, 255)
    np.testing.assert_array_equal(masks.read(encoded(Image.fromarray(rgba)), "mask"), hole())


def test_sixteen_bits_and_one_bit_are_masks_too():
    for image in (Image.fromarray(hole()), Image.fromarray(hole().astype(np.uint16) * 65535)):
        np.testing.assert_array_equal(masks.read(encoded(image), "mask"), hole())


def test_a_doubtful_polarity_is_an_error():
    half, wide = np.zeros((40, 40), bool), np.zeros((40, 40), bool)
    half[:20] = True
    wide[4:36, 4:36] = True  # most is missing, or a frame is
    for mask in (half, wide, ~wide):
        with pytest.raises(HoleError, match=r"m\.png: whether white or black is missing is in doubt .*say which"):
            masks.read(picture(mask), "m.png")
        np.testing.assert_array_equal(masks.read(picture(mask), "m.png", "white"), mask)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"no image", "not a mask that can be read"),
        (picture(np.ones((8, 8), bool)), "all of the mask is white; expected black and white"),
        (picture(np.zeros((8, 8), bool)), "all of the mask is black"),
        (encoded(Image.linear_gradient("L")), "50% of this one is neither"),
        (encoded(Image.new("RGB", (8, 8), "red")), "this one has colours"),
    ],
)
def test_what_is_no_mask(data, said):
    with pytest.raises(HoleError, match=f"^m.png: .*{re.escape(said)}"):
        masks.read(data, "m.png")


def test_a_mask_has_to_fit_and_to_leave_something():
    assert masks.check(hole(), 40, 60, "a") is not None
    with pytest.raises(HoleError, match="a: the mask is 60 x 40 px, expected the image's 50 x 30 px"):
        masks.check(hole(), 30, 50, "a")
    with pytest.raises(HoleError, match="a: nothing is missing"):
        masks.check(np.zeros((4, 4), bool), 4, 4, "a")
    with pytest.raises(HoleError, match="a: everything is missing"):
        masks.check(np.ones((4, 4), bool), 4, 4, "a")


def test_boxes_may_overlap_and_must_lie_inside():
    mask = masks.of_boxes([Box(0, 0, 4, 4), Box(2, 2, 6, 8)], 8, 10, "a")
    assert mask.sum() == 16 + 24 - 4
    for box in (Box(-1, 0, 3, 3), Box(0, 0, 11, 3), Box(0, 5, 3, 9), Box(3, 3, 3, 5)):
        with pytest.raises(HoleError, match=r"a: the box .* does not lie within the image's 10 x 8 px"):
            masks.of_boxes([box], 8, 10, "a")


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "boxes.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_of_boxes(tmp_path):
    text = "file,left,top,right,bottom\na.png,1,2,3,4\n\nb.png,0,0,5,5,2.0,3,7,8\na.png, 5,6,7,8,\n"
    assert masks.read_boxes(table(tmp_path, text)) == {
        "a.png": [Listed(Box(1, 2, 3, 4), 2), Listed(Box(5, 6, 7, 8), 5)],
        "b.png": [Listed(Box(0, 0, 5, 5), 4), Listed(Box(2, 3, 7, 8), 4)],
    }
    assert list(masks.read_boxes(table(tmp_path, "7,1,2,3,4\n"))) == ["7"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a.png,1,2,3", "3 numbers after the name; expected left, top, right, bottom"),
        ("a.png,1,2,3,4,5", "5 numbers"),
        ("a.png", "0 numbers"),
        ("a.png,1,2,x,4", "'x' is no number of px"),
        ("a.png,1,2,nan,4", "'nan' is no number of px"),
        ("a.png,1,2,3.5,4", "3.5 is not a whole number"),
        ("a.png,3,2,3,4", "expected 0 <= left < right"),
        ("a.png,-1,2,3,4", "the box -1,2 to 3,4"),
        (",1,2,3,4", "expected a file's name first"),
    ],
)
def test_a_wrong_line_is_named_by_its_number(line, said, tmp_path):
    with pytest.raises(HoleError, match=f"boxes.csv, line 3: .*{re.escape(said)}"):
        masks.read_boxes(table(tmp_path, f"file,left,top,right,bottom\nb.png,1,2,3,4\n{line}\n"))


def test_a_table_that_is_none(tmp_path):
    with pytest.raises(HoleError, match=r"has no line with a box"):
        masks.read_boxes(table(tmp_path, "file,left\n"))
    with pytest.raises(HoleError, match=r"none\.csv: no table of boxes: No such file"):
        masks.read_boxes(tmp_path / "none.csv")
    (tmp_path / "boxes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(HoleError, match="not a table of boxes: .*utf-8"):
        masks.read_boxes(tmp_path / "boxes.csv")
