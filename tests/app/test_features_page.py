"""The page Features: a picture rebuilt from each layer."""

import io
import threading
import zipfile
from pathlib import Path

import numpy as np
import pictures
import pytest
import standins
from conftest import Project
from PIL import Image
from visits import numbers, page, said, upload, watched

from afterimage import apply
from afterimage.app import features, models


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
        assert list(shown) == ["relu", "layer1"]  # the second row of a layer is offered, and not chosen yet
        assert shown["relu"].getpixel((0, 0)) == tuple(255 - np.asarray(pictures.noise(300, 300))[0, 0])
        pills = test.get("button_group")[2]
        assert [option.content for option in pills.proto.options] == ["relu", "layer1", "relu, light"]
    assert "Rows of `searches` take pictures of up to 65,536 pixels, such as 256 x 256." in said(test.caption)
    test.segmented_control(key="encoder").set_value("large").run()
    assert [title.value for title in test.subheader][-1] == "A closer look: relu"
    assert not test.exception


def test_a_search_is_offered_for_a_small_picture(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test = page("Features", monkeypatch, root)
    upload(test, "mine.png", pictures.png(60, 40))
    with watched(monkeypatch, "layers-small") as shown:
        test.get("button_group")[2].set_value([standins.SEARCH]).run()
        assert not test.exception
        assert list(shown) == ["relu, search"]
    (root / "data/models/a-relu/card.json").unlink()  # what the search starts from
    monkeypatch.setenv("AFTERIMAGE_PROJECT", str(root))
    assert list(models.usable("features", searches=True)) == ["a-layer1", "a-relu-light", "other"]


def test_a_trained_project_is_searched(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    test = page("Features", monkeypatch, project.root)
    upload(test, "mine.png", pictures.png(48, 40))
    with watched(monkeypatch, "layers-small") as shown:
        test.get("button_group")[2].set_value(["small-relu-search"]).run(timeout=120)
    assert not test.exception
    assert not test.error
    assert shown["relu, search"].size == (48, 40)


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
