"""Features of images of any size, and features that come as a file."""

from pathlib import Path

import numpy as np
import pictures
import pytest
import torch
import toys
from PIL import Image

from afterimage import apply
from afterimage.apply import features
from afterimage.apply.features import Applied, read_features
from afterimage.core.errors import ImageError, ShardError
from afterimage.core.images import to_uint8


@pytest.fixture
def toy() -> toys.Doubling:
    return toys.Doubling()


@pytest.fixture
def applied(toy: toys.Doubling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Applied:
    found = apply.load(toys.project(tmp_path, monkeypatch, {"mine": toy}), "mine", "cpu")
    assert isinstance(found, Applied)
    return found


def halved(image: Image.Image) -> np.ndarray:
    """What the toys make of an image."""
    pixels = np.asarray(image, float)
    tall, wide = -(-pixels.shape[0] // 2) * 2, -(-pixels.shape[1] // 2) * 2
    whole = np.full((tall, wide, 3), np.nan)
    whole[: pixels.shape[0], : pixels.shape[1]] = pixels
    means = np.nanmean(whole.reshape(tall // 2, 2, wide // 2, 2, 3), (1, 3))
    return means.repeat(2, 0).repeat(2, 1)[: pixels.shape[0], : pixels.shape[1]]


@pytest.mark.parametrize("size", [(32, 32), (61, 45), (700, 40), (1300, 600)])
def test_any_size_comes_back(applied: Applied, size: tuple[int, int]) -> None:
    image = pictures.noise(*size)
    found = applied(image)
    assert (found.size, found.mode) == (size, "RGB")
    assert np.abs(np.asarray(found, float) - halved(image)).max() <= 0.51


def test_tiles_have_names_of_their_own_and_leave_no_seams(
    applied: Applied, toy: toys.Doubling, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = pictures.noise(300, 200, seed=4)
    whole = np.asarray(applied(image), dtype=int)
    monkeypatch.setattr(features, "TILE", 128)
    assert np.abs(np.asarray(applied(image), dtype=int) - whole).max() == 0
    assert [given.keys for given in toy.given[1:]] == [["0"], ["1"], ["2"], ["3"], ["4"], ["5"]]
    assert max(max(given.size) for given in toy.given[1:]) <= 128 + 2 * 64


def test_an_image_that_is_too_small_is_refused(applied: Applied) -> None:
    with pytest.raises(ImageError, match="20 x 40 px; expected at least 32 px a side"):
        applied(pictures.noise(20, 40))
    with pytest.raises(ImageError, match="1 x 2 px are too small for pool of toy"):
        applied.features(pictures.noise(1, 2))


@pytest.mark.parametrize("count", [1, 5])
def test_features_give_images_a_few_at_a_time(applied: Applied, toy: toys.Doubling, count: int) -> None:
    images = [pictures.noise(40, 24, seed) for seed in range(count)]
    taken = torch.cat([applied.features(image)[0] for image in images])
    found = applied.reconstruction([taken])
    assert found.images.shape == (count, 3, 24, 40)
    for image, rebuilt in zip(images, to_uint8(found.images), strict=True):
        assert np.abs(rebuilt - halved(image)).max() <= 0.51
    assert found.values == {"steps": [7.0] * count, "converged": [1.0] * count}
    assert [len(given.keys) for given in toy.given] == {1: [1], 5: [2, 2, 1]}[count]
    assert [key for given in toy.given for key in given.keys] == [str(number) for number in range(count)]
    assert torch.equal(applied.rebuild([taken]), found.images)


def test_features_tell_the_size_of_their_image(applied: Applied) -> None:
    for width, height in ((32, 32), (64, 48)):
        taken = applied.features(Image.new("RGB", (width, height)))
        assert applied.image_size(taken) == (height, width)
    odd = applied.features(Image.new("RGB", (45, 37)))
    assert applied.rebuild(odd, (37, 45)).shape == (1, 3, 37, 45)


def test_features_of_something_else_are_named(applied: Applied) -> None:
    with pytest.raises(ShardError, match=r"features of shape \[5, 16, 16\]; pool of toy has \[3, h, w\]"):
        applied.rebuild([torch.zeros(1, 5, 16, 16)])
    with pytest.raises(ShardError, match=r"shape \[3, 16, 16\]; pool of toy has \[3, 40, 40\] for images of 80 x 80"):
        applied.rebuild([torch.zeros(1, 3, 16, 16)], (80, 80))
    with pytest.raises(ShardError, match="features of 2 layers; mine observes pool"):
        applied.rebuild([torch.zeros(1, 3, 16, 16)] * 2)


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.array([{"a": 1}], dtype=object), "x.npy: not an array of numbers"),
        (np.array(["a"]), "x.npy: holds <U1, expected one array of numbers"),
        (np.zeros((4, 4)), r"shape \[4, 4\], expected \[C, h, w\] or \[N, C, h, w\]"),
        (np.array([np.nan, np.inf] + [0.0] * 14).reshape(1, 4, 4), "2 of 16 features are not finite"),
    ],
)
def test_a_file_that_holds_no_features_is_named(array: np.ndarray, text: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(ShardError, match=text):
        read_features(tmp_path / "x.npy")


def test_a_file_holds_the_features_of_one_image_or_of_several(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(b"not an array")
    with pytest.raises(ShardError, match="x.npy: not an array of numbers"):
        read_features(tmp_path / "x.npy")
    for shape in ((3, 4, 5), (1, 3, 4, 5), (2, 3, 4, 5)):
        np.save(tmp_path / "x.npy", np.ones(shape, np.float16))
        found = read_features(tmp_path / "x.npy")
        assert found.dtype == torch.float32 and tuple(found.shape) == (1, *shape)[-4:]
