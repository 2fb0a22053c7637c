"""Rows of the zoo on the page: beside trained ones, and instead of them."""

import shutil
from pathlib import Path

import numpy as np
import pictures
import pytest
import standins
from conftest import ROOT
from streamlit.testing.v1 import AppTest
from visits import page, said, upload, watched

from afterimage.app import frame, models
from afterimage.core import zoo

NAME, LARGER = "zoo/real-blind", "zoo/real-x2"
FILTER = "Exposure + non-local means"


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in which nothing is trained."""
    shutil.copytree(ROOT / NAME, tmp_path / NAME)
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    monkeypatch.setenv("AFTERIMAGE_PROJECT", str(tmp_path))
    return tmp_path


def test_without_trained_rows_the_page_opens_on_those_of_the_zoo(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test = AppTest.from_string("from afterimage.app import frame\nframe.main()", default_timeout=60).run()
    assert not test.exception
    assert [title.value for title in test.title] == ["What was in front of the camera?"]
    test = page("Restore", monkeypatch, clone)
    with watched(monkeypatch, "restored") as shown:
        upload(test, "bad.png", pictures.png(64, 48))
    assert not test.exception and not test.info
    assert list(shown) == ["given", NAME, FILTER]
    assert np.asarray(shown[NAME]).shape == (48, 64, 3)
    about = zoo.card(clone, NAME)["about"]
    assert f"{NAME}: {about['licence']}" in said(test.caption)
    trained = (
        f"{NAME} was trained on tiles of 240 px of {', '.join(about['data'])}: damage of the levels camera, light, "
    )
    assert any(text.startswith(trained) for text in said(test.caption))


def test_beside_trained_rows_they_come_first_and_what_enlarges_is_offered_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = standins.project(tmp_path, monkeypatch)
    for name in (NAME, LARGER):
        shutil.copytree(ROOT / name, root / name)
    with watched(monkeypatch, "restored") as shown:
        test = page("Restore", monkeypatch, root)
    assert frame.opens() == "Features"
    assert list(models.usable("frames")) == [NAME, LARGER, "dark"]
    assert models.first(models.usable("frames")) == [NAME, "dark"]
    assert LARGER in test.button_group(key="restore-methods").options
    assert list(shown) == ["given", NAME, "dark", FILTER]
    assert any(NAME in text for text in said(test.caption))


def test_a_broken_project_opens_on_the_first_page(clone: Path) -> None:
    (clone / "params.yaml").write_text("reconstructors: [")
    assert frame.opens() == "Features"


def test_a_damaged_file_is_one_sentence(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (clone / NAME / "model.safetensors").write_bytes(b"other")
    test = page("Restore", monkeypatch, clone)
    assert "its sha256 is" in said(test.error)[0] and not test.exception
