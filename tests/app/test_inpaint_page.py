"""The page Inpaint: a hole filled by every method."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pictures
import pytest
import standins
from conftest import Project
from PIL import Image
from visits import numbers, page, said, upload, watched

from afterimage.app import widgets

BOX = [{"kind": "box", "box": [10, 10, 60, 40]}]


def test_the_hole_is_filled_and_nothing_else(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    test = page("Inpaint", monkeypatch, project.root)
    assert "Draw a box or a stroke" in test.info[-1].value
    monkeypatch.setattr(widgets, "canvas", lambda picture: BOX)
    upload(test, "mine.png", pictures.png(100, 80))
    test.button(key="fill").click().run()  # a row that draws samples is trained there: they wait to be asked for
    assert not test.exception
    assert "18.8% of the picture is missing." in said(test.caption)
    assert set(numbers(test)) == {"In the hole", "PSNR", "SSIM", "lpips_untrained", "Time"}
    test.toggle(key="whole").set_value(False).run()
    assert set(numbers(test)) == {"Time"}
    monkeypatch.setattr(widgets, "canvas", lambda picture: [{"kind": "box", "box": [0, 0, 100, 80]}])
    test.run()
    assert "everything is missing by this mask" in said(test.error)[0]


def test_every_method_fills_the_hole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = standins.project(tmp_path, monkeypatch)
    monkeypatch.setattr(widgets, "canvas", lambda picture: BOX)
    with watched(monkeypatch, "filled-gallery") as shown:
        test = page("Inpaint", monkeypatch, root)
        upload(test, "mine.png", pictures.png(100, 80))
        assert not shown  # drawing samples takes time, so it waits for the button
        test.button(key="fill").click().run()
        assert not test.exception
        names = ["given", "red", "grey, mean", *(f"grey, sample {number}" for number in range(1, 5)), "Telea"]
        assert list(shown) == names
        original = np.asarray(pictures.noise(100, 80))
        known = np.ones((80, 100), dtype=bool)
        known[10:40, 10:60] = False
        for image in list(shown.values())[1:]:
            assert (np.asarray(image)[known] == original[known]).all()
        assert shown["red"].getpixel((20, 20)) == (255, 0, 0)
        assert shown["grey, sample 4"].getpixel((20, 20)) == (60, 60, 60)
        assert "Where the samples differ" in [title.value for title in test.header]
        shown.clear()
        test.slider(key="samples").set_value(2).run()
        assert not shown
        test.button(key="fill").click().run()
        assert len(shown) == len(names) - 2


def test_without_samples_nothing_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = standins.project(tmp_path, monkeypatch)
    (root / "data/models/grey/card.json").unlink()
    monkeypatch.setattr(widgets, "canvas", lambda picture: BOX)
    with watched(monkeypatch, "filled-gallery") as shown:
        upload(page("Inpaint", monkeypatch, root), "mine.png", pictures.png(100, 80))
        assert list(shown) == ["given", "red", "Telea"]


def test_the_same_hole_is_filled_in_several_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = standins.project(tmp_path, monkeypatch)
    (root / "data/models/grey/card.json").unlink()
    monkeypatch.setattr(widgets, "canvas", lambda picture: BOX)
    test = page("Inpaint", monkeypatch, root)
    upload(test, "mine.png", pictures.png(100, 80))
    files = [("a.png", pictures.png(100, 80, seed=3), "image/png"), ("b.png", pictures.png(90, 80), "image/png")]
    test.file_uploader(key="fill-batch-files").set_value(files).run()
    assert test.button(key="fill-batch-go").label == "Fill 2 pictures by red"
    test.button(key="fill-batch-go").click().run()
    assert not test.exception
    assert said(test.error) == ["b.png: 90 x 80 px; the hole is in a picture of 100 x 80 px."]
    data, _ = test.session_state["kept"].values["fill-batch-zip", ""]
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == ["a-red.png"]
        filled = Image.open(io.BytesIO(archive.read("a-red.png")))
    expected = pictures.noise(100, 80, seed=3)
    expected.paste((255, 0, 0), (10, 10, 60, 40))
    assert (np.asarray(filled) == np.asarray(expected)).all()
