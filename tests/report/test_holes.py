"""Images with holes in the report, from metrics that are written by hand."""

import csv
import re
from pathlib import Path

import measured
import numpy as np
import pytest
from measured import KEYS, SIZE
from pages import overview, text
from pictures import png
from PIL import Image

from afterimage import report
from afterimage.core import layout
from afterimage.report import figures, grids, holes

METHODS = ("black", "telea", "biharmonic")
ROWS = {"good": 0.04, "bad": 0.12, "drawing": 0.05, "toy": 0.03}
OBSERVATION = {"kind": "holes", "dataset": "photos", "path": "src", "shape": "boxes"}


def put(row: str, case: str, rmse: float, samples: int = 0, **more: float) -> None:
    psnr = float(-20 * np.log10(rmse))
    regions = {"hole_rmse": rmse, "band_rmse": rmse, "hole_psnr": psnr, "hole_lpips": rmse, "hole_ssim": 1 - rmse}
    measured.result("holes", row, case, psnr, samples=samples, **regions, band_ssim=1 - rmse, missing=0.17, **more)


def row(observation: str = "two", **keys: object) -> dict[str, object]:
    return {"kind": "pix2pix", "dataset": "photos", "observes": "holes", "observation": observation, **keys}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> report.Project:
    monkeypatch.chdir(tmp_path)
    measured.dataset()
    measured.gates("two")
    for method, rmse in zip(METHODS, (0.3, 0.1, 0.08), strict=True):
        put("two", method, rmse)
    for name in ("good", "bad", "toy"):
        put(name, "test", ROWS[name])
    measured.model("good", {"train_l1": [0.1, 0.05], "val_hole_mse": [0.02, 0.01]}, words="100 L1; plain, smooth start")
    measured.model("bad", {"val_log_mse": [-1.0, -2.0]})
    measured.model("toy", words="two parameters", parameters=2)
    (layout.model("good") / "samples").mkdir()
    for strip in ("originals", "holes", "0001", "0002"):
        (layout.model("good") / f"samples/{strip}.png").write_bytes(png(3 * SIZE, SIZE))
    own = dict(bits=4.25, bits_whole=5.5, histogram_bits=7.75, histogram_bits_whole=7.5, coverage=0.55, spread=0.1)
    put("drawing", "test", ROWS["drawing"], samples=4, **own)
    measured.model("drawing", words="row lstm, softmax, hybrid", parameters=54321)
    measured.params(
        observations={"two": OBSERVATION, "unused": OBSERVATION},
        reconstructors={
            "good": row(),
            "bad": row(),
            "drawing": row(kind="pixelrnn"),
            "toy": measured.outside("holes", "two"),
        },
        baselines={"holes": list(METHODS)},
    )
    measured.gates("unused")
    return report.Project.read(Path("params.yaml"))


def test_rows_stand_beside_the_baselines(project: report.Project) -> None:
    report.write(project, Path("reports"))
    assert "1 of 4 rows loses to a baseline" in text()
    assert "Loses to biharmonic in hole PSNR, hole RMSE, hole SSIM, hole LPIPS, band RMSE, PSNR" in text()
    assert "toy is 8.52 dB above the best baseline, biharmonic within the hole (+8.18 to +8.86)." in text()
    assert "good 100 L1; plain, smooth start 1\u202f234\u202f000 parameters" in text()
    assert "toy two parameters 2 parameters" in text()
    assert "17 % on average (shape: boxes)" in text()
    assert "telea Fast marching from the border (OpenCV). 20.00" in text()
    assert "unused" not in text()


def test_distributions_have_a_table_of_their_own(project: report.Project) -> None:
    report.write(project, Path("reports"))
    found = text().partition("Distributions")[2]
    assert "drawing row lstm, softmax, hybrid 4 4.25" in found
    assert "ideal 0.60 for 4 samples" in found
    assert re.search(r"histogram How often each level came at each place of the training images\. +7\.75", found)
    assert "good" not in found.partition("histogram")[0]


