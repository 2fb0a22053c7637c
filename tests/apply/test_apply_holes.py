"""Holes of any size in images of any size."""

from pathlib import Path

import numpy as np
import pictures
import pytest
import torch
import toys
from PIL import Image

from afterimage import apply
from afterimage.apply.holes import Applied, fill, hole_rmse, windows
from afterimage.core.errors import HoleError, ImageError
from afterimage.observations.holes import Draws, Holes, masks
from afterimage.observations.holes.masks import Box

SIZES = [
    ((32, 32), [Box(3, 4, 12, 13), Box(18, 18, 27, 27)]),
    ((200, 133), [Box(0, 0, 60, 50), Box(150, 100, 155, 104)]),
    ((9, 70), [Box(2, 30, 6, 40)]),
    ((5, 4), [Box(1, 1, 3, 3)]),
    ((300, 300), [Box(0, 0, 300, 150)]),
]


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Applied]:
    toy = {"smooth": toys.Smooth(), "drawing": toys.Drawing()}
    root = toys.project(tmp_path, monkeypatch, toy, size=32)
    return {name: apply.load(root, name) for name in toy}


def mask_of(size: tuple[int, int], *boxes: Box) -> np.ndarray:
    return masks.of_boxes(boxes, size[1], size[0], "mask")


@pytest.mark.parametrize(("size", "boxes"), SIZES)
@pytest.mark.parametrize("name", ["smooth", "drawing"])
def test_any_size_comes_back_with_its_known_pixels(
    rows: dict[str, Applied], name: str, size: tuple[int, int], boxes: list[Box]
) -> None:
    image, mask = pictures.noise(*size), mask_of(size, *boxes)
    found = rows[name](image, mask)
    before = np.asarray(image)
    for each in (found.image, *found.samples):
        assert each.size == image.size
        np.testing.assert_array_equal(np.asarray(each)[~mask], before[~mask])
    hidden = Image.fromarray(np.where(mask[..., None], 255 - before, before).astype(np.uint8))
    assert rows[name](hidden, mask).image == found.image
    for given in rows[name].reconstructor.given:  # type: ignore[attr-defined]
        assert given.size == (32, 32) and given.images.shape == (1, 3, 32, 32) and given.masks.shape == (1, 1, 32, 32)
        assert not (given.images * given.masks).any()
        assert set(given.masks.unique().tolist()) == {0.0, 1.0}
    if name == "smooth":
        assert (found.samples, found.spread) == ([], None)
        return
    assert len(found.samples) == 2 and found.samples[0] != found.samples[1]
    assert found.spread is not None and found.spread.shape == mask.shape and found.spread.dtype == np.float32
    assert (found.spread[~mask] == 0).all() and found.spread[mask].mean() > 0
    pair = np.stack([np.asarray(each, float) for each in found.samples])
    assert np.abs(np.asarray(found.image) - pair.mean(0)).max() <= 1.01


def test_a_hole_is_filled_from_around_it(rows: dict[str, Applied]) -> None:
    """On a slope of colour even a hole that is larger than the reconstructor's images is filled to a few levels."""
    slope = np.linspace(40, 200, 256).astype(np.uint8)[None, :, None].repeat(256, 0).repeat(3, 2)
    mask = mask_of((256, 256), Box(90, 90, 165, 165))
    found = np.asarray(rows["smooth"](Image.fromarray(slope), mask).image)
    assert np.abs(found.astype(int) - slope)[mask].mean() < 8


def test_detail_is_that_of_the_window_up_to_a_size(rows: dict[str, Applied], monkeypatch: pytest.MonkeyPatch) -> None:
    """The reconstructor sees 32 px of a window of 180; what it answers is finished at the size of the window."""
    asked: list[tuple[int, int]] = []

    def detailed(given: Holes, filled: torch.Tensor) -> torch.Tensor:
        asked.append(given.size)
        assert filled.shape == given.images.shape and not (given.images * given.masks).any()
        return torch.where(given.masks > 0.5, 1.0, filled)

    row, (image, mask) = rows["smooth"], (pictures.noise(300, 200), mask_of((300, 200), Box(100, 60, 160, 120)))
    row.reconstructor.detailed = detailed  # type: ignore[method-assign]
    found = np.asarray(row(image, mask).image)
    assert asked == [(180, 180)] and (found[mask] == 255).all()
    np.testing.assert_array_equal(found[~mask], np.asarray(image)[~mask])
    monkeypatch.setattr("afterimage.apply.holes.LARGEST", 90)
    assert np.asarray(row(image, mask).image)[mask].mean() > 230 and asked[1:] == [(90, 90)]


