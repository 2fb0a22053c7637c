"""Tables of results: those of `afterimage rows`, and the CSV files for `dvc plots` and spreadsheets.

`results` reads params.yaml and metrics/ alone, without a heavy import.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from afterimage.core import layout, outputs
from afterimage.evaluation.results import MAIN, METRICS, in_order
from afterimage.observations import KINDS
from afterimage.report.project import Project, Reconstructor, Rows

if TYPE_CHECKING:
    from afterimage.report.shared import Line

COLUMNS = {
    "features": ("psnr", "ssim", "feature_error", "lpips", "lpips_untrained"),
    "holes": ("hole_psnr", "hole_rmse", "hole_ssim", "psnr", "bits"),
    "frames": ("psnr", "ssim", "lpips", "lpips_untrained"),
}
"""The metrics of `afterimage rows`: as many as a terminal of 120 columns has room for."""
CURVES = ("psnr", "bits", "mse")
"""Ends of the names of validation metrics, the one to plot first: rows are validated by different ones."""

Values = dict[str, Any]


def results(project: Path) -> dict[str, list[Values]]:
    """A table for each kind of observation that has rows: a line a row and case, then the baselines.

    Columns: `row` (of a baseline, the observation), `case`, `observation`, `trained` (yes, no, or - where nothing is
    to be trained), and those metrics of `COLUMNS` that some line has; None where a line has not been measured.

    Raises:
        ParamsError: params.yaml is missing or not what it should be.
    """
    rows = Rows.read(project / "params.yaml")
    tables = {}
    for kind in KINDS:
        lines = [line for row in rows.of(kind) for line in _of_row(project, row)]
        for name, observation in rows.observations.items():
            if observation["kind"] == kind:
                for level in rows.levels(name) or [""]:
                    cases = [baseline.result.case for baseline in rows.plain_results(name, level)]
                    lines += [_line(project, kind, name, case, name, "-") for case in cases]
        if lines:
            there = [name for name in COLUMNS[kind] if any(name in line for line in lines)]
            tables[kind] = [{**dict.fromkeys([*list(line)[:4], *there]), **line} for line in lines]
    return tables


def _of_row(project: Path, row: Reconstructor) -> list[Values]:
    """The cases of a row, or one line without numbers where it was not measured."""
    kind = row.row["observes"]
    folder = project / layout.metrics(kind, row.name)
    found = [path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.json")]
    cases = in_order(found, row.name, row.levels, project) or list(row.levels) or ["-"]
    there = (project / layout.model(row.name) / "card.json").is_file()
    trained = "-" if not row.trained else "yes" if there else "no"
    return [_line(project, kind, row.name, case, row.row["observation"], trained) for case in cases]


def _line(project: Path, kind: str, row: str, case: str, observation: str, trained: str) -> Values:
    path = project / layout.metrics(kind, row) / f"{case}.json"
    numbers = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    shown = {name: numbers[name] for name in COLUMNS[kind] if name in numbers}
    return {"row": row, "case": case, "observation": observation, "trained": trained, **shown}


# For `dvc plots` and spreadsheets


def quality(project: Project, kind: str, places: Any, folder: Path) -> None:
    """Write `<kind>-<dataset>.csv` for each data set with rows of a kind: a line a row and case, baselines last.

    `name` is a name that no other line has, and `shown` the metric that the kind is ranked by, so that one plot serves
    all of these files.

    Args:
        places: from a project and a line to further columns, such as the depth of a layer.
    """
    from afterimage.report.shared import lines

    for dataset in dict.fromkeys(row.row["dataset"] for row in project.of(kind)):
        rows = [row for row in project.of(kind) if row.row["dataset"] == dataset]
        found = [_quality_line(kind, line, places(project, line)) for line in lines(rows)]
        for name in dict.fromkeys(row.observation for row in rows):
            for level in project.levels(name) or [""]:
                for baseline in project.plain_results(name, level):
                    about = {"name": baseline.result.name, "row": name, "case": baseline.result.case}
                    found.append({**about, "observation": name, **_numbers(kind, baseline.result)})
        columns = dict.fromkeys(column for line in found for column in line)
        metrics = [name for name in columns if name.removesuffix("_low").removesuffix("_high") in METRICS]
        order = [*(name for name in columns if name not in metrics), *metrics]
        _write(folder / f"{kind}-{dataset}.csv", order, found)


def curves(project: Project, kind: str, folder: Path) -> None:
    """Write `<kind>.csv`: a line an epoch of every row of a kind that was trained.

    `row` tells the series apart, `validation` is the value to plot, and `metric` says which of the others it is.
    """
    found = []
    for row in project.of(kind):
        columns = list(row.curves[0]) if row.curves else []
        validated = [name for name in columns if name.startswith("val_")]
        ranked = [name for end in CURVES for name in validated if name.endswith(end)] + validated
        for line in row.curves if ranked else []:
            about = {"row": row.name, "epoch": line["epoch"], "validation": line[ranked[0]], "metric": ranked[0]}
            found.append({**about, **line})
    if found:
        _write(folder / f"{kind}.csv", list(dict.fromkeys(column for line in found for column in line)), found)


def _quality_line(kind: str, line: "Line", places: Values) -> Values:
    about = {"name": line.result.name, "row": line.row.name, "case": line.case}
    return {**about, "observation": line.row.row["observation"], **places, **_numbers(kind, line.result)}


def _numbers(kind: str, result: Any) -> Values:
    found: Values = {"images": len(result.images), "shown": result.intervals[MAIN[kind]].mean}
    for name, interval in result.intervals.items():
        if name in METRICS:
            found |= {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}
    return found


def _write(path: Path, columns: Sequence[str], lines: Sequence[Values]) -> None:
    outputs.write_csv(path, columns, ([line.get(column, "") for column in columns] for line in lines))
