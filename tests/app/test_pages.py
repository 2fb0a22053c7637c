"""What all pages share: what they say without models, and which words they do not know."""

import re
from pathlib import Path

import numpy as np
import pictures
import pytest
import standins
from conftest import ROOT, dump_yaml, load_yaml
from PIL import Image
from visits import page, said

from afterimage import app
from afterimage.app import models, widgets
from afterimage.evaluation import metrics
from afterimage.reconstructors import KINDS


def test_a_page_without_models_says_which_command_trains_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"kind": "external", "dataset": "photos", "observes": "features", "observation": "small/relu"}
    dump_yaml({"reconstructors": {"mine": row}}, tmp_path / "params.yaml")
    test = page("Features", monkeypatch, tmp_path)
    assert "`make repro` trains all rows" in test.info[0].value
    assert "`dvc repro evaluate@mine`" in test.info[0].value
    assert not test.metric
    test = page("Inpaint", monkeypatch, tmp_path)
    assert "No row of `reconstructors` in params.yaml has `observes: holes`" in test.info[0].value
    test = page("Results", monkeypatch, tmp_path)
    assert "Nothing is measured here yet." in test.info[0].value
    assert not test.exception


def test_the_command_that_it_names_is_a_stage() -> None:
    stages = load_yaml(ROOT / "dvc.yaml")["stages"]
    assert stages["evaluate"]["foreach"] == "${reconstructors}"


def test_a_broken_project_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "params.yaml").write_text("reconstructors: [")
    for name in ("Features", "Restore", "Inpaint"):
        test = page(name, monkeypatch, tmp_path)
        assert "not valid YAML" in said(test.error)[0]
        assert not test.exception


def test_a_damaged_card_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = standins.project(tmp_path, monkeypatch)
    (root / "data/models/dark/card.json").write_text("{")
    test = page("Restore", monkeypatch, root)
    assert "card.json: not JSON" in said(test.error)[0]
    assert not test.exception


def test_no_page_names_a_kind_of_reconstructor() -> None:
    """A kind from elsewhere is shown like any other, since no page has a word of its own for one."""
    words = re.compile("|".join(kind for kind in KINDS if kind != "external") + "|completer|inpainter", re.IGNORECASE)
    for path in Path(app.__file__).parent.rglob("*"):
        if path.suffix in (".py", ".js", ".html"):
            assert not words.findall(path.read_text(encoding="utf-8")), path


def test_rows_are_those_of_their_kind_of_observation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = standins.project(tmp_path, monkeypatch)
    monkeypatch.setenv("AFTERIMAGE_PROJECT", str(root))
    for kind in ("features", "holes", "frames"):
        expected = [name for name, (observes, _, _) in standins.GIVEN.items() if observes == kind]
        assert list(models.usable(kind)) == expected
    assert {name: row.draws for name, row in models.usable("holes").items()} == {"red": False, "grey": True}
    assert list(models.usable("features", searches=True))[-1] == standins.SEARCH


def test_intensity_multiplies_within_the_mask_alone() -> None:
    image = Image.new("RGB", (4, 2), (100, 200, 0))
    assert widgets.intensity(image, 1.5).getpixel((0, 0)) == (150, 255, 0)
    where = np.array([[True, False, False, False], [False] * 4])
    changed = widgets.intensity(image, 0.5, where)
    assert (changed.getpixel((0, 0)), changed.getpixel((1, 0))) == ((50, 100, 0), (100, 200, 0))


def test_psnr_in_strips_is_psnr(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = (np.asarray(pictures.noise(40, 50, seed))[None] for seed in (1, 2))
    monkeypatch.setattr(models, "STRIP", 16)
    assert models.psnr(a, b) == pytest.approx(float(metrics.psnr(a, b)[0]))
    where = np.zeros((50, 40), dtype=bool)
    where[20:40, 5:30] = True
    inside = a[:, 20:40, 5:30], b[:, 20:40, 5:30]
    assert models.psnr(a, b, where) == pytest.approx(float(metrics.psnr(*inside)[0]))
    assert models.psnr(a, a) == metrics.PSNR_CAP
