"""Tables of results: those of `afterimage rows`, and the CSV files for `dvc plots` and spreadsheets.

`results` reads params.yaml and metrics/ alone, without a heavy import.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from afterimage.core import layout, outputs
from afterimage.evaluation.results import MAIN, METRICS, in_order, read_json
from afterimage.observations import KINDS
from afterimage.report.project import Project, Reconstructor, Rows

COLUMNS = {
    "features": ("psnr", "ssim", "feature_error", "lpips", "lpips_untrained"),
    "holes": ("hole_psnr", "hole_rmse", "hole_ssim", "psnr", "bits"),
    "frames": ("psnr", "psnr_tone", "ssim", "lpips", "lpips_untrained"),
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
    numbers = read_json(path) if path.is_file() else {}
    shown = {name: numbers[name] for name in COLUMNS[kind] if name in numbers}
    return {"row": row, "case": case, "observation": observation, "trained": trained, **shown}


# For `dvc plots` and spreadsheets


def quality(project: Project, kind: str, places: Any, folder: Path) -> None:
    """Write `<kind>-<dataset>.csv` for each data set with rows of a kind: a line a row and case, and the baselines.

    Lines of one observation, and of one level of it, stand together, its baselines last. Rows that were measured on
    fewer images have a table of their own, `<kind>-<dataset>-<number>-images.csv`, with the baselines on those images.
    `name` is a name that no other line has; the last column is the metric that the kind is ranked by, which
    `dvc plots` shows.

    Args:
        places: from a project and a line to further columns, such as the depth of a layer.
    """
    from afterimage.report import shared

    for dataset in dict.fromkeys(row.row["dataset"] for row in project.of(kind)):
        stem = f"{kind}-{dataset}"
        rows = [row for row in project.of(kind) if row.row["dataset"] == dataset]
        for number, sheet in enumerate(shared.sheets(rows)):
            found = list(_quality_lines(project, sheet, places))
            columns = dict.fromkeys(column for line in found for column in line)
            metrics = [name for name in columns if name.removesuffix("_low").removesuffix("_high") in METRICS]
            metrics.sort(key=MAIN[kind].__eq__)
            order = [*(name for name in columns if name not in metrics), *metrics]
            name = f"{stem}-{found[0]['images']}-images" if number else stem
            _write(shared.fresh(folder, name, ".csv"), order, found)


def curves(project: Project, kind: str, folder: Path) -> None:
    """Write `<kind>-<dataset>-<metric>.csv`: a line an epoch of every row that was validated by this metric.

    `row` tells the series apart; the last column is the metric, which `dvc plots` shows. Rows of a single epoch, which
    makes no curve, are left out.
    """
    found: dict[tuple[str, str], list[Values]] = {}
    for row in project.of(kind):
        validated = [name for name in (row.curves[0] if len(row.curves) > 1 else {}) if name.startswith("val_")]
        ranked = [name for end in CURVES for name in validated if name.endswith(end)] + validated
        if ranked:
            lines = [{"row": row.name, **line} for line in row.curves]
            found.setdefault((row.row["dataset"], ranked[0]), []).extend(lines)
    for (dataset, metric), lines in found.items():
        columns = dict.fromkeys(column for line in lines for column in line if column != metric)
        _write(folder / f"{kind}-{dataset}-{metric.removeprefix('val_')}.csv", [*columns, metric], lines)


def _quality_lines(project: Project, rows: Sequence[Reconstructor], places: Any) -> Iterator[Values]:
    from afterimage.report import shared

    for name in dict.fromkeys(row.observation for row in rows):
        own = [row for row in rows if row.observation == name]
        for level in project.levels(name) or [""]:
            for line in shared.lines(own, level):
                about = {"name": line.result.name, "row": line.row.name, "case": line.case}
                place = {"observation": line.row.row["observation"], **places(project, line)}
                yield {**about, **place, **_numbers(line.result)}
            for baseline in project.rivals(own[0].first, name, level):
                about = {"name": baseline.result.name, "row": name, "case": baseline.result.case}
                place = {"observation": name, **({"level": level} if level else {})}
                yield {**about, **place, **_numbers(baseline.result)}


def _numbers(result: Any) -> Values:
    found: Values = {"images": len(result.images)}
    for name, interval in result.intervals.items():
        if name in METRICS:
            values = {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}
            found |= {column: f"{value:.6g}" for column, value in values.items()}
    return found


def _write(path: Path, columns: Sequence[str], lines: Sequence[Values]) -> None:
    outputs.write_csv(path, columns, ([line.get(column, "") for column in columns] for line in lines))
