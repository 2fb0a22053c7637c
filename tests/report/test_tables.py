"""The tables of `afterimage rows`, from params.yaml and metrics/ alone, and the CSV files for `dvc plots`."""

import csv
import re
import subprocess
import sys
from pathlib import Path

import measured
import numpy as np
import pytest
from tabulate import tabulate

from afterimage.core import layout, outputs
from afterimage.core.errors import ParamsError
from afterimage.evaluation.results import PROVENANCE
from afterimage.report import Project, tables

WIDTH = 120


def put(kind: str, row: str, case: str, **numbers: float) -> None:
    outputs.write_json(layout.metrics(kind, row) / f"{case}.json", numbers)


def row(observes: str, observation: str) -> dict[str, str]:
    return {"kind": "anything", "dataset": "photos", "observes": observes, "observation": observation}


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[dict[str, object]]]:
    monkeypatch.chdir(tmp_path)
    measured.params(
        observations={
            "vgg16": {"kind": "features", "dataset": "photos", "layers": ["relu1_2"]},
            "two-boxes": {"kind": "holes", "dataset": "photos"},
            "photos-cctv": {"kind": "frames", "dataset": "photos", "levels": {"light": [], "heavy": []}},
        },
        reconstructors={
            "vgg16-relu1_2": row("features", "vgg16/relu1_2"),
            "photos-unconditional": row("holes", "two-boxes"),
            "toy": measured.outside("holes", "two-boxes"),
            "photos-nafnet": row("frames", "photos-cctv"),
            "unmeasured": row("frames", "photos-cctv"),
        },
        searches={"vgg16-relu1_2-search": row("features", "vgg16/relu1_2"), "later": row("features", "vgg16/relu1_2")},
        baselines={"features": ["mean_colour"], "holes": ["navier_stokes"], "frames": ["exposure_nlm"]},
    )
    put("features", "vgg16-relu1_2", "test", psnr=32.6999, ssim=0.943583, mse=0.000608051, lpips_untrained=0.00243231)
    for case in ("decoder", "optimisation", "hybrid"):
        put("features", "vgg16-relu1_2-search", case, psnr=50.0, ssim=0.9, feature_error=9.59618e-06)
    put("features", "vgg16", "mean_colour", psnr=21.0, ssim=0.5, lpips_untrained=0.07)
    whole = dict(psnr=32.6, ssim=0.9, hole_psnr=25.0, hole_rmse=0.0558151, hole_ssim=0.678589, band_rmse=0.0311129)
    put("holes", "photos-unconditional", "test", **whole, bits=4.38884, lpips_untrained=0.005)
    put("holes", "two-boxes", "navier_stokes", **whole, lpips_untrained=0.005)
    for level in ("heavy", "light"):
        put("frames", "photos-nafnet", level, psnr=20.0, ssim=0.9, mse=0.01)
        put("frames", "photos-cctv", f"{level}/exposure_nlm", psnr=18.0, ssim=0.8, mse=0.01)
    measured.model("vgg16-relu1_2")
    order = {"cases": ["decoder", "optimisation", "hybrid"]}
    outputs.write_json(layout.measured("vgg16-relu1_2-search") / PROVENANCE, order)
    return tables.results(tmp_path)


def test_a_table_for_each_kind_of_observation(found: dict[str, list[dict[str, object]]]) -> None:
    assert {kind: [(line["row"], line["case"]) for line in lines] for kind, lines in found.items()} == {
        "features": [
            ("vgg16-relu1_2", "test"),
            ("vgg16-relu1_2-search", "decoder"),
            ("vgg16-relu1_2-search", "optimisation"),
            ("vgg16-relu1_2-search", "hybrid"),
            ("later", "-"),
            ("vgg16", "mean_colour"),
        ],
        "holes": [("photos-unconditional", "test"), ("toy", "-"), ("two-boxes", "navier_stokes")],
        "frames": [
            ("photos-nafnet", "light"),
            ("photos-nafnet", "heavy"),
            ("unmeasured", "light"),
            ("unmeasured", "heavy"),
            ("photos-cctv", "light/exposure_nlm"),
            ("photos-cctv", "heavy/exposure_nlm"),
        ],
    }


def test_lines_have_the_same_columns(found: dict[str, list[dict[str, object]]]) -> None:
    first = ["row", "case", "observation", "trained"]
    assert {kind: list(lines[0]) for kind, lines in found.items()} == {
        "features": [*first, "psnr", "ssim", "feature_error", "lpips_untrained"],
        "holes": [*first, "hole_psnr", "hole_rmse", "hole_ssim", "psnr", "bits"],
        "frames": [*first, "psnr", "ssim"],
    }
    assert all(list(line) == list(lines[0]) for lines in found.values() for line in lines)
    decoder, search, *_, later, baseline = found["features"]
    assert [line["trained"] for line in (decoder, search, later, baseline)] == ["yes", "-", "-", "-"]
    assert (decoder["psnr"], decoder["feature_error"]) == (32.6999, None)
    assert (decoder["observation"], baseline["observation"]) == ("vgg16/relu1_2", "vgg16")
    assert (found["holes"][1]["trained"], found["holes"][1]["hole_psnr"]) == ("no", None)


