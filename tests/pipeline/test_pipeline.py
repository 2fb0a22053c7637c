"""The pipeline from the command line, on a tiny project: what it builds, what its metrics say, what makes it stale."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Project, load_yaml, ran, stale

SECTIONS = {"reconstructors": "observes", "searches": "observes", "observations": "kind"}
"""Sections whose rows are measured, and the key with the kind of observation."""


# A whole run


def test_repro_builds_every_stage(project: Project):
    names = project.dvc("stage", "list", "--name-only").split()
    lock = load_yaml(project.root / "dvc.lock")["stages"]
    first = (project.root / ".git/first-run.log").read_text(encoding="utf-8")
    assert sorted(ran(first)) == sorted(lock) == sorted(names)
    for name, stage in lock.items():
        for out in stage["outs"]:
            assert (project.root / out["path"]).exists(), f"{name}: {out['path']}"
    assert len(project.records()) == len(names)
    assert [str(path) for path in project.root.rglob(".*.partial")] == []


def test_a_second_repro_has_nothing_to_do(project: Project):
    records = project.records()
    assert project.dvc("status").strip() == "Data and pipelines are up to date."
    said = project.dvc("repro")
    assert ran(said) == []
    assert "Data and pipelines are up to date." in said
    assert project.records() == records
    assert project.git("status", "--porcelain") == ""


# Metrics


def cases(params: dict[str, Any], section: str, name: str, row: dict[str, Any]) -> list[str]:
    """What a row is measured in: by level where there are any, and by what a search or the baselines are."""
    observation = row if section == "observations" else params["observations"][row["observation"].partition("/")[0]]
    levels = list(observation.get("levels", []))
    if section == "observations":
        methods = params["baselines"][row["kind"]]
        return [f"{level}/{method}" for level in levels for method in methods] or methods
    if section == "searches":
        return ["decoder", "optimisation", "hybrid"]
    return levels or ["test"]


def expected(params: dict[str, Any]) -> set[str]:
    """The files of metrics of all rows, in all their cases."""
    return {
        f"metrics/{row[kind]}/{name}/{case}.json"
        for section, kind in SECTIONS.items()
        for name, row in params[section].items()
        for case in cases(params, section, name, row)
    }


def test_metrics_show_has_a_line_for_every_row_case_and_baseline(project: Project):
    lines = list(csv.reader(io.StringIO(table(project.dvc("metrics", "show", "--md")))))
    head, rows = lines[0], {line[0]: line[1:] for line in lines[1:]}
    assert {"psnr", "ssim", "lpips_untrained", "hole_rmse", "hole_psnr", "feature_error", "bits"} <= set(head[1:])
    there = {path.relative_to(project.root).as_posix() for path in (project.root / "metrics").rglob("*.json")}
    assert set(rows) == expected(project.params()) == there
    for file, texts in rows.items():
        summary = json.loads((project.root / file).read_text(encoding="utf-8"))
        numbers = {name: float(text) for name, text in zip(head[1:], texts, strict=True) if text not in ("", "-")}
        assert numbers == pytest.approx(summary, abs=1e-5), file
        assert summary.keys() >= {"psnr", "lpips_untrained"}, file


def test_metrics_diff_misses_no_row_case_or_baseline(project: Project, tmp_path: Path):
    copy = project.copy(tmp_path / "copy")
    for path in (copy.root / "metrics").rglob("*.json"):
        summary = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({**summary, "psnr": summary["psnr"] + 5}), encoding="utf-8")
    difference = json.loads(copy.run("dvc", "metrics", "diff", "--json").stdout)
    assert set(difference) == expected(copy.params())
    assert {round(change["psnr"]["diff"], 6) for change in difference.values()} == {5.0}
    # One table for each kind of observation, readable at 120 columns
    for kind in ("features", "holes", "frames"):
        shown = copy.run("dvc", "metrics", "show", f"metrics/{kind}").stdout
        assert max(len(line) for line in shown.splitlines()) <= 120, shown


def table(markdown: str) -> str:
    """The cells of a Markdown table as CSV."""
    lines = [line for line in markdown.splitlines() if line.startswith("|") and not line.startswith("|-")]
    return "\n".join(",".join(cell.strip() for cell in line.strip("|").split("|")) for line in lines)


# What a change makes stale


@pytest.fixture(scope="module")
def changing(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy whose params.yaml and code change, and change back."""
    return project.copy(tmp_path_factory.mktemp("changing") / "copy")


