"""Holes belong to a sample and an epoch, whatever their shape."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import encoded
from PIL import Image
from rows import SHAPES, observed

from afterimage import observations
from afterimage.core import params
from afterimage.core.errors import HoleError, ParamsError
from afterimage.observations.holes.row import draw


def placed(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_leaves_something(shape):
    for key in ("a", "b"):
        mask = draw(observed("holes", shape=shape), key, None, 48, 64)
        assert mask.shape == (48, 64)
        assert mask.dtype == bool
        assert 0 < mask.mean() < 0.75


def test_sides_scale_with_the_image():
    for size, side in ((64, 19), (256, 75)):
        mask = draw(observed("holes", shape="boxes", count=1), "a", None, size, size)
        assert mask.sum() == side * side
        assert (mask.any(axis=0).sum(), mask.any(axis=1).sum()) == (side, side)


def test_boxes_lie_apart_where_they_are_to():
    apart = observed("holes", shape="boxes", count=2, side=0.4, apart=True)
    assert {int(draw(apart, f"{number}", None, 50, 50).sum()) for number in range(20)} == {2 * 20 * 20}
    anywhere = observed("holes", shape="boxes", count=2, side=0.4)
    assert min(int(draw(anywhere, f"{number}", None, 50, 50).sum()) for number in range(20)) < 2 * 20 * 20
    with pytest.raises(
        HoleError, match="5 boxes of 20 px apart from one another were not found room for in 50 x 50 px"
    ):
        draw(observed("holes", shape="boxes", count=5, side=0.4, apart=True), "a", None, 50, 50)


def test_fixed_shapes_are_where_they_say():
    assert draw(observed("holes", shape="corners"), "a", 0, 8, 8).nonzero()[0].tolist() == [0, 0, 1, 1, 6, 6, 7, 7]
    centre = draw(observed("holes", shape="centre"), "a", 0, 8, 8)
    assert centre[2:6, 2:6].all() and centre.sum() == 16
    assert draw(observed("holes", shape="half", missing="bottom"), "a", 0, 9, 9)[4:].all()


@pytest.mark.parametrize("shape", ["boxes", "strokes"])
def test_a_mask_follows_from_seed_key_and_epoch(shape):
    def same(a: np.ndarray, b: np.ndarray) -> bool:
        return bool((a == b).all())

    one = draw(observed("holes", shape=shape), "a", 3, 64, 64)
    assert same(one, draw(observed("holes", shape=shape), "a", 3, 64, 64))
    assert not same(one, draw(observed("holes", shape=shape), "a", 4, 64, 64))
    assert not same(one, draw(observed("holes", shape=shape), "b", 3, 64, 64))
    assert not same(one, draw(observed("holes", shape=shape, seed=1), "a", 3, 64, 64))
    assert not same(one, draw(observed("holes", shape=shape), "a", None, 64, 64))


def test_boxes_of_a_table_are_scaled_and_named_by_line(tmp_path):
    text = "file,left,top,right,bottom\nfolder/a.jpg,0,0,16,32\nb.jpg,200,0,300,16\n"
    listed = observed("holes", shape="csv", size=256, path=placed(tmp_path / "boxes.csv", text.encode()))
    mask = draw(listed, "a", 5, 64, 64)
    assert mask[:8, :4].all() and mask.sum() == 32
    with pytest.raises(HoleError, match=r"boxes\.csv, line 3: the box 50,0 to 75,4 does not lie within"):
        draw(listed, "b", None, 64, 64)
    with pytest.raises(HoleError, match="lists no box of `c`"):
        draw(listed, "c", None, 64, 64)


def test_two_files_of_one_name_are_refused(tmp_path):
    text = b"x/a.jpg,0,0,16,32\ny/a.png,0,0,16,16\n"
    with pytest.raises(HoleError, match="line 2: a second file named a"):
        draw(observed("holes", shape="csv", size=64, path=placed(tmp_path / "boxes.csv", text)), "a", None, 64, 64)


def test_a_mask_file_serves_all_samples_of_its_size(tmp_path):
    mask = np.zeros((32, 32), bool)
    mask[3:9, 4:20] = True
    data = encoded(Image.fromarray(mask))
    filed = observed("holes", shape="file", path=placed(tmp_path / "mask.png", data))
    np.testing.assert_array_equal(draw(filed, "a", 0, 32, 32), mask)
    with pytest.raises(HoleError, match=r"mask\.png: the mask is 32 x 32 px, expected the image's 64 x 64 px"):
        draw(filed, "a", 0, 64, 64)
    missing = observed("holes", shape="file", path=placed(tmp_path / "other.png", data), missing="black")
    np.testing.assert_array_equal(draw(missing, "a", 0, 32, 32), ~mask)
    with pytest.raises(HoleError, match=r"none\.png: there is no such file"):
        draw(observed("holes", shape="file", path=str(tmp_path / "none.png")), "a", 0, 32, 32)


def test_a_wrong_row_is_one_line(tmp_path):
    path = tmp_path / "params.yaml"

    def read(text: str) -> Any:
        row = f"{{kind: holes, dataset: mine, path: src, {text}}}"
        path.write_text(f"observations: {{row: {row}}}\nshared: {{holes: {{seed: 0}}}}\n")
        return params.row(path, "observations", "row", observations.ObservationRow)

    assert (read("shape: centre, side: 0.5").shape, read("shape: centre, side: 0.5").seed) == ("centre", 0)
    where = r"`observations\.row"
    with pytest.raises(ParamsError, match=where + r"\.shape`: 'star': there is no such shape; there are boxes, corn"):
        read("shape: star")
    with pytest.raises(ParamsError, match=where + r"\.shape`: this key is missing"):
        read("side: 0.5")
    with pytest.raises(ParamsError, match=where + r"\.side`: this key is missing"):
        read("shape: centre")
    with pytest.raises(ParamsError, match=where + r"\.side`: 1\.5"):
        read("shape: centre, side: 1.5")
    with pytest.raises(ParamsError, match="unknown key"):
        read("shape: half, missing: left, side: 0.5")