def test_an_enlarged_fill_goes_on_where_the_image_ends(rows: dict[str, Applied]) -> None:
    """Stripes that 32 px cannot show: at the border of the hole they are carried in."""
    stripes = np.where(np.arange(256) // 4 % 2, 180, 60).astype(np.uint8)[None, :, None].repeat(256, 0).repeat(3, 2)
    mask = mask_of((256, 256), Box(90, 90, 165, 165))
    found = np.asarray(rows["smooth"](Image.fromarray(stripes), mask).image).astype(int)
    first = np.abs(found - stripes)[90:92, 90:165].mean()  # the two lines beside the known ones
    assert first < 0.7 * np.abs(found - stripes)[126:128, 90:165].mean()


def test_what_is_filled_is_known_to_the_next_window_but_not_what_is_drawn(rows: dict[str, Applied]) -> None:
    image, mask = pictures.noise(100, 60), mask_of((100, 60), Box(10, 10, 34, 34), Box(40, 20, 44, 24))
    missing = {}
    for name, row in rows.items():
        row(image, mask)
        first, second = row.reconstructor.given  # type: ignore[attr-defined]
        assert (first.keys, second.keys) == (["0"], ["1"])
        missing[name] = second.masks.sum().item()
    assert missing["smooth"] == 16 < missing["drawing"]


def test_a_sample_follows_from_seed_and_number(rows: dict[str, Applied]) -> None:
    row = rows["drawing"]
    image, mask = pictures.noise(60, 40), mask_of((60, 40), Box(4, 4, 20, 20), Box(50, 3, 54, 8))
    three, two = row(image, mask, Draws(samples=3)), row(image, mask, Draws(samples=2))
    assert three.samples[:2] == two.samples
    assert row(image, mask, Draws(2, seed=1)).samples[0] != two.samples[0]
    still = row(image, mask, Draws(2, 0.0))
    assert still.samples[0] == still.samples[1] and still.spread is not None and not still.spread.any()


def test_windows_hold_all_holes_once() -> None:
    mask = mask_of((400, 300), Box(10, 10, 85, 85), Box(200, 150, 275, 225), Box(390, 290, 393, 294))
    found = list(windows(mask, 64))
    total = sum(holes.astype(int) for _, holes in found)
    np.testing.assert_array_equal(total, mask.astype(int))
    for window, holes in found:
        lines, columns = np.nonzero(holes)
        assert window.left <= columns.min() and columns.max() < window.right
        assert window.top <= lines.min() and lines.max() < window.bottom
    assert [window.right - window.left for window, _ in found] == [225, 225, 64]  # the speck has a window of its own


def test_holes_of_a_size_share_a_window() -> None:
    mask = mask_of((256, 256), Box(10, 10, 85, 85), Box(160, 150, 235, 225))
    ((window, holes),) = windows(mask, 256)
    assert window == Box(0, 0, 256, 256)
    np.testing.assert_array_equal(holes, mask)


def test_what_does_not_fit_is_named(rows: dict[str, Applied]) -> None:
    row = rows["drawing"]
    with pytest.raises(HoleError, match="the mask is 10 x 10 px, expected the image's 48 x 40 px"):
        row(pictures.noise(), np.eye(10, dtype=bool))
    with pytest.raises(HoleError, match="nothing is missing"):
        row(pictures.noise(), np.zeros((40, 48), bool))
    mask = mask_of((48, 40), Box(2, 2, 5, 5))
    with pytest.raises(HoleError, match="0 samples; expected at least 1"):
        row(pictures.noise(), mask, Draws(0))
    with pytest.raises(HoleError, match="temperature -1; expected 0 or more"):
        row(pictures.noise(), mask, Draws(temperature=-1))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P"])
@pytest.mark.parametrize("name", ["smooth", "drawing"])
def test_a_file_keeps_size_transparency_and_grey(rows: dict[str, Applied], name: str, mode: str) -> None:
    image = pictures.noise(70, 50).convert("RGBA" if "A" in mode else "RGB")
    if "A" in mode:
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    image = image.convert(mode)
    mask = mask_of(image.size, Box(4, 5, 14, 17), Box(40, 20, 49, 29))
    found = fill(rows[name], pictures.encoded(image), mask)
    for each in (found.image, *found.samples):
        assert each.size == image.size
        assert each.mode == ("RGB" if mode == "P" else mode)
        np.testing.assert_array_equal(np.asarray(each)[~mask], np.asarray(image.convert(each.mode))[~mask])
        if "A" in mode:
            np.testing.assert_array_equal(np.asarray(each.getchannel("A")), np.asarray(image.getchannel("A")))


def test_a_file_that_would_lose_something_is_refused(rows: dict[str, Applied]) -> None:
    mask = mask_of((48, 40), Box(2, 2, 5, 5))
    deep = Image.fromarray(np.full((40, 48), 40000, np.uint16))
    for data, text in ((pictures.encoded(deep), "has more than 8 bits a sample"), (b"text", "not an image")):
        with pytest.raises(ImageError, match=text):
            fill(rows["smooth"], data, mask)


def test_the_error_counts_the_hole_alone() -> None:
    truth, mask = Image.new("RGB", (8, 8), (51, 51, 51)), mask_of((8, 8), Box(0, 0, 2, 2))
    filled = np.full((8, 8, 4), 255, np.uint8)
    filled[:2, :2, :3] = 102
    assert hole_rmse(truth, Image.fromarray(filled), mask) == pytest.approx(0.2)
