"""What covers a photograph, found from its original and from black alone."""

import io
from pathlib import Path

import numpy as np
import pytest
from pictures import png
from PIL import Image

from afterimage.core.errors import HoleError
from afterimage.core.images import decode
from afterimage.observations.holes import occlusions
from afterimage.observations.holes.occlusions import black_square, find, from_pair, original_of

SIDE = 96


def photograph(seed: int = 0) -> np.ndarray:
    """A smooth picture without black."""
    coarse = np.random.default_rng(seed).integers(60, 256, (8, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC)).copy()


def jpeg(pixels: np.ndarray, quality: int = 80) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    return np.asarray(decode(stream.getvalue()))


def covered(pixels: np.ndarray, top: int, left: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    mask = np.zeros(pixels.shape[:2], dtype=bool)
    mask[top : top + height, left : left + width] = True
    return np.where(mask[..., None], np.uint8(0), pixels), mask


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize(("top", "left", "height", "width"), [(30, 40, 25, 25), (0, 0, 20, 20), (66, 71, 30, 25)])
def test_a_black_square_is_found_to_the_pixel_and_in_a_jpeg_nearly(
    top: int, left: int, height: int, width: int
) -> None:
    original = photograph()
    occluded, mask = covered(original, top, left, height, width)
    for found in (black_square(occluded, "a"), from_pair(occluded, original, "a")):
        np.testing.assert_array_equal(found, mask)
    for quality in (60, 95):
        assert overlap(black_square(jpeg(occluded, quality), "a"), mask) > 0.85
        assert overlap(from_pair(jpeg(occluded, quality), jpeg(original, quality), "a"), mask) > 0.85


def test_a_square_over_what_is_dark_already_is_found_whole() -> None:
    original = photograph()
    original[40:44, 20:90] = 5
    occluded, mask = covered(original, 30, 40, 25, 25)
    np.testing.assert_array_equal(from_pair(occluded, original, "a"), mask)
    assert overlap(black_square(occluded, "a"), mask) > 0.85


def test_any_other_cover_is_found_from_the_pair() -> None:
    original = photograph()
    y, x = np.mgrid[:SIDE, :SIDE]
    mask = (y - 50) ** 2 + (x - 40) ** 2 < 300
    occluded = np.where(mask[..., None], np.uint8(20), original)
    assert overlap(from_pair(occluded, original, "a"), mask) > 0.95


def test_what_cannot_be_told_is_an_error() -> None:
    original = photograph()
    with pytest.raises(HoleError, match="a.jpg: no black square found; give its mask or its original"):
        black_square(original, "a.jpg")
    with pytest.raises(HoleError, match="a.jpg: nothing covers it: it is like its original"):
        from_pair(jpeg(original), original, "a.jpg")
    with pytest.raises(HoleError, match="a.jpg: the occluded image has 96 x 50 px and its original 96 x 96 px"):
        from_pair(original[:50], original, "a.jpg")
    twice, _ = covered(covered(original, 5, 5, 20, 20)[0], 60, 60, 20, 20)
    with pytest.raises(HoleError, match="black boxes at .* give a mask that says which is missing"):
        black_square(twice, "a.jpg")


def test_the_original_lies_as_in_the_exercise(tmp_path: Path) -> None:
    for folder in occlusions.FOLDERS:
        (tmp_path / folder).mkdir()
    occluded = tmp_path / "occluded_images/occluded_bed_7.jpg"
    with pytest.raises(HoleError, match=r"occluded_bed_7.jpg: expected one original bed_7.\* in .*, found none"):
        original_of(occluded)
    (tmp_path / "original_images/bed_7.png").write_bytes(png())
    assert original_of(occluded) == tmp_path / "original_images/bed_7.png"
    (tmp_path / "original_images/bed_7.jpg").write_bytes(png())
    with pytest.raises(HoleError, match="found bed_7.jpg and bed_7.png"):
        original_of(occluded)
    assert original_of(tmp_path / "elsewhere/occluded_bed_7.jpg") is None
    assert original_of(tmp_path / "x/occluded_images/occluded_bed_7.jpg") is None


def test_a_mask_file_comes_first(tmp_path: Path) -> None:
    occluded, mask = covered(photograph(), 30, 40, 25, 25)
    other = np.zeros_like(mask)
    other[3:9, 3:9] = True
    Image.fromarray(other).save(tmp_path / "mask.png")
    image = Image.fromarray(occluded)
    np.testing.assert_array_equal(find(image, "a", tmp_path / "mask.png", "white", None), other)
    np.testing.assert_array_equal(find(image, "a", None, "auto", None), mask)
    np.testing.assert_array_equal(find(image, "a", None, "auto", Image.fromarray(photograph())), mask)
