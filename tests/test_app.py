"""The web page's logic, without a browser: what visitors send, and what the pages make of it."""

import io
import os
import re
import subprocess
import threading
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pictures
import pytest
from click.testing import CliRunner
from conftest import ROOT, Project, load_yaml
from PIL import Image
from streamlit.testing.v1 import AppTest

from afterimage import layout, outputs
from afterimage.app import clips, models, revisions, safety, widgets
from afterimage.cli import main
from afterimage.errors import AfterimageError, ImageError


def page(name: str, monkeypatch: pytest.MonkeyPatch, project: Path) -> AppTest:
    monkeypatch.setenv("AFTERIMAGE_PROJECT", str(project))
    script = f"from afterimage.app import frame\nframe.page({name!r})"
    return AppTest.from_string(script, default_timeout=60).run()


def said(boxes: Any) -> list[str]:
    """The texts of boxes, without the backslashes that keep them from being markup."""
    return [re.sub(r"\\(.)", r"\1", box.value) for box in boxes]


def upload(test: AppTest, name: str, data: bytes) -> AppTest:
    test.segmented_control(key="source").set_value("Upload").run()
    return test.file_uploader(key="upload").set_value((name, data, "image/png")).run()


def numbers(test: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in test.metric}


# What visitors send


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("text.png", b"hello", "text.png: not a picture in a known format; expected JPEG, PNG, WebP, HEIC or GIF."),
        ("empty.jpg", b"", "empty.jpg: the file is empty."),
        ("cut.jpg", pictures.truncated(), "cut.jpg: damaged image: "),
        ("bomb.png", pictures.bomb(), "bomb.png: 30000 x 30000 px are too many; expected at most 12000 px a side"),
        ("long.png", pictures.png(12_001, 40), "long.png: 12001 x 40 px are too many"),
        ("tiny.png", pictures.png(31, 40), "tiny.png: 31 x 40 px are too few; expected at least 32 px a side."),
        ("other.tiff", pictures.encoded(pictures.noise(), "TIFF"), "other.tiff: not a picture in a known format"),
        ("../../etc/passwd", b"", "passwd: the file is empty."),
        ("a\nb`*[x](y)<b>.png", b"", "a_b___x_(y)_b_.png: the file is empty."),
    ],
)
def test_a_bad_file_is_one_sentence(name: str, data: bytes, sentence: str) -> None:
    with pytest.raises(ImageError) as caught:
        safety.picture(name, data)
    text = str(caught.value)
    assert text.startswith(sentence)
    assert "\n" not in text
    assert text.endswith(".")


def test_a_large_file_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safety, "MAX_MEGABYTES", 0)
    with pytest.raises(ImageError, match=r"a\.png: .* MB are more than the 0 MB allowed\."):
        safety.picture("a.png", pictures.png())


def test_pictures_of_all_kinds_are_read_upright_as_rgb() -> None:
    image = pictures.noise(60, 40)
    assert safety.picture("a.png", pictures.oriented(image, 6)).image.size == (40, 60)
    cmyk = safety.picture("c.jpg", pictures.encoded(image.convert("CMYK"), "JPEG"))
    assert (cmyk.image.mode, cmyk.image.size, cmyk.name) == ("RGB", (60, 40), "c")
    moving = safety.picture("m.gif", pictures.animation())
    assert moving.image.getpixel((0, 0)) == (255, 0, 0)
    assert moving.note == "m.gif is an animation; its first frame is used."
    assert safety.picture("w.webp", pictures.encoded(image, "WEBP")).note == ""


def test_heic_is_read() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
    try:
        data = pictures.encoded(pictures.noise(64, 48), "HEIF")
    except Exception as error:
        pytest.skip(f"this build of pillow-heif cannot write HEIC: {error}")
    found = safety.picture("IMG_0001.HEIC", data)
    assert (found.image.size, found.name) == ((64, 48), "IMG_0001")


def test_too_many_files_are_refused() -> None:
    safety.batch([("a.png", 1_000_000)] * safety.MAX_FILES)
    with pytest.raises(ImageError, match="50 files are too many at once; expected at most 24"):
        safety.batch([("a.png", 10)] * 50)
    with pytest.raises(ImageError, match="240 MB are too many at once; expected at most 200 MB"):
        safety.batch([("a.png", 24_000_000)] * 10)


