"""Completions of holes of any size in images of any size, and the command that draws them."""

from pathlib import Path

import numpy as np
import pictures
import pytest
import torch
from PIL import Image
from test_cli import call
from test_completer import row as completer_row

from afterimage import layout, outputs, weights
from afterimage.apply.completers import CompleterRow
from afterimage.errors import HoleError, ImageError
from afterimage.observations import masks
from afterimage.observations.masks import Box


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with an untrained row."""
    root = tmp_path_factory.mktemp("project")
    (root / "params.yaml").write_text("completers: {mine: {dataset: photos, holes: two-boxes}}\n")
    torch.manual_seed(0)
    mine = completer_row()
    folder = root / layout.model("completers", "mine")
    folder.mkdir(parents=True)
    weights.save(folder / "model.safetensors", mine.network().state_dict(), {"row": "mine"})
    outputs.write_json(folder / "card.json", {"row": "mine", "trained": mine.model_dump(), "size": 16})
    return root


@pytest.fixture(scope="module")
def row(project: Path) -> CompleterRow:
    return CompleterRow(project, "mine")


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((16, 16), Box(3, 4, 9, 11)),
        ((90, 61), Box(10, 0, 50, 30)),
        ((9, 40), Box(2, 10, 6, 20)),
        ((4, 5), Box(1, 1, 3, 3)),
    ],
)
def test_any_size_comes_back_with_its_known_pixels(row: CompleterRow, size: tuple[int, int], box: Box) -> None:
    image, mask = pictures.noise(*size), masks.of_boxes([box], size[1], size[0], "mask")
    found = row(image, mask, samples=3)
    known = np.asarray(image)[~mask]
    assert len(found.samples) == 3
    for each in (found.mean, *found.samples):
        assert each.size == image.size
        np.testing.assert_array_equal(np.asarray(each)[~mask], known)
    assert found.spread.shape == mask.shape and found.spread.dtype == np.float32
    assert (found.spread[~mask] == 0).all() and found.spread[mask].mean() > 0
    assert found.samples[0] != found.samples[1]
    hidden = Image.fromarray(np.where(mask[..., None], 255 - np.asarray(image), image).astype(np.uint8))
    assert row(hidden, mask, samples=3).mean == found.mean


def test_a_completion_follows_from_seed_and_number(row: CompleterRow) -> None:
    image, mask = pictures.noise(30, 20), masks.of_boxes([Box(4, 4, 10, 10), Box(20, 3, 24, 8)], 20, 30, "mask")
    three, two = row(image, mask, samples=3), row(image, mask, samples=2)
    assert three.samples[:2] == two.samples
    assert row(image, mask, samples=2, seed=1).samples[0] != two.samples[0]
    still = row(image, mask, samples=2, temperature=0.0)
    assert still.samples[0] == still.samples[1] and not still.spread.any()


def test_what_does_not_fit_is_named(row: CompleterRow) -> None:
    mask = np.zeros((40, 48), bool)
    with pytest.raises(HoleError, match="nothing is missing"):
        row(pictures.noise(), mask)
    mask[2:5, 2:5] = True
    with pytest.raises(HoleError, match="the mask is 48 x 40 px, expected the image's 20 x 20 px"):
        row(pictures.noise(20, 20), mask)
    with pytest.raises(ImageError, match="0 samples at temperature 1; expected at least 1, and no less than 0"):
        row(pictures.noise(), mask, samples=0)


def complete(project: Path, image: Path, *words: str | Path) -> tuple[int, str, str]:
    return call("complete", "mine", image, *words, "-o", image.parent / "out", "--project", project)


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


def test_the_command_finds_what_is_missing(project: Path, pairs: Path) -> None:
    image = pairs / "occluded_images/occluded_bed_1.png"
    code, said, _ = complete(project, image, "--samples", "2")
    assert code == 0
    assert "13.3% completed 2 times" in said and "hole RMSE 0." in said and "bed_1.png" in said
    names = ["occluded_bed_1-mine-1.png", "occluded_bed_1-mine-2.png", "occluded_bed_1-mine-spread.png"]
    assert sorted(path.name for path in (image.parent / "out").iterdir()) == [*names, "occluded_bed_1-mine.png"]
    alone = pairs / "alone.png"
    alone.write_bytes(image.read_bytes())
    code, said, _ = complete(project, alone, "--samples", "2")
    assert code == 0 and "13.3% completed 2 times" in said and "RMSE" not in said
    first, second = ((folder / "out").glob("*-mine.png") for folder in (image.parent, pairs))
    assert next(first).read_bytes() == next(second).read_bytes()
    mask = np.zeros((50, 60), bool)
    mask[3:6, 3:6] = True
    Image.fromarray(mask).save(pairs / "mask.png")
    code, said, _ = complete(project, image, "--mask", pairs / "mask.png", "--samples", "1")
    assert code == 0 and "0.3% completed 1 times" in said


def test_bad_input_is_one_line(project: Path, pairs: Path) -> None:
    occluded = pairs / "occluded_images/occluded_bed_1.png"
    lone = pairs / "occluded_images/occluded_bed_2.png"
    lone.write_bytes(occluded.read_bytes())
    Image.open(occluded).crop((0, 0, 60, 40)).save(pairs / "low.png")
    (pairs / "text.png").write_text("no image")
    cases = [
        ((lone,), "occluded_bed_2.png: expected one original bed_2.* in"),
        ((occluded, "--original", pairs / "low.png"), "the occluded image has 60 x 50 px and its original 60 x 40 px"),
        ((pairs / "original_images/bed_1.png",), "bed_1.png: no black square found; give its mask or its original"),
        ((pairs / "text.png",), "text.png: not an image in a known format"),
        ((pairs / "none.png",), "No such file"),
        ((occluded, "--mask", pairs / "low.png"), "low.png: "),
    ]
    for (image, *words), expected in cases:
        code, _, error = complete(project, image, *words)
        assert code == 1
        assert expected in error and len(error.strip().splitlines()) == 1
    code, _, error = call("complete", "other", occluded, "--project", project)
    assert code == 1 and "no row `other` in completers; there are mine" in error