def test_figures_are_those_that_the_page_shows(project: report.Project, monkeypatch: pytest.MonkeyPatch) -> None:
    report.write(project, Path("reports"))
    page = Path("reports/index.html").read_text(encoding="utf-8")
    names = {path.name for path in Path("reports/figures").iterdir()}
    assert set(re.findall(r'src="figures/([^"]+)"', page)) == names
    assert names == {
        "glance-holes.png",
        "holes-two.png",
        "holes-two-curves.png",
        "training-good.png",
        "samples-drawing.png",
    }
    with Image.open("reports/figures/samples-drawing.png") as image:
        assert image.width > 8 * grids.CELL  # original, left, baseline, mean, spread, three samples


def test_what_the_figures_show(project: report.Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {}
    for name in ("grid", "pictures", "strips", "training_curves"):
        monkeypatch.setattr(
            figures if name == "training_curves" else grids,
            name,
            lambda path, *found, name=name, **more: shown.update({name: found}),
        )
    holes.parts(project, tmp_path)
    columns, rows = shown["grid"]
    assert [title for title, _ in columns] == ["given", "biharmonic", "telea", "good", "bad", "drawing", "toy"]
    assert [len(each.images) for each in rows] == [7, 7]
    assert rows[0].captions[:2] == ["", f"hole {-20 * np.log10(0.08):.1f} dB"]
    titles, pictures = shown["pictures"]
    assert titles == ["original", "what is left", "biharmonic", "mean", "spread", "sample 1", "sample 2", "sample 3"]
    assert pictures[0][0].caption == KEYS[1] and pictures[0][2].caption.endswith("dB")
    assert not pictures[0][4].smooth
    _, strips = shown["strips"]
    assert [words for words, _ in strips] == ["given", "epoch 1", "epoch 2", "original"]
    panels = {name: [curve.label for curve in curves] for name, curves in shown["training_curves"][0].items()}
    assert panels["good"] == ["mse", "l1", "validation: hole mse"]
    assert panels["bad"] == ["mse"]  # neither a PSNR nor a logarithm can go on the scale of losses


def test_a_row_that_beats_nothing_says_so(project: report.Project) -> None:
    measured.params(observations={"two": OBSERVATION}, reconstructors={"bad": row()}, baselines={"holes": ["telea"]})
    report.write(report.Project.read(Path("params.yaml")), Path("reports"))
    assert "No row beats the best baseline, telea within the hole: the best row, bad , is 1.58 dB below it" in text()
    assert "loses to telea" in overview()
    assert "given" not in text().partition("Images with holes")[0]


def test_without_baselines(project: report.Project) -> None:
    measured.params(observations={"two": OBSERVATION}, reconstructors={"drawing": row()})
    report.write(report.Project.read(Path("params.yaml")), Path("reports"))
    assert "There are no baselines for holes" in text()
    assert "The best row within the hole is drawing with 26.02 dB" in text()


def test_tables_have_rows_and_baselines_and_curves(project: report.Project) -> None:
    report.write(project, Path("reports"))
    with Path("reports/tables/results/holes-photos.csv").open() as stream:
        table = {line["name"]: line for line in csv.DictReader(stream)}
    assert list(table) == [*(f"{name}/test" for name in ROWS), *(f"two/{method}" for method in METHODS)]
    assert list(table["toy/test"])[-1] == "hole_psnr"
    assert (table["drawing/test"]["bits"], table["good/test"]["bits"]) == ("4.25", "")
    with Path("reports/tables/curves/holes-photos-psnr.csv").open() as stream:
        curves = list(csv.DictReader(stream))
    assert [(line["row"], line["epoch"]) for line in curves] == [(name, epoch) for name in ROWS for epoch in "12"]
    assert (list(curves[0])[-1], curves[0]["val_psnr"], curves[0]["train_l1"]) == ("val_psnr", "20.0", "0.1")