def test_shapes_become_the_mask_that_was_drawn() -> None:
    box = {"kind": "box", "box": [30, 4, 10, 9]}
    mask = safety.mask_from_shapes([box], (40, 20))
    expected = np.zeros((20, 40), dtype=bool)
    expected[4:9, 10:30] = True
    assert (mask == expected).all()
    stroke = {"kind": "stroke", "width": 6, "points": [[5, 10], [35, 10]]}
    drawn = safety.mask_from_shapes([stroke], (40, 20))
    assert drawn[8:12, 5:35].all()
    assert not drawn[:5].any()
    assert drawn[10, 2:4].all()  # ends are round and reach beyond the points
    dot = safety.mask_from_shapes([{"kind": "stroke", "width": 4, "points": [[20, 10]]}], (40, 20))
    assert 4 < dot.sum() < 40


@pytest.mark.parametrize(
    "shapes",
    [
        "text",
        [1],
        [{}],
        [{"kind": "box"}],
        [{"kind": "box", "box": [1, 2, 3]}],
        [{"kind": "box", "box": [0, 0, float("nan"), 5]}],
        [{"kind": "stroke", "width": "x", "points": [[1, 2]]}],
        [{"kind": "stroke", "width": 3, "points": [[1, 2, 3]]}],
        [{"kind": "box", "box": [0, 0, 1, 1]}] * (safety.MAX_SHAPES + 1),
        [{"kind": "stroke", "width": 3, "points": [[1, 2]] * (safety.MAX_POINTS + 1)}],
    ],
)
def test_a_drawing_that_no_browser_of_ours_sent_is_refused(shapes: Any) -> None:
    with pytest.raises(ImageError, match=r"^The drawing .*\.$"):
        safety.mask_from_shapes(shapes, (40, 20))


def test_shapes_cannot_reach_outside() -> None:
    far = [{"kind": "box", "box": [-1e300, -5, 1e300, 1e9]}, {"kind": "stroke", "width": 1e12, "points": [[1e300, 0]]}]
    assert safety.mask_from_shapes(far, (40, 20)).all()


def test_a_mask_file_fits_the_picture_or_says_why_not() -> None:
    hole = Image.new("L", (40, 40))
    hole.paste(255, (5, 5, 15, 25))
    mask = safety.mask_from_file("m.png", pictures.encoded(hole), (40, 40), "auto")
    assert mask.sum() == 200
    for data, size, words in (
        (pictures.encoded(hole), (50, 40), "m.png: the mask is 40 x 40 px, expected the image's 50 x 40 px"),
        (b"no", (40, 40), "m.png: not a picture in a known format"),
        (pictures.png(40, 40), (40, 40), "m.png: a mask is black and white"),
    ):
        with pytest.raises(AfterimageError, match=re.escape(words)):
            safety.mask_from_file("m.png", data, size, "auto")


# The server


@pytest.mark.parametrize(("address", "guarded"), [("127.0.0.1", True), ("0.0.0.0", False)])
def test_the_server_is_quiet_and_on_loopback(address: str, guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda program, words: started.append(words))
    monkeypatch.setenv("AFTERIMAGE_PROJECT", "elsewhere")
    done = CliRunner().invoke(main, ["app", "--port", "9000", *(["--address", address] if not guarded else [])])
    assert done.exit_code == 0, done.output
    (words,) = started
    options = dict(pairwise(words))
    assert (options["--server.address"], options["--server.port"]) == (address, "9000")
    assert options["--browser.gatherUsageStats"] == "false"
    assert options["--server.maxUploadSize"] == str(safety.MAX_MEGABYTES)
    assert ("--server.allowedHosts" in words) is guarded
    assert os.environ["AFTERIMAGE_PROJECT"] == str(Path.cwd())


# Revisions


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    return subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """A project in a folder of its repository, with a row that changed and one that went."""
    root = tmp_path / "repository/project"
    for name, text in {"decoders/a": '{"images": 3, "psnr": 20.5}', "decoders/gone": '{"psnr": 1}'}.items():
        path = root / "metrics" / name / "summary.json"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    git(tmp_path, "init", "--quiet", "repository")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "First <b>run</b>")
    git(root, "tag", "v1")
    (root / "metrics/decoders/a/summary.json").write_text('{"images": 3, "psnr": 21.5, "ssim": 0.5}')
    (root / "metrics/decoders/gone/summary.json").unlink()
    return root


