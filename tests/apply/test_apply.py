"""Rows are loaded by name, and images are compared."""

from pathlib import Path

import numpy as np
import pictures
import pytest
import toys
from PIL import Image

from afterimage import apply
from afterimage.apply import features, files, frames, holes
from afterimage.core.errors import ImageError, ParamsError


def test_the_kind_of_observation_picks_the_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {"a": toys.Doubling(), "b": toys.Smooth(), "c": toys.Negative()}
    toys.project(tmp_path, monkeypatch, rows)
    for name, module in {"a": features, "b": holes, "c": frames}.items():
        found = apply.load(tmp_path, name)
        assert isinstance(found, module.Applied)  # type: ignore[attr-defined]
        assert found.reconstructor is rows[name]
        assert (found.name, found.card["row"], found.kind) == (name, name, module.__name__.rpartition(".")[2])


def test_a_case_is_picked_by_name_and_the_last_one_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, last = toys.Doubling(), toys.Doubling()
    toys.project(tmp_path, monkeypatch, {"one": toys.Smooth()}, {"several": {"first": first, "last": last}})
    assert apply.load(tmp_path, "several").reconstructor is last
    assert apply.load(tmp_path, "several/first", changes={"steps": 3}).reconstructor is first
    assert toys.changed == [None, {"steps": 3}]
    with pytest.raises(ParamsError, match="there is no `several/none`; there is several/first, several/last"):
        apply.load(tmp_path, "several/none")
    with pytest.raises(ParamsError, match="there is no `one/none`; there is one alone"):
        apply.load(tmp_path, "one/none")


def test_the_comparison_sets_original_result_and_error_side_by_side() -> None:
    image, black = pictures.noise(50, 30), Image.new("RGB", (50, 30))
    page = apply.comparison(image, apply.measure(image, black), "mine")
    width, height = 50 * 6, 30 * 6
    panels = [
        page.crop((12 + place * (width + 12), 12, 12 + place * (width + 12) + width, 12 + height)) for place in range(3)
    ]
    assert panels[0].tobytes() == image.resize((width, height), Image.Resampling.NEAREST).tobytes()
    assert panels[1].getextrema() == ((0, 0), (0, 0), (0, 0))
    assert panels[2].getextrema()[0][1] > 100


def test_a_spread_is_black_where_there_is_none() -> None:
    spread = np.zeros((8, 9), np.float32)
    spread[2, 3] = apply.SPREAD_SCALE
    shown = apply.spread_map(spread)
    assert shown.size == (9, 8)
    assert max(shown.getpixel((0, 0))) < 5 < 200 < max(shown.getpixel((3, 2)))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.WEBP", "a.bmp", "a.tif"])
def test_images_are_written_in_the_format_of_the_name(mode: str, name: str, tmp_path: Path) -> None:
    image = pictures.noise()
    if "A" in mode:
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    image = image.convert(mode)
    if name in ("a.jpg", "a.bmp") and "A" in mode:
        with pytest.raises(ImageError, match=f"{name}: (JPEG|BMP) holds no transparency"):
            files.save(image, tmp_path / name)
        assert not any(tmp_path.iterdir())
        return
    files.save(image, tmp_path / name)
    with Image.open(tmp_path / name) as found:
        assert found.format == files.form_of(tmp_path / name)
        near = np.asarray(found.convert("RGB"), float)[20:] - np.asarray(image.convert("RGB"), float)[20:]
        assert np.abs(near).mean() < 8  # WebP leaves no colour where all is transparent
        assert ("A" in found.getbands()) == ("A" in mode)


def test_other_formats_are_named(tmp_path: Path) -> None:
    for name, found in (("a.mp4", ".mp4"), ("a", "no extension")):
        with pytest.raises(ImageError, match=rf"an image is written as \.bmp, .*, found {found}"):
            files.save(pictures.noise(), tmp_path / name)
