"""Bad frames in the report, from metrics that are written by hand."""

import csv
import json
import re
from pathlib import Path

import measured
import numpy as np
import pytest
from pages import overview, text
from safetensors.numpy import save_file

from afterimage import report
from afterimage.core import layout, outputs
from afterimage.report import frames, grids

LEVELS = {"mild": [{"step": "low_light"}, {"step": "noise"}], "bad": [{"step": "noise"}]}
PSNR = {"strong": {"mild": 30.0, "bad": 18.0}, "seed": {"mild": 15.0, "bad": 12.0}, "toy": {"mild": 21.0, "bad": 16.0}}
BASELINES = {"identity": 14.0, "gamma_nlm": 20.0}


def row(**keys: object) -> dict[str, object]:
    return {"kind": "autoencoder", "dataset": "photos", "observes": "frames", "observation": "cctv", **keys}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> report.Project:
    monkeypatch.chdir(tmp_path)
    measured.dataset()
    measured.gates("cctv")
    for level in LEVELS:
        for method, psnr in BASELINES.items():
            measured.result("frames", "cctv", f"{level}/{method}", psnr)
    for name, levels in PSNR.items():
        for level, psnr in levels.items():
            measured.result("frames", name, level, psnr)
        lines = [
            [level, "brightness", value, 3, psnr, 0.5] for level, psnr in levels.items() for value in ("dark", "bright")
        ]
        columns = ("level", "column", "value", "images", "psnr", "ssim")
        outputs.write_csv(layout.measured(name) / "subgroups.csv", columns, lines)
    measured.model("strong", words="nafnet, medium", parameters=432_100)
    measured.model("seed", words="lenet, clean to clean", parameters=13428)
    measured.model("toy", words="two parameters", parameters=2)
    columns = ("level", "number", "step", "images", "identity_psnr", "identity_ssim", "psnr", "ssim")
    steps = [["mild", 0, "low_light", 6, 12.0, 0.5, 25.0, 0.8], ["bad", 0, "noise", 6, 33.0, 0.9, 21.0, 0.7]]
    outputs.write_csv(layout.measured("strong") / "steps.csv", columns, steps)
    found = {metric: {"mean": 1.0, "low": 0.5, "high": 1.5} for metric in ("mse", "psnr", "ssim")}
    about = {"images": 6, "filters": ["gamma", "nlm"], "network": found, "identity": found}
    outputs.write_json(layout.measured("seed") / "protocol.json", about)
    state = {"body.conv1.weight": np.arange(27, dtype=np.float32), "body.conv1.bias": np.float32([-1, 0, 4])}
    save_file(state, layout.model("seed") / "model.safetensors")
    save_file({"gain": np.float32([2]), "offset": np.float32([0.5])}, layout.model("toy") / "model.safetensors")
    measured.params(
        observations={"cctv": {"kind": "frames", "dataset": "photos", "path": "src", "levels": LEVELS}},
        reconstructors={
            "strong": row(levels=["mild"]),
            "seed": row(levels=[]),
            "toy": measured.outside("frames", "cctv"),
        },
        baselines={"frames": list(BASELINES)},
    )
    return report.Project.read(Path("params.yaml"))


def test_levels_stand_against_methods(project: report.Project, tmp_path: Path) -> None:
    (part,) = frames.parts(project, tmp_path)
    assert (part["best"], part["wins"], part["images"]) == ("strong", ["mild"], 6)
    mild, bad = part["levels"]
    assert mild["steps"] == "low light, noise"
    assert [line["values"][0]["mean"] for line in mild["rows"]] == ["30.00", "15.00", "21.00"]
    assert [line["gain"]["mean"] for line in bad["rows"]] == ["−2.00", "−8.00", "−4.00"]
    assert list(bad["rows"][2]["losses"]) == ["gamma_nlm"]
    assert [line["claimed"] for line in bad["rows"]] == [False, False, True]
    assert [any(line["best"]) for line in mild["baselines"]] == [False, True]
    assert (mild["best"]["label"], mild["best"]["loses"]) == ("strong", False)
    assert (bad["best"]["label"], bad["best"]["loses"]) == ("toy", True)


def test_the_page_says_what_holds(project: report.Project) -> None:
    report.write(project, Path("reports"))
    assert "strong beats every baseline in PSNR, as it is and after tone, and in SSIM at: mild." in text()
    assert "bad: No row beats the best baseline, gamma_nlm : the best row, toy , is 4.00 dB below it" in text()
    assert "strong nafnet, medium 432\u202f100 parameters Not trained on such frames 18.00" in text()
    assert "The identity answers that without any error" in text()
    assert "strong nafnet, medium 432\u202f100 parameters" in text()
    assert "Loses to gamma_nlm in PSNR, SSIM" in text()
    assert "identity The frame as it is; the pixels of a small one are repeated." in text()
    assert "mild low light 6 12.00 0.500 25.00 0.800" in text()
    assert "brightness: dark 3 30.00 0.500 18.00 0.500" in text()
    table = overview()
    assert re.search(r"cctv/mild strong 30\.00 .* gamma_nlm 20\.00 .* better than gamma_nlm cctv/bad toy", table)
    assert "loses to gamma_nlm" in table


