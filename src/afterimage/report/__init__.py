"""The report: figures, tables and pages for people, from what the stages before it wrote.

Everything is found by the rows of params.yaml, never by listing folders of rows, because rows that were removed may
have left theirs behind. Each kind of observation is a module here, looked up by its name, with a partial among the
templates; no kind of reconstructor is. Such a module has

- `parts(project, folder)`, its parts of the page, whose figures it draws into `folder`;
- `LEFT`, the baseline that shows what is left of an image, or None where that is no image;
- `setting(project, line)`, what lines of the overview have in common: a layer, an observation, a level;
- `place(project, line)`, further columns of the table of results.
"""

import importlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from afterimage.core import layout, outputs, shards
from afterimage.core.shards import SPLITS
from afterimage.evaluation import audit
from afterimage.evaluation.evaluating import samples_of
from afterimage.evaluation.results import MAIN, METRICS, best_of, read_csv, read_json
from afterimage.observations import KINDS
from afterimage.report import grids, shared, tables
from afterimage.report.project import Project, ReportRow, Values

__all__ = ["Project", "ReportRow", "overview", "page", "write"]

TEMPLATES = Path(__file__).parent / "templates"


def check(project: Project) -> None:
    """Hold all that was measured against the images that it is of, see `audit`.

    Raises:
        MetricError: a number contradicts its images.
        AfterimageError: what a row should have left is missing or broken; the line names the file.
    """
    originals = {name: shards.Table(layout.shards(name), shared.SPLIT) for name in project.datasets}
    for row in _rows(project):
        for result in row.results.values():
            audit.check(result, originals[row.row["dataset"]])
    for name, observation in project.observations.items():
        for level in project.levels(name) or [""]:
            for baseline in project.plain_results(name, level):
                audit.check(baseline.result, originals[observation["dataset"]])


def write(project: Project, out: Path) -> None:
    """Write `index.html`, `validation.html`, `figures/` and `tables/` into `out`, the same bytes for the same inputs.

    Raises:
        AfterimageError: what a row should have left is missing or broken; the line names the file.
    """
    lines = {kind: overview(project, kind) for kind in KINDS}
    with outputs.folder(out / "figures") as folder:
        glances = [_glance(project, kind, own, folder) for kind, own in lines.items() if own]
        parts = [part for kind in KINDS for part in _module(kind).parts(project, folder)]
    with outputs.folder(out / "tables") as folder:
        for kind in KINDS:
            tables.quality(project, kind, _module(kind).place, folder / "results")
            tables.curves(project, kind, folder / "curves")
    page(out / "validation.html", "validation.html", _validation(project))
    trunk = project.encoders.get("lpips", {})
    page(
        out / "index.html",
        "index.html",
        {
            "glances": glances,
            "overview": lines,
            "kinds": shared.TITLES,
            "datasets": [_dataset(name, row) for name, row in project.datasets.items()],
            "encoders": _module("features").encoders(project),
            "shown": {name for row in _rows(project) for result in row.results.values() for name in result.intervals},
            "metrics": METRICS,
            "trunk": f"random weights, seed {trunk.get('seed')}" if trunk.get("weights") == "random" else "",
            "parts": parts,
            "tables": sorted(path.relative_to(out).as_posix() for path in (out / "tables").rglob("*.csv")),
        },
    )


def _module(kind: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{kind}")


def _rows(project: Project) -> list[Any]:
    return [row for kind in KINDS for row in project.of(kind)]


def overview(project: Project, kind: str) -> list[shared.Part]:
    """For each observation of a kind, or part of one, the best row beside the best baseline.

    Of rows that were measured on different images those with the most count, and at a level of damage those that were
    trained on it.
    """
    settings: dict[str, list[shared.Line]] = {}
    for sheet in shared.sheets(project.of(kind)):
        there = set(settings)
        for line in shared.lines(sheet):
            if (setting := _module(kind).setting(project, line)) not in there:
                settings.setdefault(setting, []).append(line)
    found = []
    for setting, lines in settings.items():
        first = lines[0]
        level = first.case.partition("/")[0] if first.row.levels else ""
        rivals = project.rivals(first.result, first.row.observation, level)
        made_for = [line for line in lines if not level or line.row.is_for(level)]
        if best := shared.best_line(made_for, rivals, project, MAIN[kind]):
            found.append({"setting": setting, "images": len(first.result.images), "rivals": rivals, **best})
    return found


def _glance(project: Project, kind: str, lines: Sequence[shared.Part], folder: Path) -> shared.Part:
    """One test image of a kind: what is left of it, the best baseline, and the best row, of the setting in the middle
    of the overview and the image in the middle of the test split, so that nobody chooses."""
    said = lines[(len(lines) - 1) // 2]
    line, rivals, metric = said["line"], said["rivals"], MAIN[kind]
    (key,) = shared.spread(sorted(line.result.images), 1)
    left = next((rival.result for rival in rivals if rival.method == _module(kind).LEFT), None)
    best = best_of(rivals, metric)
    shown = [("what is left", left), *([(best.method, best.result)] if best else []), (said["label"], line.result)]
    shown = [(words, result) for words, result in shown if result is not None]
    original = shared.images(layout.shards(line.row.row["dataset"]), [key])[key]
    rebuilt = [shared.images(result.reconstructions, [key])[key] for _, result in shown]
    path = shared.fresh(folder, f"glance-{kind}")
    grids.side_by_side(path, [*rebuilt, original])
    captions = [(words, shared.decibels(result, key, metric)) for words, result in shown]
    return {"kind": kind, "figure": path.name, "captions": [*captions, ("original", "")], "said": said}


# What the run was


def _dataset(name: str, row: Values) -> dict[str, Any]:
    index = shards.load_index(layout.shards(name))
    counts = read_json(layout.validation(name))["counts"]["splits"]  # samples.csv has a line for each of a million
    rejected = read_csv(layout.shards(name) / "rejected.csv")
    kinds = Counter(line["kind"] for line in rejected)
    firsts = {line["kind"]: line for line in reversed(rejected)}
    few = counts[shared.SPLIT]["images"] <= 12
    tests = {sample.image for sample in samples_of(layout.shards(name)).values()} if few else ()
    return {
        "name": name,
        "source": row["source"],
        "tiled": row.get("tile") is not None,
        "size": index["size"],
        "splits": [
            {"name": split, **{what: counts[split][what] for what in ("images", "groups")}, **index["splits"][split]}
            for split in SPLITS
        ],
        "test_images": sorted(tests),
        "rejected": [
            {"kind": kind, "count": count, **firsts[kind]}
            for kind, count in sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
        ],
    }


# Validation


def _validation(project: Project) -> dict[str, Any]:
    gates = {name: read_json(layout.observation(name) / layout.GATES)["gates"] for name in project.observations}
    return {
        "datasets": [read_json(layout.validation(name)) for name in project.datasets],
        "observations": [
            {"name": name, "kind": row["kind"], "parts": row.get("layers") or [], "gates": gates[name]}
            for name, row in project.observations.items()
        ],
        "splits": SPLITS,
    }


# Files


def page(path: Path, template: str, values: Mapping[str, Any]) -> None:
    """Write a page of one of the templates."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    with outputs.file(path) as partial:
        partial.write_text(environment.get_template(template).render(values), encoding="utf-8")
