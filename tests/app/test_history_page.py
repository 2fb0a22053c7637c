"""The page History: results of a session, side by side and to take home."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pictures
import pytest
import standins
from PIL import Image
from visits import page, said, upload, watched

from afterimage.app import frame, history, kept, widgets


def test_what_was_looked_at_is_compared_and_taken_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = standins.project(tmp_path, monkeypatch)
    test = page("History", monkeypatch, root)
    assert "Nothing yet." in said(test.info)[0]
    script = (
        "import streamlit as st\nfrom afterimage.app import frame\nframe.page(st.session_state.get('page', 'Features'))"
    )
    test = test.from_string(script, default_timeout=60).run()
    upload(test, "mine.png", pictures.png(60, 40))
    test.slider(key="features-intensity").set_value(0.5).run()
    test.session_state["page"] = "Restore"
    test.run()
    test.session_state["page"] = "History"
    with watched(monkeypatch, "history") as shown:
        test.run()
    assert not test.exception
    names = ["mine, dark", "mine, small relu", "mine, small relu", "chelsea, small relu"]
    assert list(shown) == [f"{4 - place}. {name}" for place, name in enumerate(names)]
    original = np.asarray(pictures.noise(60, 40))
    assert (np.asarray(shown["2. mine, small relu"]) == 255 - original).all()
    assert np.abs(np.asarray(shown["3. mine, small relu"]) - (255 - original) / 2).max() < 1
    values = test.session_state["kept"].values
    before, after = values["compared", ""]  # the picture, and the latest
    assert (np.asarray(before) == original).all() and after is shown["4. mine, dark"]
    test.selectbox(key="history-other").set_value("2").run()
    assert values["compared", ""][0] is shown["2. mine, small relu"]
    with zipfile.ZipFile(io.BytesIO(history.zipped(values["listed", ""]))) as archive:
        files = ["01-chelsea-small-relu.png", "02-mine-small-relu.png", "03-mine-small-relu.png", "04-mine-dark.png"]
        assert archive.namelist() == files
        assert Image.open(io.BytesIO(archive.read(files[1]))).size == (60, 40)


def test_the_latest_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = standins.project(tmp_path, monkeypatch)
    monkeypatch.setattr(history, "MAX_SHOWN", 1)
    test = page("Restore", monkeypatch, root)
    test.slider(key="strength").set_value(0.5).run()
    assert len([name for name in test.session_state["kept"].values if name[0] == widgets.HISTORY]) == 2
    monkeypatch.setattr(
        frame, "ENTRIES", [entry._replace(name="Restore") for entry in frame.ENTRIES if entry.name == "History"]
    )
    with watched(monkeypatch, "history") as shown:
        test.run()
    assert len(shown) == 1 and not test.exception
    assert kept.held() > 0
