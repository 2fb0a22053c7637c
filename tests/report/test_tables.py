"""The tables of `afterimage rows`: one for each kind of observation, from params.yaml and metrics/ alone."""

import re
import subprocess
import sys
from pathlib import Path

import measured
import pytest
from tabulate import tabulate

from afterimage.core import layout, outputs
from afterimage.core.errors import ParamsError
from afterimage.report import tables

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
    outputs.write_json(layout.measured("vgg16-relu1_2-search") / "cases.json", ["decoder", "optimisation", "hybrid"])
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
