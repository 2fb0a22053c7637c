"""`dvc plots`: the specification of every plot, as it is and beside another revision."""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import altair
import pytest
from conftest import Project

Spec = dict[str, Any]
VALUES = {"bar": "x", "line": "y"}
"""The channel of the measured value, by mark."""


def plots(project: Project, *words: str) -> tuple[dict[str, Spec], dict[str, list[str]]]:
    """The Vega-Lite specification of each plot of a table, and the revisions of each image, by name."""
    said = json.loads(project.run("dvc", "plots", *words, "--json", "--out", "dvc_plots").stdout)
    assert "errors" not in said, said["errors"]
    specs = {name: found[0]["content"] for name, found in said["data"].items() if found[0]["type"] == "vega"}
    images = {
        name: [revision for each in found for revision in each["revisions"]]
        for name, found in said["data"].items()
        if found[0]["type"] == "image"
    }
    return specs, images


def places(spec: Spec) -> Counter[tuple[str, ...]]:
    """How many values a plot has at each place of each series: all that it encodes but the value."""
    channels = spec["encoding"]
    fields = {channel["field"] for name, channel in channels.items() if name != VALUES[spec["mark"]["type"]]}
    return Counter(tuple(line[field] for field in sorted(fields)) for line in spec["data"]["values"])


def check(specs: dict[str, Spec], revisions: list[str]) -> None:
    for name, spec in specs.items():
        altair.Chart.from_dict(spec, validate=True)
        assert set(places(spec).values()) == {1}, name
        lines = spec["data"]["values"]
        assert {line["rev"] for line in lines} == set(revisions), name
        value = spec["encoding"][VALUES[spec["mark"]["type"]]]
        assert all(float(line[value["field"]]) for line in lines), name
        assert (spec["title"]["text"], value["title"]) == (f"{value['field']}: {name}", value["field"])


@pytest.fixture
def changed(project: Project, tmp_path: Path) -> Project:
    """The project after a commit in which a row is one decibel better."""
    copy = project.copy(tmp_path / "copy")
    path = copy.root / "reports/tables/results/features-photos.csv"
    with path.open(encoding="utf-8", newline="") as stream:
        lines = list(csv.DictReader(stream))
    lines[0]["psnr"] = str(float(lines[0]["psnr"]) + 1)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    copy.commit("A better row")
    return copy


def test_every_table_and_figure_is_a_plot(project: Project) -> None:
    specs, images = plots(project, "show")
    tables = {path.relative_to(project.root).as_posix() for path in (project.root / "reports/tables").rglob("*.csv")}
    figures = {path.relative_to(project.root).as_posix() for path in (project.root / "reports/figures").iterdir()}
    assert set(specs) == tables
    assert images == {name: ["workspace"] for name in figures}
    assert {
        "results/frames-photos.csv",
        "results/features-photos-2-images.csv",
        "curves/holes-photos-hole_psnr.csv",
    } < {name.removeprefix("reports/tables/") for name in specs}


def test_no_series_has_two_values_at_a_place(project: Project) -> None:
    specs, _ = plots(project, "show")
    check(specs, ["workspace"])
    titles = [spec["title"]["text"] for spec in specs.values()]
    assert len(set(titles)) == len(titles)
    assert "hole_psnr: reports/tables/results/holes-photos.csv" in titles
    assert "val_hole_psnr: reports/tables/curves/holes-photos-hole_psnr.csv" in titles


def test_two_revisions_stand_beside_each_other(changed: Project) -> None:
    specs, images = plots(changed, "diff", "HEAD~1")
    check(specs, ["workspace", "HEAD~1"])
    for name, spec in specs.items():
        assert "rev" in {channel["field"] for channel in spec["encoding"].values()}, name
    assert {tuple(sorted(revisions)) for revisions in images.values()} == {("HEAD~1", "workspace")}
    first = {
        line["rev"]: line for line in reversed(specs["reports/tables/results/features-photos.csv"]["data"]["values"])
    }
    assert float(first["workspace"]["psnr"]) == pytest.approx(float(first["HEAD~1"]["psnr"]) + 1)
    assert changed.git("status", "--porcelain") == ""  # dvc_plots/ is ignored


def test_another_metric_of_a_table(project: Project) -> None:
    name = "reports/tables/results/holes-photos.csv"
    specs, _ = plots(project, "show", "-t", "bars", "-x", "name", "-y", "hole_ssim", name)
    check(specs, ["workspace"])
    assert list(specs) == [name]


def test_a_page_without_a_network(project: Project, tmp_path: Path) -> None:
    project.dvc("plots", "show", "--html-template", ".dvc/plots/offline.html", "--out", str(tmp_path / "page"))
    text = (tmp_path / "page/index.html").read_text(encoding="utf-8")
    assert "://cdn" not in text
    assert text.count('src="vega') == 3
    assert text.count("vegaEmbed(") == len(list((project.root / "reports/tables").rglob("*.csv")))
    assert len(list((tmp_path / "page/static").iterdir())) == text.count('<img src="static/')