@pytest.fixture
def changed(changing: Project) -> Iterator[Callable[..., set[str]]]:
    """From a change, of params.yaml or of a file of code, to the stages that it makes stale."""
    before: dict[Path, bytes] = {}

    def change(what: Callable[[dict[str, Any]], Any] | str) -> set[str]:
        path = changing.root / (what if isinstance(what, str) else "params.yaml")
        before.setdefault(path, path.read_bytes())
        if isinstance(what, str):
            path.write_bytes(path.read_bytes() + b"\n# a change\n")
        else:
            changing.params(what)
        return stale(changing)

    yield change
    for path, data in before.items():
        path.write_bytes(data)


DECODERS = ("small-relu", "small-layer1")
HOLES = ("pix2pix", "small-pixelrnn")
TRAINED = (*DECODERS, *HOLES, "photos-nafnet")
OBSERVATIONS = ("small", "two-boxes", "photos-cctv")
SEARCH = "search@small-relu-search"


def of(stages: str, rows: tuple[str, ...]) -> set[str]:
    return {f"{stage}@{row}" for stage in stages.split() for row in rows}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda params: params["reconstructors"]["small-layer1"].update(training={"epochs": 2}),
            of("train", ("small-layer1",)),
        ),
        (lambda params: params["shared"]["decoder"].update(width=12), of("train", DECODERS)),
        (lambda params: params["shared"]["decoder"]["training"].update(epochs=2), of("train", DECODERS)),
        (lambda params: params["shared"]["pix2pix"]["loss"].update(hole=1.0), of("train", ("pix2pix",))),
        (lambda params: params["shared"]["inversion"].update(steps=2), {SEARCH}),
        (lambda params: params["shared"]["holes"].update(seed=1), {"observe@two-boxes"}),
        (lambda params: params["training"].update(weight_decay=0.1), of("train", TRAINED)),
        (lambda params: params["searches"]["small-relu-search"].update(steps=2), {SEARCH}),
        (lambda params: params["baselines"].update(frames=["identity"]), {"baseline@photos-cctv"}),
        (
            lambda params: params["metrics"].update(seed=1),
            {*of("evaluate", TRAINED), *of("baseline", OBSERVATIONS), SEARCH},
        ),
        (lambda params: params["report"].update(images=1), set()),
    ],
    ids=[
        "a row",
        "shared.decoder",
        "shared.decoder.training",
        "shared.pix2pix",
        "shared.inversion",
        "shared.holes",
        "training",
        "a search",
        "baselines",
        "metrics",
        "report",
    ],
)
def test_an_edited_value_makes_the_rows_that_use_it_stale(
    changed: Callable[..., set[str]], change: Callable[[dict[str, Any]], Any], expected: set[str]
):
    assert changed(change) == {*expected, "report"}


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("reconstructors/decoder/learner.py", {*of("train evaluate", DECODERS), SEARCH}),
        ("reconstructors/pixelrnn/blocks.py", {*of("train evaluate", ("small-pixelrnn",)), SEARCH}),
        ("reconstructors/inversion/descent.py", {SEARCH}),
        ("training/loop.py", {*of("train evaluate", TRAINED), SEARCH}),
        ("evaluation/metrics.py", {*of("evaluate", TRAINED), *of("baseline", OBSERVATIONS), SEARCH, "report"}),
        (
            "observations/holes/masks.py",
            {*of("observe baseline", ("two-boxes",)), *of("train evaluate", HOLES), "report"},
        ),
        ("validation/suites.py", {"validate@photos", *of("observe", OBSERVATIONS)}),
        ("datasets/sources/folder.py", of("fetch shard validate", ("photos",))),
        ("datasets/sharding.py", {"shard@photos"}),
        ("report/figures.py", {"report"}),
        ("apply/__init__.py", set()),
    ],
)
def test_edited_code_makes_the_stages_that_use_it_stale(
    changed: Callable[..., set[str]], file: str, expected: set[str]
):
    assert changed(f"src/afterimage/{file}") == expected


def test_an_edited_row_makes_its_own_branch_run(changed: Callable[..., set[str]], changing: Project):
    changed(lambda params: params["reconstructors"]["small-layer1"].update(training={"epochs": 2}))
    planned = set(ran(changing.dvc("repro", "--dry")))
    branch = {"train@small-layer1", "evaluate@small-layer1", "report"}
    assert {"train@small-layer1"} <= planned <= branch


def test_a_new_layer_leaves_the_decoders_of_the_others_alone(project: Project, tmp_path: Path):
    copy = project.copy(tmp_path / "copy")
    copy.params(lambda params: params["observations"]["small"]["layers"].append("layer2"))
    assert ran(copy.dvc("repro", "observe@small")) == ["observe@small"]
    assert (copy.root / "data/observations/small/layer2/index.json").is_file()
    assert stale(copy) - {"report"} == {"baseline@small"}
