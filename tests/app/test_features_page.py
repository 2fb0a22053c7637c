"""The page Features: a picture rebuilt from each layer."""

import io
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pictures
import pytest
import standins
from conftest import Project
from PIL import Image
from streamlit.testing.v1 import AppTest
from visits import numbers, page, said, upload, watched

from afterimage import apply
from afterimage.app import features, models, searches
from afterimage.app.places import Places
from afterimage.app.searches import Phase, Search


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return standins.project(tmp_path, monkeypatch)


def test_it_rebuilds_a_picture_from_each_layer(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    test = page("Features", monkeypatch, project.root)
    assert not test.exception
    assert test.segmented_control(key="encoder").options == ["small"]
    upload(test, "mine.png", pictures.png(70, 45))
    assert not test.exception
    first = numbers(test)
    assert first["PSNR"].endswith(" dB")
    assert set(first) == {"PSNR", "SSIM", "lpips_untrained", "Time"}
    image = pictures.noise(70, 45)
    truth, found = (np.asarray(each)[None] for each in (image, apply.load(project.root, "small-relu")(image)))
    assert first["PSNR"] == f"{models.psnr(truth, found):.2f} dB"
    again = test.run()
    assert numbers(again) == first  # the time is that of the first run: nothing was computed twice
    test.slider(key="features-intensity").set_value(0.5).run()
    assert numbers(test)["PSNR"] != first["PSNR"]


def test_rows_of_any_kind_are_listed_by_encoder_and_layer(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test = page("Features", monkeypatch, root)
    assert test.segmented_control(key="encoder").options == ["small", "large"]
    with watched(monkeypatch, "layers-small") as shown:
        upload(test, "mine.png", pictures.png(300, 300))
        assert list(shown) == ["given", "relu", "layer1"]  # the second row of a layer is offered, and not chosen yet
        assert shown["relu"].getpixel((0, 0)) == tuple(255 - np.asarray(pictures.noise(300, 300))[0, 0])
        pills = test.get("button_group")[2]
        assert [option.content for option in pills.proto.options] == ["relu", "layer1", "relu, light"]
    test.segmented_control(key="encoder").set_value("large").run()
    assert [title.value for title in test.header][-1] == "A closer look: relu"
    assert not test.exception


def test_searches_are_offered_where_their_needs_are(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test = page("Features", monkeypatch, root)
    upload(test, "mine.png", pictures.png(60, 40))
    assert test.selectbox(key="search-row").options == ["relu"]
    test.segmented_control(key="encoder").set_value("large").run()
    assert not test.selectbox  # none searches from that encoder
    (root / "data/models/a-relu/card.json").unlink()  # what the search starts from
    assert list(models.usable("features", searches=True)) == ["a-layer1", "a-relu-light", "other"]
    test.segmented_control(key="encoder").set_value("small").run()
    assert not test.selectbox and not test.exception


def test_a_picture_is_searched_for(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    test = page("Features", monkeypatch, project.root)
    upload(test, "mine.png", pictures.png(96, 72))
    test.select_slider(key="search-px").set_value(64).run()
    with watched(monkeypatch, "searched") as shown:
        test.button(key="search-go").click().run()
        assert test.button(key="search-go").disabled
        search = test.session_state["search"].search
        finished(test, search)
    assert (search.row, search.given.size, search.run.phase) == ("small-relu-search", (64, 48), Phase.DONE)
    assert list(shown) == ["given", "where it began", "found"]
    expected = apply.load(project.root, "small-relu-search")(search.given)
    assert (np.asarray(shown["found"]) == np.asarray(expected)).all()
    assert f"Over after step {search.run.number}. The picture was 64 x 48 px, reduced from 96 x 72 px." in said(
        test.caption
    )
    upload(test, "other.png", pictures.png(96, 72, seed=9))
    assert "search" not in test.session_state


def test_a_search_is_stopped(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test = page("Features", monkeypatch, root)
    upload(test, "mine.png", pictures.png(60, 40))
    monkeypatch.setattr(searches, "PLACES", Places(0))
    test.button(key="search-go").click().run()
    assert test.button(key="search-stop").label == "Cancel"
    assert "place 1 in the queue" in str(test.get("progress")[0].proto)
    test.button(key="search-stop").click().run()
    search = test.session_state["search"].search
    finished(test, search)
    assert (search.run.phase, test.button(key="search-go").disabled) == (Phase.STOPPED, False)
    assert not test.error and not test.exception


def test_a_search_that_fails_says_why(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test = page("Features", monkeypatch, root)  # its rows stand in for trained ones: none can be loaded
    upload(test, "mine.png", pictures.png(60, 40))
    test.button(key="search-go").click().run()
    finished(test, test.session_state["search"].search)
    (sentence,) = said(test.error)
    assert "searches" in sentence and "\n" not in sentence
    assert not test.exception


def finished(test: AppTest, search: Search) -> None:
    for _ in range(600):
        if search.run.over:
            break
        time.sleep(0.1)
    test.run()


def test_a_layer_says_how_many_numbers_it_keeps() -> None:
    given = [{"layer": "relu1_2", "shape": [64, 64, 64]}, {"layer": "relu3_3", "shape": [256, 16, 16]}]
    row = models.Row("mine", "small", {"size": 64, "given": given}, False)
    assert features.share(row) == "64 maps at full size + 256 maps at 1/4 size, 27 times the picture's numbers"
    assert features.share(models.Row("mine", "small", {"given": given}, False)) == ""


def test_labels_are_unique() -> None:
    card = {"given": [{"layer": "relu"}, {"layer": "layer1"}], "words": "upconv"}
    rows = {name: models.Row(name, "small", card, False) for name in "abc"}
    assert list(features.labels(rows).values()) == ["relu + layer1", "relu + layer1, upconv", "relu + layer1, c"]


def test_it_names_what_is_wrong(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test = page("Features", monkeypatch, root)
    upload(test, "a_b.png", b"text")
    assert said(test.error) == ["a_b.png: not a picture in a known format; expected JPEG, PNG, WebP, HEIC or GIF."]
    test.file_uploader(key="upload").set_value(("moving.gif", pictures.animation(), "image/gif")).run()
    assert not test.error
    assert "moving.gif is an animation; its first frame is used." in said(test.caption)
    assert not test.exception


def test_pictures_of_two_visitors_stay_apart(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (page("Features", monkeypatch, root) for _ in range(2))
    upload(one, "one.png", pictures.png(64, 40, seed=1))
    upload(two, "two.png", pictures.png(40, 64, seed=2))
    kept = [test.session_state["kept"] for test in (one, two)]
    assert kept[0].subjects["picture"] != kept[1].subjects["picture"]
    assert not {id(value) for value in kept[0].values.values()} & {id(value) for value in kept[1].values.values()}
    one.run()
    assert one.session_state["kept"] is kept[0]
    assert kept[0].values["read", ""].name == "one"


def test_a_row_is_loaded_while_no_other_runs(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tracing an encoder patches torch for the whole process: at any other time, a run in another thread breaks."""
    monkeypatch.setenv("AFTERIMAGE_PROJECT", str(project.root))
    models._load.clear()
    image = pictures.noise(64, 48)
    shared = models.load("small-relu")
    faults: list[Exception] = []

    def run() -> None:
        try:
            for _ in range(20):
                shared.run(lambda model: model(image))
        except Exception as error:
            faults.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    models.load("small-layer1")
    thread.join()
    assert faults == []


def test_a_batch_comes_back_as_a_zip(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test = page("Features", monkeypatch, root)
    good = pictures.png(50, 40)
    files = [("a.png", good, "image/png"), ("a.png", good, "image/png"), ("bad.png", b"no", "image/png")]
    test.file_uploader(key="features-batch-files").set_value(files).run()
    assert test.button(key="features-batch-go").label.replace("\\", "") == "Rebuild 3 pictures by a-relu"
    test.button(key="features-batch-go").click().run()
    assert not test.exception
    assert said(test.error) == ["bad.png: not a picture in a known format; expected JPEG, PNG, WebP, HEIC or GIF."]
    data, _ = test.session_state["kept"].values["features-batch-zip", ""]
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == ["a-a-relu.png", "a-2-a-relu.png"]
        result = Image.open(io.BytesIO(archive.read("a-a-relu.png")))
        assert (np.asarray(result) == 255 - np.asarray(pictures.noise(50, 40))).all()
    test.file_uploader(key="features-batch-files").set_value([files[0]] * 50).run()
    assert said(test.error) == ["50 files are too many at once; expected at most 24."]