def test_the_difference_to_a_revision(history: Path) -> None:
    before, now = revisions.numbers_at(history, "v1"), revisions.numbers_now(history)
    assert before == {"decoders/a": {"images": 3, "psnr": 20.5}, "decoders/gone": {"psnr": 1}}
    assert [(c.row, c.metric, c.before, c.now, c.change) for c in revisions.changes(before, now)] == [
        ("decoders/a", "psnr", 20.5, 21.5, 1.0),
        ("decoders/a", "ssim", None, 0.5, None),
        ("decoders/gone", "psnr", 1, None, None),
    ]
    assert list(revisions.recent(history).values()) == ["First <b>run</b>"]
    assert revisions.numbers_at(history, "HEAD") == before


def test_a_revision_is_a_name_and_nothing_else(history: Path, tmp_path: Path) -> None:
    for text in ("--output=/tmp/x", "v1; rm -rf .", "v1:metrics", "", "a b", "-x", "$(id)"):
        with pytest.raises(AfterimageError, match="is no name of a revision"):
            revisions.numbers_at(history, text)
    with pytest.raises(AfterimageError, match="There is no revision nobody here"):
        revisions.numbers_at(history, "nobody")
    with pytest.raises(AfterimageError, match="Git cannot read this project's history"):
        revisions.recent(tmp_path)


# Pages