def test_only_rows_that_were_trained_on_a_level_are_judged_there(project: report.Project) -> None:
    sections = report.Project.plain(Path("params.yaml"))
    rows = {name: each for name, each in sections["reconstructors"].items() if name != "toy"}
    rows["elsewhere"] = {**row(), "kind": "transfer", "decoder": "strong"}
    strong, seed, elsewhere = report.Project(**{**sections, "reconstructors": rows}).of("frames")
    for each, levels in ((strong, ["mild"]), (seed, []), (elsewhere, ["mild"])):
        assert [level for level in LEVELS if each.is_for(level)] == levels
    measured.params(
        observations=sections["observations"],
        reconstructors={"strong": row(levels=["mild"]), "seed": row(levels=[])},
        baselines=sections["baselines"],
    )
    report.write(report.Project.read(Path("params.yaml")), Path("reports"))
    assert "at every level that a row was trained on: mild." in text()
    assert "bad: no row was trained on such frames." in text()
    assert "cctv/bad" not in overview()


def test_a_gain_that_a_trivial_transform_has_is_not_claimed(project: report.Project, tmp_path: Path) -> None:
    """`strong` gains more than the shift at mild; `toy` gains less, and `seed` less than nothing at bad."""
    for level in LEVELS:
        measured.result("frames", "cctv", f"{level}/shift", 22.0 if level == "mild" else 15.0)
    data = json.loads(Path("params.yaml").read_text())
    data["baselines"]["frames"].append("shift")
    Path("params.yaml").write_text(json.dumps(data))
    project = report.Project.read(Path("params.yaml"))
    (part,) = frames.parts(project, tmp_path)
    explained = {(level["name"], line["name"]): line["explained"] for level in part["levels"] for line in level["rows"]}
    assert explained == {
        ("mild", "strong"): "",
        ("mild", "seed"): "shift",
        ("mild", "toy"): "shift",
        ("bad", "strong"): "",
        ("bad", "seed"): "",
        ("bad", "toy"): "",
    }
    report.write(project, Path("reports"))
    sentence = "Not claimed: shift alone, fitted on training pairs, gains as much over the frames"
    assert text().count(sentence) == 2


def test_figures_are_those_that_the_page_shows(project: report.Project, monkeypatch: pytest.MonkeyPatch) -> None:
    report.write(project, Path("reports"))
    page = Path("reports/index.html").read_text(encoding="utf-8")
    names = {path.name for path in Path("reports/figures").iterdir()}
    assert set(re.findall(r'src="figures/([^"]+)"', page)) == names
    assert names == {"frames-cctv.png", "glance-frames.png", "parameters-seed.png", "parameters-toy.png"}
    drawn = []
    monkeypatch.setattr(grids, "grid", lambda path, columns, rows: drawn.append((columns, rows)))
    report.write(project, Path("reports"))
    columns, rows = drawn[0]
    assert [title for title, _ in columns] == ["identity", "best baseline", "strong", "seed", "toy"]
    assert [each.name for each in rows] == ["mild", "bad"] * 2
    assert rows[0].captions[1].startswith("gamma+nlm 19.")


def test_parameters_of_small_networks_are_shown(project: report.Project, tmp_path: Path) -> None:
    (part,) = frames.parts(project, tmp_path)
    seed, toy = part["parameters"]
    assert seed["layers"][0] | {"std": None} == {
        "name": "conv1",
        "weights": 27,
        "biases": 3,
        "min": "-1.0000",
        "mean": "1.0000",
        "max": "4.0000",
        "std": None,
        "listed": {"biases": "-1.0000, 0.0000, 4.0000", "weights": ", ".join(f"{value}.0000" for value in range(27))},
    }
    assert [(layer["name"], layer["weights"], layer["biases"]) for layer in toy["layers"]] == [
        ("gain", 1, 0),
        ("offset", 1, 0),
    ]


def test_a_level_that_a_row_has_not(project: report.Project) -> None:
    """A row that observes one level only is measured on that."""
    part = {"only": row(observation="cctv/bad")}
    measured.result("frames", "only", "bad", 25.0)
    measured.model("only", parameters=0)
    data = {"observations": project.observations, "baselines": {"frames": list(BASELINES)}}
    measured.params(**data, reconstructors={"strong": row(), **part})
    report.write(report.Project.read(Path("params.yaml")), Path("reports"))
    assert "bad: only is 5.00 dB above the best baseline, gamma_nlm" in text()
    assert "mild: strong is 10.00 dB above" in text()


def test_people_are_told_apart_where_that_is_measured(project: report.Project) -> None:
    report.write(project, Path("reports"))
    assert "how often the first is more similar" not in text()
    told = {"verification_untrained": 0.52, "verification_untrained_originals": 0.64}
    for level, psnr in PSNR["strong"].items():
        measured.result("frames", "strong", level, psnr, **told)
    report.write(report.Project.read(Path("params.yaml")), Path("reports"))
    assert "verification_untrained : of the original of another photograph" in text()
    assert "For the originals themselves it is 0.640." in text()


def test_without_baselines(project: report.Project) -> None:
    measured.params(observations=project.observations, reconstructors={"toy": row()})
    report.write(report.Project.read(Path("params.yaml")), Path("reports"))
    assert "mild: The best row is toy with 21.00 dB" in text()
    assert "There are no baselines for frames" in text() and "every baseline" not in text()


def test_results_have_a_line_for_each_level(project: report.Project) -> None:
    report.write(project, Path("reports"))
    with Path("reports/tables/results/frames-photos.csv").open() as stream:
        table = {line["name"]: line for line in csv.DictReader(stream)}
    names = [f"{name}/{{}}" for name in PSNR] + [f"cctv/{{}}/{method}" for method in BASELINES]
    assert list(table) == [name.format(level) for level in LEVELS for name in names]
    assert {line["name"]: line["level"] for line in table.values()} == {
        name.format(level): level for level in LEVELS for name in names
    }
