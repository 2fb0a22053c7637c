"""Images from features in the report, from metrics that are written by hand."""

import csv
import re
from pathlib import Path

import measured
import pytest
from measured import KEYS
from pages import line, text

from afterimage import report
from afterimage.core import layout, outputs
from afterimage.core.errors import AfterimageError, ParamsError
from afterimage.report import features, grids

FEW = KEYS[::2]
PSNR = {"net-deep": 21.37, "net-shallow": 33.52, "net-deep-light": 14.86, "net-skip": 34.19, "toy": 24.63}
SHAPES = {"shallow": [4, 16, 16], "deep": [8, 4, 4]}
SEARCHES = {
    "search-deep": {"decoder": 25.0, "hybrid": 24.0, "optimisation": 12.0},
    "search-shallow": {"decoder": 31.0, "hybrid": 50.0, "optimisation": 40.0},
}


def row(observation: str, **keys: object) -> dict[str, object]:
    return {"kind": "decoder", "dataset": "photos", "observes": "features", "observation": observation, **keys}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> report.Project:
    monkeypatch.chdir(tmp_path)
    measured.dataset()
    measured.gates("net", list(SHAPES.values()))
    for method, psnr in {"mean_colour": 17.0, "mean_image": 12.0}.items():
        measured.result("features", "net", method, psnr, mse=1 / psnr, lpips_untrained=1 / psnr)
    for name, psnr in PSNR.items():
        measured.result("features", name, "test", psnr, mse=1 / psnr, lpips_untrained=1 / psnr)
        layers = ["shallow", "deep"] if name == "net-skip" else ["shallow" if name == "net-shallow" else "deep"]
        given = [{"layer": layer, "arch": "vgg16", "weights_origin": "random, seed 7"} for layer in layers]
        measured.model(name, given=given, words="upconv" if name != "toy" else "two parameters")
    for name, cases in SEARCHES.items():
        for case, psnr in cases.items():
            ended = {} if case == "decoder" else {"steps": 9, "converged": float(case == "hybrid")}
            measured.result("features", name, case, psnr, FEW, feature_error=1 / psnr, **ended)
    measured.params(
        observations={
            "net": {
                "kind": "features",
                "dataset": "photos",
                "path": "data/weights/net.safetensors",
                "layers": list(SHAPES),
            }
        },
        reconstructors={
            "net-deep": row("net/deep"),
            "net-shallow": row("net/shallow"),
            "net-deep-light": row("net/deep", arch="light"),
            "net-skip": row("net", layers=["shallow", "deep"]),
            "toy": measured.outside("features", "net/deep"),
        },
        searches={
            "search-deep": row("net/deep", kind="inversion", images=3),
            "search-shallow": row("net/shallow", kind="inversion", images=3),
        },
        baselines={"features": ["mean_colour", "mean_image"]},
    )
    return report.Project.read(Path("params.yaml"))


def written() -> report.Project:
    found = report.Project.read(Path("params.yaml"))
    report.write(found, Path("reports"))
    return found


def test_rows_go_from_shallow_to_deep_with_their_values(project: report.Project) -> None:
    written()
    page = Path("reports/index.html").read_text(encoding="utf-8")
    singles = ["net-shallow", "net-deep", "net-deep-light", "toy", "net-skip"]
    assert re.findall(r"<small><code>([^<]+)</code>", page) == [*singles, "search-shallow", "search-deep"]
    for name, psnr in PSNR.items():
        found = line(name)
        assert f" {psnr:.2f} " in found and f"{psnr / 100:.3f}" in found
        gain = f"{psnr - 17.0:+.2f}".replace("-", "\N{MINUS SIGN}")
        assert gain in found and "1\u202f234\u202f000" in found
    assert "8×4×4 two parameters" in line("toy")
    assert "2 layers" not in line("toy") and "all 2 layers" in line("net-skip")
    assert "shallow + deep" in line("net-skip")
    assert "mean_colour Each image filled with its own mean colour. An oracle" in text()
    assert "net vgg16, random weights, seed 7: an untrained network" in text()


def test_a_losing_row_says_so(project: report.Project) -> None:
    written()
    assert "Loses to mean_colour in PSNR, SSIM, MSE, lpips_untrained" in line("net-deep-light")
    assert "1 of 5 rows loses to a baseline" in text()
    assert all("Loses" not in line(name) for name in PSNR if name != "net-deep-light")
    measured.result("features", "net-deep-light", "test", 18.0, mse=0.01, lpips_untrained=0.01)
    measured.result("features", "search-deep", "optimisation", 20.0, FEW, feature_error=0.1, converged=0.0)
    written()
    assert "Loses" not in text()
    assert "All 5 rows beat every baseline" in text()
    assert "All 6 results beat every baseline" in text()


def test_cases_stand_side_by_side_on_the_same_images(project: report.Project, tmp_path: Path) -> None:
    _, part = features.parts(project, tmp_path)
    assert (part["some"], part["images"], part["groups"]) == ("on 3 of 6 test images", 3, 2)
    assert part["cases"] == ["decoder", "hybrid", "optimisation"]
    assert part["wins"] == {"decoder": 1, "optimisation": 0, "hybrid": 1}
    assert (part["searches"], part["converged"]) == (12, 6)
    shallow, deep = part["encoders"][0]["rows"]
    assert (shallow["layers"], deep["layers"]) == ("shallow", "deep")
    means = {each["case"]: each["values"][0]["mean"] for each in deep["lines"]}
    assert means == {"decoder": "25.00", "optimisation": "12.00", "hybrid": "24.00"}
    assert [each["case"] for each in deep["lines"] if each["best"][0]] == ["decoder"]
    assert [each["case"] for each in deep["lines"] if each["losses"]] == ["optimisation"]
    values = part["baselines"][0]["values"]
    assert values[0]["mean"] == "16.90"  # of 17.00 on all six images
    assert values[-1] is None  # baselines have no feature error
    written()
    assert "on 3 of 6 test images" in text()
    assert "decoder is the best case for 1 of 2 rows, hybrid is the best case for 1, optimisation is" in text()
    assert "6 of 12 searches met their stop rule" in text()
    assert "inversion, not trained" in text()


