"""Holes belong to a sample and an epoch, and the fixed ones are stored once."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import encoded, noise, shards_of
from PIL import Image

from afterimage.core import params, shards
from afterimage.core.errors import HoleError, ParamsError, ShardError
from afterimage.core.images import encode_png
from afterimage.observations.holes import store as holes
from afterimage.observations.holes.store import HoledImages, HolesRow, StoredHoles, draw

VALUES: dict[str, dict[str, Any]] = {
    "boxes": {"count": 2, "side": 0.293},
    "corners": {"corners": ["top-left", "bottom-right"], "side": 0.25},
    "centre": {"side": 0.5},
    "half": {"missing": "left"},
    "strokes": {"count": 4, "bends": 6, "length": 0.4, "brush": 0.12},
}


def row(shape: str, **values: Any) -> HolesRow:
    data = {"dataset": "mine", "seed": 0, "shape": shape, **VALUES.get(shape, {}), **values}
    return HolesRow.kind(data).model_validate(data)


def pinned(path: Path, data: bytes) -> dict[str, str]:
    path.write_bytes(data)
    return {"path": str(path), "sha256": hashlib.sha256(data).hexdigest()}


@pytest.mark.parametrize("shape", VALUES)
def test_every_shape_leaves_something(shape):
    for key in ("a", "b"):
        mask = draw(row(shape), key, None, 48, 64)
        assert mask.shape == (48, 64)
        assert mask.dtype == bool
        assert 0 < mask.mean() < 0.75


def test_sides_scale_with_the_image():
    for size, side in ((64, 19), (256, 75)):
        mask = draw(row("boxes", count=1), "a", None, size, size)
        assert mask.sum() == side * side
        assert (mask.any(axis=0).sum(), mask.any(axis=1).sum()) == (side, side)


def test_fixed_shapes_are_where_they_say():
    assert draw(row("corners"), "a", 0, 8, 8).nonzero()[0].tolist() == [0, 0, 1, 1, 6, 6, 7, 7]
    centre = draw(row("centre"), "a", 0, 8, 8)
    assert centre[2:6, 2:6].all() and centre.sum() == 16
    assert draw(row("half", missing="bottom"), "a", 0, 9, 9)[4:].all()


@pytest.mark.parametrize("shape", ["boxes", "strokes"])
def test_a_mask_follows_from_seed_key_and_epoch(shape):
    def same(a: np.ndarray, b: np.ndarray) -> bool:
        return bool((a == b).all())

    one = draw(row(shape), "a", 3, 64, 64)
    assert same(one, draw(row(shape), "a", 3, 64, 64))
    assert not same(one, draw(row(shape), "a", 4, 64, 64))
    assert not same(one, draw(row(shape), "b", 3, 64, 64))
    assert not same(one, draw(row(shape, seed=1), "a", 3, 64, 64))
    assert not same(one, draw(row(shape), "a", None, 64, 64))


def test_boxes_of_a_table_are_scaled_and_named_by_line(tmp_path):
    text = "file,left,top,right,bottom\nfolder/a.jpg,0,0,16,32\nb.jpg,200,0,300,16\n"
    listed = row("csv", size=256, **pinned(tmp_path / "boxes.csv", text.encode()))
    mask = draw(listed, "a", 5, 64, 64)
    assert mask[:8, :4].all() and mask.sum() == 32
    with pytest.raises(HoleError, match=r"boxes\.csv, line 3: the box 50,0 to 75,4 does not lie within"):
        draw(listed, "b", None, 64, 64)
    with pytest.raises(HoleError, match="lists no box of `c`"):
        draw(listed, "c", None, 64, 64)


def test_two_files_of_one_name_are_refused(tmp_path):
    text = b"x/a.jpg,0,0,16,32\ny/a.png,0,0,16,16\n"
    with pytest.raises(HoleError, match="line 2: a second file named a"):
        draw(row("csv", size=64, **pinned(tmp_path / "boxes.csv", text)), "a", None, 64, 64)


def test_a_mask_file_serves_all_samples_of_its_size(tmp_path):
    mask = np.zeros((32, 32), bool)
    mask[3:9, 4:20] = True
    data = encoded(Image.fromarray(mask))
    filed = row("file", **pinned(tmp_path / "mask.png", data))
    np.testing.assert_array_equal(draw(filed, "a", 0, 32, 32), mask)
    with pytest.raises(HoleError, match=r"mask\.png: the mask is 32 x 32 px, expected the image's 64 x 64 px"):
        draw(filed, "a", 0, 64, 64)
    with pytest.raises(HoleError, match=r"mask\.png: its sha256 is .*, expected 00"):
        draw(row("file", path=filed.path, sha256="00"), "a", 0, 32, 32)  # type: ignore[attr-defined]
    with pytest.raises(HoleError, match=r"none\.png: there is no such file"):
        draw(row("file", path=str(tmp_path / "none.png"), sha256="00"), "a", 0, 32, 32)


def test_a_wrong_row_is_one_line(tmp_path):
    path = tmp_path / "params.yaml"

    def read(text: str) -> HolesRow:
        path.write_text(f"holes: {{row: {{dataset: mine, seed: 0, {text}}}}}\n")
        return params.row(path, "holes", "row", HolesRow)

    assert read("shape: centre, side: 0.5").shape == "centre"
    with pytest.raises(ParamsError, match=r"holes\.row\.shape`: 'star': there is no such shape; there are boxes, corn"):
        read("shape: star")
    with pytest.raises(ParamsError, match=r"holes\.row\.side`: this key is missing"):
        read("shape: centre")
    with pytest.raises(ParamsError, match=r"holes\.row\.side`: 1\.5"):
        read("shape: centre, side: 1.5")
    with pytest.raises(ParamsError, match="unknown key"):
        read("shape: half, missing: left, side: 0.5")


@pytest.fixture
def images(tmp_path) -> Path:
    return shards_of(tmp_path / "shards", {"train": [5], "val": [3], "test": [2, 2]})


def test_fixed_masks_are_stored_beside_their_images(images, tmp_path):
    holes.write(row("boxes"), "two", images, tmp_path / "once")
    holes.write(row("boxes"), "two", images, tmp_path / "twice")
    files = sorted(path.name for path in (tmp_path / "once").iterdir())
    assert files == ["index.json", "test-000000.tar", "test-000001.tar", "val-000000.tar"]
    for name in files:
        assert (tmp_path / "once" / name).read_bytes() == (tmp_path / "twice" / name).read_bytes()
    for split in holes.FIXED:
        stored = StoredHoles(tmp_path / "once", split)
        assert stored.table.keys == shards.Table(images, split).keys
        for key in stored.table.keys:
            np.testing.assert_array_equal(stored[key], draw(row("boxes"), key, None, 32, 32))
    with pytest.raises(ShardError, match="has no mask of `other`"):
        stored["other"]


def test_training_draws_anew_and_validation_does_not(images, tmp_path):
    holes.write(row("boxes"), "two", images, tmp_path / "holes")
    train = HoledImages(images, "train", row("boxes"), tmp_path / "holes")
    first, again, other = (train.__getitems__([(epoch, 0), (epoch, 3)]) for epoch in (0, 0, 1))
    assert first["images"].shape == (2, 3, 32, 32)
    assert first["masks"].shape == (2, 1, 32, 32)
    assert set(first["masks"].unique().tolist()) == {0, 1}
    assert first["masks"].equal(again["masks"])
    assert not first["masks"].equal(other["masks"])
    assert first["masks"][1:].equal(train.__getitems__([(0, 3)])["masks"])  # whatever else is in the batch
    val = HoledImages(images, "val", row("boxes"), tmp_path / "holes")
    assert val.__getitems__([(0, 1)])["masks"].equal(val.__getitems__([(7, 1)])["masks"])


def test_what_covers_an_input_is_found_by_its_target(tmp_path):
    folder = tmp_path / "images"
    described, expected = {}, {}
    for split in ("train", "val", "test"):
        path = folder / f"{split}-000000.tar"
        with shards.writer(path) as put:
            for number in range(2):
                key = f"{split}{number}"
                original = np.maximum(np.asarray(noise(32, 32)), 60)
                expected[key] = np.zeros((32, 32), bool)
                expected[key][5 + number : 15, 8:20] = True
                occluded = np.where(expected[key][..., None], np.uint8(0), original)
                put(f"{key}.png", encode_png(original))
                put(f"{key}.input.png", encode_png(occluded))
        described[split] = [shards.describe(path)]
    mine = row("pairs")
    shards.write_index(folder, {"dataset": "mine", "size": 32}, described)
    with pytest.raises(HoleError, match="its images are no pairs, which holes of the shape `pairs` are found in"):
        holes.write(mine, "two", folder, tmp_path / "holes")
    shards.write_index(folder, {"dataset": "mine", "size": 32, "pairs": True}, described)
    holes.write(mine, "two", folder, tmp_path / "holes")
    for split in ("train", "val", "test"):
        held = holes.HoledImages(folder, split, mine, tmp_path / "holes")
        for number in range(2):
            np.testing.assert_array_equal(held.mask(number, 3, 32, 32), expected[f"{split}{number}"])
    with pytest.raises(HoleError, match="`a` has no input beside it"):
        holes.draw(mine, "a", None, 32, 32)