def test_tables_fit_a_terminal(found: dict[str, list[dict[str, object]]]) -> None:
    for lines in found.values():
        text = tabulate(lines, headers="keys", floatfmt=".4g", missingval="-")
        assert max(map(len, text.splitlines())) <= WIDTH
    assert re.search(r"^unmeasured +heavy +photos-cctv +no +- +-$", text, re.MULTILINE)


def test_nothing_is_measured_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    measured.params(
        observations={"two": {"kind": "holes", "dataset": "photos"}}, reconstructors={"toy": row("holes", "two")}
    )
    assert tables.results(tmp_path) == {
        "holes": [{"row": "toy", "case": "-", "observation": "two", "trained": "no"}],
    }


def test_a_wrong_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"params\.yaml: there is no such parameter file"):
        tables.results(tmp_path)
    (tmp_path / "params.yaml").write_text("decoders: {}\n", encoding="utf-8")
    with pytest.raises(ParamsError, match="rows of `decoders` are now rows of `reconstructors`"):
        tables.results(tmp_path)


def test_nothing_heavy_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    measured.params()
    code = (
        "import sys; from pathlib import Path; from afterimage.report import tables; tables.results(Path()); "
        "print([name for name in ('torch', 'matplotlib', 'pandas', 'cv2', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# For `dvc plots` and spreadsheets


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Rows of two data sets, measured on all images and on some, validated by two metrics."""
    monkeypatch.chdir(tmp_path)
    few = measured.KEYS[:4]
    for observation, rows in {"a": ("one", "two", "short"), "b": ("three",), "c": ("other",)}.items():
        measured.result("holes", observation, "telea", 30.0, hole_psnr=22.0)
        for name in rows:
            measured.result("holes", name, "test", 31.0, hole_psnr=23.0)
    measured.result("holes", "some", "test", 31.0, few, hole_psnr=23.5, bits=4.0)
    for name, columns in {
        "one": {"train_l1": [0.2, 0.1], "val_hole_psnr": [20.0, 21.0], "val_hole_mse": [0.01, 0.008]},
        "two": {"val_hole_psnr": [20.5, 21.5], "train_l2": [0.2, 0.1]},
        "three": {"val_bits": [5.0, 4.0, 4.5]},
        "short": {"val_hole_psnr": [19.0]},
        "some": {"val_hole_mse": [0.02, 0.01]},
        "other": {"val_hole_psnr": [20.0, 25.0]},
    }.items():
        epochs = range(1, 1 + len(next(iter(columns.values()))))
        lines = zip(epochs, *columns.values(), strict=True)
        outputs.write_csv(layout.model(name) / "curves.csv", ["epoch", *columns], lines)
    elsewhere = row("holes", "c") | {"dataset": "faces"}
    measured.params(
        observations={name: {"kind": "holes", "dataset": "faces" if name == "c" else "photos"} for name in "abc"},
        reconstructors={
            **{name: row("holes", "a") for name in ("one", "two", "short", "some")},
            "three": row("holes", "b"),
            "other": elsewhere,
        },
        baselines={"holes": ["telea"]},
    )
    return Project.read(Path("params.yaml"))


def test_results_are_of_the_same_images(small: Project) -> None:
    folder = Path("tables")
    tables.quality(small, "holes", lambda project, line: {"place": line.row.name}, folder)
    assert {path.name: [line["name"] for line in read(path)] for path in folder.iterdir()} == {
        "holes-photos.csv": ["one/test", "two/test", "short/test", "a/telea", "three/test", "b/telea"],
        "holes-photos-4-images.csv": ["some/test", "a/telea"],
        "holes-faces.csv": ["other/test", "c/telea"],
    }
    mine, rival = read(folder / "holes-photos-4-images.csv")
    assert (mine["images"], mine["place"], mine["bits"], rival["bits"]) == ("4", "some", "4", "")
    assert rival["images"] == "4" and rival["psnr"] == f"{np.mean(np.linspace(29.5, 30.5, 6)[:4]):.6g}"
    for path in folder.iterdir():
        assert list(read(path)[0])[-1] == "hole_psnr"


def test_curves_are_of_one_metric(small: Project) -> None:
    folder = Path("tables")
    tables.curves(small, "holes", folder)
    assert {path.name: [(line["row"], line["epoch"]) for line in read(path)] for path in folder.iterdir()} == {
        "holes-photos-hole_psnr.csv": [("one", "1"), ("one", "2"), ("two", "1"), ("two", "2")],
        "holes-photos-hole_mse.csv": [("some", "1"), ("some", "2")],
        "holes-photos-bits.csv": [("three", "1"), ("three", "2"), ("three", "3")],
        "holes-faces-hole_psnr.csv": [("other", "1"), ("other", "2")],
    }
    line = read(folder / "holes-photos-hole_psnr.csv")[1]
    assert list(line) == ["row", "epoch", "train_l1", "val_hole_mse", "train_l2", "val_hole_psnr"]
    assert list(line.values()) == ["one", "2", "0.1", "0.008", "", "21.0"]