def test_cases_are_in_the_order_that_the_evaluation_wrote(project: report.Project) -> None:
    outputs.write_json(
        layout.measured("search-deep") / "provenance.json", {"cases": ["decoder", "optimisation", "hybrid"]}
    )
    rows = {each.name: list(each.results) for each in report.Project.read(Path("params.yaml")).of("features")}
    assert rows["search-deep"] == ["decoder", "optimisation", "hybrid"]
    assert rows["toy"] == ["test"]


def test_figures_are_those_that_the_page_shows(project: report.Project) -> None:
    written()
    page = Path("reports/index.html").read_text(encoding="utf-8")
    names = {path.name for path in Path("reports/figures").iterdir()}
    assert set(re.findall(r'src="figures/([^"]+)"', page)) == names
    assert names == {
        "cases-grid-net.png",
        "glance-features.png",
        "cases-photos.png",
        "curves-photos.png",
        "depth-photos.png",
        "grid-net.png",
    }


def test_grids_show_the_images_with_their_numbers(project: report.Project, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = {}
    monkeypatch.setattr(grids, "grid", lambda path, columns, rows: drawn.update({path.name: (columns, rows)}))
    written()
    columns, rows = drawn["grid-net.png"]
    assert [title for title, _ in columns] == ["shallow", "deep", "deep light", "deep toy", "all 2 layers"]
    assert [row.name for row in rows] == [KEYS[1], KEYS[4]]
    assert rows[0].captions[0].startswith("33.") and rows[0].captions[0].endswith(" dB")
    columns, rows = drawn["cases-grid-net.png"]
    assert [title for title, _ in columns] == ["shallow", "deep"]
    assert [row.name for row in rows] == ["decoder", "hybrid", "optimisation"] * 2


def test_more_grid_images_than_test_images(project: report.Project, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr(grids, "grid", lambda path, columns, rows: drawn.append(rows))
    project = report.Project(**{**vars_of(project), "report": report.ReportRow(images=99)})
    report.write(project, Path("reports"))
    assert len(drawn[0]) == len(KEYS)


def vars_of(project: report.Project) -> dict[str, object]:
    return {name: getattr(project, name) for name in project.__dataclass_fields__}


def test_without_baselines(project: report.Project) -> None:
    report.write(report.Project(**{**vars_of(project), "baselines": {}}), Path("reports"))
    assert "There are no baselines" in text()
    assert "beat" not in text() and "no baselines" in text()


def test_results_have_a_line_for_each_case_and_baseline(project: report.Project) -> None:
    written()
    with Path("reports/tables/results/features-photos.csv").open() as stream:
        table = {line["name"]: line for line in csv.DictReader(stream)}
    names = [f"{name}/test" for name in ("net-deep", "net-shallow", "net-deep-light", "net-skip", "toy")]
    assert list(table) == [*names, "net/mean_colour", "net/mean_image"]
    assert [table[name]["depth"] for name in names] == ["2", "1", "2", "2", "2"]
    assert table["toy/test"]["observation"] == "net/deep"
    assert (list(table["toy/test"])[-1], table["toy/test"]["psnr"]) == ("psnr", "24.63")
    with Path("reports/tables/results/features-photos-3-images.csv").open() as stream:
        table = {line["name"]: line for line in csv.DictReader(stream)}
    names = [f"{name}/{case}" for name, cases in SEARCHES.items() for case in cases]
    assert list(table) == [*names, "net/mean_colour", "net/mean_image"]
    assert [table[name]["depth"] for name in names] == ["2", "2", "2", "1", "1", "1"]
    assert {line["images"] for line in table.values()} == {"3"}


def test_rows_of_other_images_are_refused(project: report.Project) -> None:
    path = layout.measured("net") / "mean_colour/images.csv"
    path.write_text(path.read_text().replace(KEYS[0], "cup_y9999"))
    with pytest.raises(AfterimageError, match="net/mean_colour: measured on different images"):
        written()


def test_rows_that_do_not_fit_their_observation(project: report.Project) -> None:
    data = measured.params(observations=project.observations, reconstructors={"x": row("net/deeper")})
    with pytest.raises(ParamsError, match=r"reconstructors\.x\.observation`: `deeper` is no part .*: shallow, deep"):
        written()
    measured.params(observations=data["observations"], reconstructors={"x": row("nets/deep")})
    with pytest.raises(ParamsError, match=r"reconstructors\.x\.observation`: there is no row `nets`.*there are net"):
        written()
    measured.params(observations=data["observations"], searches={"x": row("net/deep", observes="holes")})
    with pytest.raises(ParamsError, match=r"searches\.x\.observes`: 'holes', but `net` is of the kind 'features'"):
        written()
    measured.params(observations=data["observations"], searches={"x": {"kind": "inversion", "dataset": "photos"}})
    with pytest.raises(ParamsError, match=r"searches\.x\.observes`: expected a name, found None"):
        written()
    measured.params(observations=data["observations"], reconstructors={"x": "net"})
    with pytest.raises(ParamsError, match=r"reconstructors\.x`: expected keys with values, found 'net'"):
        written()