def test_features_rebuilds_a_picture_from_each_layer(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    test = page("Features", monkeypatch, project.root)
    assert not test.exception
    assert test.segmented_control(key="encoder").options == ["small"]
    upload(test, "mine.png", pictures.png(70, 45))
    assert not test.exception
    first = numbers(test)
    assert first["PSNR"].endswith(" dB")
    assert set(first) == {"PSNR", "SSIM", "lpips_untrained", "Time"}
    image = pictures.noise(70, 45)
    truth, found = (np.asarray(each)[None] for each in (image, models.load("decoders", "small-relu").model(image)))
    assert first["PSNR"] == f"{models.psnr(truth, found):.2f} dB"
    again = test.run()
    assert numbers(again) == first  # the time is that of the first run: nothing was computed twice
    test.slider(key="features-intensity").set_value(0.5).run()
    assert numbers(test)["PSNR"] != first["PSNR"]


def test_features_names_what_is_wrong(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    test = page("Features", monkeypatch, project.root)
    upload(test, "a_b.png", b"text")
    assert said(test.error) == ["a_b.png: not a picture in a known format; expected JPEG, PNG, WebP, HEIC or GIF."]
    test.file_uploader(key="upload").set_value(("moving.gif", pictures.animation(), "image/gif")).run()
    assert not test.error
    assert "moving.gif is an animation; its first frame is used." in said(test.caption)
    assert not test.exception


def test_pictures_of_two_visitors_stay_apart(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (page("Features", monkeypatch, project.root) for _ in range(2))
    upload(one, "one.png", pictures.png(64, 40, seed=1))
    upload(two, "two.png", pictures.png(40, 64, seed=2))
    kept = [test.session_state["kept"][0] for test in (one, two)]
    assert kept[0] != kept[1]
    one.run()
    assert one.session_state["kept"][0] == kept[0]
    assert one.session_state["read"][1].name == "one"


def test_a_row_is_loaded_while_no_other_runs(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tracing an encoder patches torch for the whole process: at any other time, a run in another thread breaks."""
    monkeypatch.setenv("AFTERIMAGE_PROJECT", str(project.root))
    models._load.clear()
    image = pictures.noise(64, 48)
    shared = models.load("decoders", "small-relu")
    faults: list[Exception] = []

    def run() -> None:
        try:
            for _ in range(20):
                shared.run(lambda model: model(image))
        except Exception as error:
            faults.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    models.load("decoders", "small-layer1")
    thread.join()
    assert faults == []


def test_a_batch_comes_back_as_a_zip(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    import zipfile

    test = page("Features", monkeypatch, project.root)
    good = pictures.png(50, 40)
    files = [("a.png", good, "image/png"), ("a.png", good, "image/png"), ("bad.png", b"no", "image/png")]
    test.file_uploader(key="features-batch-files").set_value(files).run()
    test.button(key="features-batch-go").click().run()
    assert not test.exception
    assert said(test.error) == ["bad.png: not a picture in a known format; expected JPEG, PNG, WebP, HEIC or GIF."]
    _, data, _ = test.session_state["features-batch-zip"]
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == ["a-small-relu.png", "a-2-small-relu.png"]
        assert Image.open(io.BytesIO(archive.read("a-small-relu.png"))).size == (50, 40)
    test.file_uploader(key="features-batch-files").set_value([files[0]] * 50).run()
    assert said(test.error) == ["50 files are too many at once; expected at most 24."]


def test_a_page_without_models_says_which_command_trains_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "params.yaml").write_text("decoders:\n  mine: {encoder: vgg11, layers: [relu1_1], arch: light}\n")
    test = page("Features", monkeypatch, tmp_path)
    assert "`make repro` trains everything" in test.info[0].value
    assert "`dvc repro train-decoder@mine`" in test.info[0].value
    assert not test.metric
    test = page("Inpaint", monkeypatch, tmp_path)
    assert "the section `inpainters` of params.yaml has no rows" in test.info[0].value
    test = page("Results", monkeypatch, tmp_path)
    assert "Nothing is measured here yet." in test.info[0].value
    assert not test.exception


def test_the_commands_that_it_names_are_stages() -> None:
    stages, params = load_yaml(ROOT / "dvc.yaml")["stages"], load_yaml(ROOT / "params.yaml")
    for family, how in models.FAMILIES.items():
        if family in params:
            assert stages[how.stage]["foreach"] == f"${{{family}}}"


def test_a_broken_project_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "params.yaml").write_text("decoders: [")
    test = page("Features", monkeypatch, tmp_path)
    assert "not valid YAML" in said(test.error)[0]
    assert not test.exception


def test_results_shows_the_run_and_what_changed(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    test = page("Results", monkeypatch, project.root)
    assert not test.exception
    tables = [table.value for table in test.dataframe]
    assert list(tables[0]["row"]) == ["small-relu", "small-layer1"]
    last, first = revisions.recent(project.root)
    test.selectbox(key="revision").set_value(last).run()
    assert said(test.success) == [f"Every number is the same as at {last}."]
    test.selectbox(key="revision").set_value(first).run()
    changed = test.dataframe[-1].value
    assert set(changed["verdict"]) == {"new"}
    assert "decoders/small-relu" in set(changed["row"])


def test_the_hole_is_filled_and_nothing_else(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    test = page("Inpaint", monkeypatch, project.root)
    assert "Draw a box or a stroke" in test.info[-1].value
    monkeypatch.setattr(widgets, "canvas", lambda picture: [{"kind": "box", "box": [10, 10, 60, 40]}])
    upload(test, "mine.png", pictures.png(100, 80))
    test.button(key="fill").click().run()  # a completer is trained there, whose samples wait to be asked for
    assert not test.exception
    assert "18.8% of the picture is missing." in said(test.caption)
    assert set(numbers(test)) == {"In the hole", "PSNR", "SSIM", "lpips_untrained", "Time"}
    test.toggle(key="whole").set_value(False).run()
    assert set(numbers(test)) == {"Time"}
    monkeypatch.setattr(widgets, "canvas", lambda picture: [{"kind": "box", "box": [0, 0, 100, 80]}])
    test.run()
    assert "everything is missing by this mask" in said(test.error)[0]


@pytest.fixture
def families(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a row of each family that stands in for a trained one."""
    classes = {"restorers": "RestorerRow", "inpainters": "InpainterRow", "completers": "CompleterRow"}
    (tmp_path / "params.yaml").write_text("".join(f"{family}:\n  mine: {{}}\n" for family in classes))
    for family, name in classes.items():
        outputs.write_json(tmp_path / layout.model(family, "mine") / "card.json", {})
        monkeypatch.setitem(models.FAMILIES, family, models.Family("standins", name, f"train-{family[:-1]}"))
    return tmp_path


def test_every_method_fills_the_hole(families: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widgets, "canvas", lambda picture: [{"kind": "box", "box": [10, 10, 60, 40]}])
    shown: dict[str, Image.Image] = {}
    gallery = widgets.gallery

    def spy(cells: list[widgets.Cell], key: str, **options: Any) -> str:
        if key == "filled-gallery":
            shown.update({cell.title: cell.image for cell in cells})
        return gallery(cells, key, **options)

    monkeypatch.setattr(widgets, "gallery", spy)
    test = page("Inpaint", monkeypatch, families)
    upload(test, "mine.png", pictures.png(100, 80))
    assert not shown  # drawing samples takes time, so it waits for the button
    test.button(key="fill").click().run()
    assert not test.exception
    drawn = "mine (completers)"
    names = ["mine", f"{drawn}, mean", *(f"{drawn}, sample {number}" for number in range(1, 5)), "Telea"]
    assert list(shown) == names
    original = np.asarray(pictures.noise(100, 80))
    known = np.ones((80, 100), dtype=bool)
    known[10:40, 10:60] = False
    for image in shown.values():
        assert (np.asarray(image)[known] == original[known]).all()
    assert shown["mine"].getpixel((20, 20)) == (255, 0, 0)
    assert shown[f"{drawn}, sample 4"].getpixel((20, 20)) == (60, 60, 60)
    assert "Where the samples differ" in [title.value for title in test.subheader]
    shown.clear()
    test.slider(key="samples").set_value(2).run()
    assert not shown
    test.button(key="fill").click().run()
    assert len(shown) == len(names) - 2


def test_a_good_picture_is_spoiled_and_restored(families: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test = page("Restore", monkeypatch, families)
    assert not test.exception
    spoiled = numbers(test)
    assert set(spoiled) == {"PSNR", "SSIM", "Time"}
    test.slider(key="noise").set_value(0.1).run()
    assert numbers(test)["PSNR"] != spoiled["PSNR"]
    upload(test, "bad.png", pictures.png(64, 48))
    assert set(numbers(test)) == {"Time"}  # what a visitor sends is taken for bad, and nothing to measure against


def test_a_clip_is_restored(families: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = np.stack([np.asarray(pictures.noise(49, 40, seed)) for seed in range(10)])
    data = clips.encode(frames, Fraction(25))
    test = page("Restore", monkeypatch, families)
    test.segmented_control(key="kind").set_value("Clip").run()
    test.file_uploader(key="clip").set_value(("clip.mp4", data, "video/mp4")).run()
    test.button(key="clip-go").click().run()
    assert not test.exception
    _, clip, _, made = test.session_state["clip-read"]
    assert clip.frames.shape == (10, 40, 50, 3)
    restored = clips.read("out.mp4", made["mine"][1])
    assert (restored.frames.shape, restored.rate) == (clip.frames.shape, 25)
    assert np.abs(restored.frames.astype(int) - (255 - clip.frames.astype(int))).mean() < 6
    test.file_uploader(key="clip").set_value(("no.mp4", b"hello", "video/mp4")).run()
    assert said(test.error) == ["no.mp4: not a clip in a known format; expected MP4, MOV or WebM."]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the file is empty"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "not a clip in a known format"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "not a clip in a known format"),
        (b"\0\0\0\x18ftypmp42" + bytes(100), "damaged clip"),
    ],
)
def test_a_bad_clip_is_one_sentence(data: bytes, words: str) -> None:
    with pytest.raises(ImageError, match=rf"^a\.mp4: .*{words}.*\.$"):
        clips.read("a.mp4", data)


def test_a_long_clip_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = clips.encode(np.zeros((12, 32, 32, 3), np.uint8), Fraction(10))
    monkeypatch.setattr(clips, "MAX_SECONDS", 1)
    with pytest.raises(ImageError, match="longer than the 1.0 s allowed at 32 x 32 px; cut it shorter."):
        clips.read("a.mp4", data)


def test_intensity_multiplies_within_the_mask_alone() -> None:
    image = Image.new("RGB", (4, 2), (100, 200, 0))
    assert widgets.intensity(image, 1.5).getpixel((0, 0)) == (150, 255, 0)
    where = np.array([[True, False, False, False], [False] * 4])
    changed = widgets.intensity(image, 0.5, where)
    assert (changed.getpixel((0, 0)), changed.getpixel((1, 0))) == ((50, 100, 0), (100, 200, 0))


def test_psnr_in_strips_is_psnr(monkeypatch: pytest.MonkeyPatch) -> None:
    from afterimage import metrics

    a, b = (np.asarray(pictures.noise(40, 50, seed))[None] for seed in (1, 2))
    monkeypatch.setattr(models, "STRIP", 16)
    assert models.psnr(a, b) == pytest.approx(float(metrics.psnr(a, b)[0]))
    where = np.zeros((50, 40), dtype=bool)
    where[20:40, 5:30] = True
    inside = a[:, 20:40, 5:30], b[:, 20:40, 5:30]
    assert models.psnr(a, b, where) == pytest.approx(float(metrics.psnr(*inside)[0]))
    assert models.psnr(a, a) == metrics.PSNR_CAP
