"""The package of docs/extending.md: a reconstructor from outside the source tree, installed, with one row."""

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pictures
import pytest
from conftest import ROOT, Project, ran
from PIL import Image
from ruamel.yaml import YAML
from safetensors.numpy import load_file

PACKAGE = ROOT / "docs/extending/afterimage-toy"
PAGE = ROOT / "docs/extending.md"


def row() -> dict[str, Any]:
    """The row that the page adds to params.yaml."""
    (block,) = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return YAML(typ="safe").load(block)["reconstructors"]["toy"]


class Extended(Project):
    """A project whose Python also finds what was installed into a folder."""

    installed: Path

    @property
    def environment(self) -> dict[str, str]:
        found = super().environment
        return {**found, "PYTHONPATH": os.pathsep.join([found["PYTHONPATH"], str(self.installed)])}


@pytest.fixture(scope="module")
def extended(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Extended]:
    """The tiny project with the package installed and its row added, up to date again."""
    folder = tmp_path_factory.mktemp("extended")
    copy = Extended(project.copy(folder / "project").root, project.home)
    copy.installed = folder / "installed"
    shutil.copytree(PACKAGE, folder / "package", ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation")
    copy.run(*pip, "--target", str(copy.installed), str(folder / "package"))

    def add(params: dict[str, Any]) -> None:
        params["reconstructors"]["toy"] = row()

    copy.params(add)
    (folder / "said.txt").write_text(copy.dvc("repro", "evaluate@toy", "report"), encoding="utf-8")
    yield copy


def test_one_row_is_trained_and_measured_and_nothing_else_runs(extended: Extended) -> None:
    said = (extended.root.parent / "said.txt").read_text(encoding="utf-8")
    assert ran(said) == ["train@toy", "evaluate@toy", "report"]
    model = load_file(extended.root / "data/models/toy/model.safetensors")
    assert set(model) == {"scale", "shift"}
    assert float(model["scale"]) != 0
    card = json.loads((extended.root / "data/models/toy/card.json").read_text(encoding="utf-8"))
    assert (card["parameters"], card["epochs"], card["words"]) == (2, 8, "scaled border mean")
    assert card["settings"]["scale"] == 0.0  # the default of its row class
    numbers = json.loads((extended.root / "metrics/holes/toy/test.json").read_text(encoding="utf-8"))
    black = json.loads((extended.root / "metrics/holes/two-boxes/black.json").read_text(encoding="utf-8"))
    assert numbers["hole_rmse"] < black["hole_rmse"]


def test_no_file_of_the_project_but_the_parameters_has_changed(extended: Extended) -> None:
    changed = [line[3:] for line in extended.git("status", "--porcelain").splitlines()]
    assert [path for path in changed if not path.startswith(("dvc.lock", "metrics/", "reports/"))] == ["params.yaml"]


def test_dvc_lists_its_metrics(extended: Extended) -> None:
    shown = json.loads(extended.run("dvc", "metrics", "show", "--json").stdout)
    assert "metrics/holes/toy/test.json" in shown[""]["data"]
    difference = json.loads(extended.run("dvc", "metrics", "diff", "--json").stdout)
    assert "metrics/holes/toy/test.json" in difference


def test_the_report_shows_it(extended: Extended) -> None:
    page = (extended.root / "reports/index.html").read_text(encoding="utf-8")
    assert re.search(r'<th scope="row">toy<small[^>]*>scaled border mean</small><small>2 parameters', page)
    table = (extended.root / "reports/tables/results/holes-photos.csv").read_text(encoding="utf-8")
    assert "\ntoy/test," in table


def test_the_command_line_lists_and_applies_it(extended: Extended) -> None:
    lines = json.loads(extended.run("afterimage", "rows", "--json", "toy").stdout)["holes"]
    assert [(line["row"], line["trained"]) for line in lines] == [("toy", "yes")]
    (extended.root.parent / "photo.png").write_bytes(pictures.png(50, 40))
    words = ("inpaint", "toy", "../photo.png", "--box", "10,8,10,9", "-o", "../filled.png")
    extended.run("afterimage", *words)
    original, filled = (
        np.asarray(Image.open(extended.root.parent / name).convert("RGB"), dtype=np.float64) / 255
        for name in ("photo.png", "filled.png")
    )
    missing = np.zeros((40, 50), dtype=bool)
    missing[8:17, 10:20] = True
    assert (filled[~missing] == original[~missing]).all()
    model = load_file(extended.root / "data/models/toy/model.safetensors")
    assert len(np.unique(filled[missing], axis=0)) == 1
    assert abs(filled[missing][0] - wanted(original, missing, model)).max() < 0.03


def wanted(image: Any, missing: Any, model: dict[str, Any]) -> Any:
    """The colour that the two parameters give for a hole `[H, W]` that touches no edge."""
    grown = np.zeros_like(missing)
    rows, columns = np.nonzero(missing)
    grown[rows.min() - 1 : rows.max() + 2, columns.min() - 1 : columns.max() + 2] = True
    mean = image[grown & ~missing].mean(0)
    return (float(model["scale"]) * mean + float(model["shift"])).clip(0, 1)


def test_the_page_offers_it(extended: Extended) -> None:
    script = "from afterimage.app import models; print(*models.usable('holes'))"
    assert "toy" in extended.run("python", "-c", script).stdout.split()


def test_another_version_than_the_row_names_is_refused(extended: Extended, tmp_path: Path) -> None:
    copy = Extended(extended.copy(tmp_path / "copy").root, extended.home)
    copy.installed = extended.installed

    def newer(params: dict[str, Any]) -> None:
        params["reconstructors"]["toy"]["version"] = "0.2.0"

    copy.params(newer)
    said = copy.stage("train", "toy", status=1)
    assert "version '0.2.0' of 'toy' is expected, and 0.1.0 is installed" in said
    copy.installed = tmp_path / "nothing"
    assert "entry 'toy' is not among the installed entry points" in copy.stage("train", "toy", status=1)
