"""Bad frames: levels by rows and baselines, each step alone, subgroups, the clean protocol, and few parameters."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from afterimage.core import layout
from afterimage.evaluation.frames import TRIVIAL
from afterimage.evaluation.metrics import PSNR_CAP, Interval
from afterimage.evaluation.results import (
    MAIN,
    METRICS,
    Baseline,
    Result,
    beaten_by,
    best_of,
    gain,
    read_csv,
    read_json,
    shown_value,
)
from afterimage.observations.frames import CARE
from afterimage.report import figures, grids, shared
from afterimage.report.grids import GridRow
from afterimage.report.project import Project, Reconstructor, Values
from afterimage.report.shared import Line

KIND = "frames"
TONE = "psnr_tone"
JUDGED = ("psnr", TONE, "ssim")
"""What the row that is shown in detail is chosen by."""
GRID_IMAGES = 2
LEFT = "identity"
"""The baseline that shows what is left of an image."""
FEW_PARAMETERS = 20_000
"""A network with no more has its parameters shown, layer by layer."""
MOST_LISTED = 64
"""The most biases, or weights, of a layer that are listed one by one."""
PROTOCOL_DIGITS = {"mse": 6, "psnr": 2, "ssim": 4}
Array = npt.NDArray[Any]


def parts(project: Project, folder: Path) -> list[shared.Part]:
    """A part for each observation with rows, and for each set of images that these were measured on."""
    found = []
    for name, observation in project.observations.items():
        if observation["kind"] == KIND:
            rows = [row for row in project.of(KIND) if row.observation == name]
            found += [_part(project, name, members, folder) for members in shared.sheets(rows)]
    several = len(found) > 1
    return [{**part, "title": shared.title(KIND, part["name"] if several else "", part["some"])} for part in found]


def setting(project: Project, line: Line) -> str:
    """What lines of the overview are compared in: a level."""
    return f"{line.row.observation}/{_level(line)}"


def place(project: Project, line: Line) -> dict[str, Any]:
    """Where a line of the tables stands: at a level."""
    return {"level": _level(line)}


def _level(line: Line) -> str:
    return line.case.partition("/")[0]


def _part(project: Project, name: str, rows: Sequence[Reconstructor], folder: Path) -> shared.Part:
    """The part of rows that were measured on the same images, its figures drawn into `folder`."""
    observation = project.observations[name]
    first, dataset = rows[0].first, str(observation["dataset"])
    there = {_level(line) for line in shared.lines(rows)}
    levels = {level: shared.lines(rows, level) for level in project.levels(name) if level in there}
    rivals = {level: project.rivals(first, name, level) for level in levels}
    names = shared.shown([line.result for line in shared.lines(rows)])
    unharmed = [level for level in levels if _unharmed(rivals[level])]
    claimed = {level: [line for line in lines if line.row.is_for(level)] for level, lines in levels.items()}
    judged = {level: lines for level, lines in claimed.items() if lines and level not in unharmed}
    best, wins = _best(rows, judged, rivals)
    grid = shared.fresh(folder, f"frames-{name}")
    images = _grid(grid, dataset, levels, rivals)
    stepping = max(rows, key=lambda row: (_file(row, "steps.csv").is_file(), row is best, _mean(row)))
    steps = _file(stepping, "steps.csv")
    return {
        "template": "frames.html",
        "care": CARE,
        "dataset": dataset,
        "name": name,
        **shared.facts(first, dataset),
        "shown": names,
        "levels": [
            {
                "name": level,
                "steps": ", ".join(
                    dict.fromkeys(str(step["step"]).replace("_", " ") for step in observation["levels"][level])
                ),
                "rows": [_line(project, line, rivals[level], names) for line in lines],
                "baselines": shared.plain(rivals[level], names),
                "unharmed": level in unharmed,
                "best": shared.best_line(
                    lines if level in unharmed else claimed[level], rivals[level], project, MAIN[KIND]
                ),
                "tone": shared.best_line(claimed[level], rivals[level], project, TONE),
            }
            for level, lines in levels.items()
        ],
        "people": next((found for line in shared.lines(rows) if (found := _people(line.result))), None),
        "best": best.name,
        "wins": wins,
        "judged": len(judged),
        "compared": any(rivals.values()),
        "steps": read_csv(steps) if steps.is_file() else [],
        "stepping": stepping.name,
        "subgroups": _subgroups(best),
        "protocols": [_protocol(row) for row in rows if _file(row, "protocol.json").is_file()],
        "parameters": [found for row in rows if (found := _parameters(row, folder))],
        "cap": f"{PSNR_CAP:g}",
        "grid": grid.name,
        "grid_images": images,
        "error_top": grids.ERROR_TOP,
    }


def _unharmed(rivals: Sequence[Baseline]) -> bool:
    """Whether nothing happened to the frames of a level: a row can only do harm there."""
    best = best_of(rivals, MAIN[KIND])
    return best is not None and best.result.intervals[MAIN[KIND]].mean >= PSNR_CAP


def _file(row: Reconstructor, name: str) -> Path:
    """A table that the evaluation left beside the cases of a row; only some rows have one."""
    return layout.measured(row.name) / name


def _people(result: Result) -> Values | None:
    """How well people can be told apart in the originals, where that is measured."""
    for name in ("verification", "verification_untrained"):
        if name in result.intervals:
            mean = result.intervals[f"{name}_originals"].mean
            return {"heading": METRICS[name].heading, "originals": f"{mean:.{METRICS[name].digits}f}"}
    return None


def _mean(row: Reconstructor) -> float:
    """PSNR over all levels."""
    return sum(result.intervals["psnr"].mean for result in row.results.values()) / len(row.results)


def _best(
    rows: Sequence[Reconstructor], levels: Mapping[str, Sequence[Line]], rivals: Mapping[str, Sequence[Baseline]]
) -> tuple[Reconstructor, list[str]]:
    """The row that beats all baselines at the most levels, and these; of several the one with the best PSNR.

    Args:
        levels: for each the lines of the rows that were trained on it.
    """
    wins: dict[str, list[str]] = {}
    for level, lines in levels.items():
        for line in lines:
            if rivals[level] and not shared.losses(line.result, rivals[level], JUDGED):
                wins.setdefault(line.row.name, []).append(level)
    best = max(rows, key=lambda row: (len(wins.get(row.name, [])), _mean(row)))
    return best, wins.get(best.name, [])


def _line(project: Project, line: Line, rivals: Sequence[Baseline], names: Sequence[str]) -> Values:
    return {
        **shared.about(line),
        "values": shared.cells(line.result, names),
        "gain": shared.gain_on_the_best(line.result, rivals, project),
        "claimed": line.row.is_for(_level(line)),
        "losses": shared.losses(line.result, rivals, names),
        "explained": _explained(project, line.result, rivals),
    }


def _explained(project: Project, result: Result, rivals: Sequence[Baseline]) -> str:
    """The trivial transform that gains as much over the frames as they are; empty where the row gains more, or none."""
    identity = next((rival.result for rival in rivals if rival.method == LEFT), None)
    best = best_of([rival for rival in rivals if rival.method in TRIVIAL], MAIN[KIND])
    if best is None or identity is None or not beaten_by(identity, result, MAIN[KIND]):
        return ""
    return "" if gain(result, best.result, project.metrics).low > 0 else best.method


def _subgroups(best: Reconstructor) -> list[Values]:
    """A line a subgroup, its values by level."""
    if not _file(best, "subgroups.csv").is_file():
        return []
    found: dict[tuple[str, str], Values] = {}
    for line in read_csv(_file(best, "subgroups.csv")):
        each = found.setdefault((line["column"], line["value"]), {"images": line["images"], "levels": {}})
        each["levels"][line["level"]] = {"psnr": float(line["psnr"]), "ssim": float(line["ssim"])}
    return [{"column": column, "value": value, **rest} for (column, value), rest in found.items()]


def _protocol(row: Reconstructor) -> Values:
    found = read_json(_file(row, "protocol.json"))
    values = {
        who: {metric: shown_value(Interval(**found[who][metric]), digits) for metric, digits in PROTOCOL_DIGITS.items()}
        for who in ("network", "identity")
    }
    return {"name": row.name, "filters": found["filters"], **values}


def _parameters(row: Reconstructor, folder: Path) -> Values | None:
    """The parameters of a small network, layer by layer; their histograms are drawn into `folder`."""
    path = row.model / "model.safetensors"
    if not 0 < (row.card.get("parameters") or 0) <= FEW_PARAMETERS or not path.is_file():
        return None
    layers = _layers(path)
    figure = shared.fresh(folder, f"parameters-{row.name}")
    figures.parameter_histograms(figure, layers)
    return {
        "row": row.name,
        "total": row.parameters,
        "figure": figure.name,
        "layers": [
            {
                "name": name,
                "weights": weights.size,
                "biases": biases.size,
                **{
                    how: f"{getattr(biases, how)():.4f}" if biases.size else "" for how in ("min", "mean", "max", "std")
                },
                "listed": {
                    what: ", ".join(f"{value:.4f}" for value in values)
                    for what, values in (("biases", biases), ("weights", weights))
                    if 0 < values.size <= MOST_LISTED
                },
            }
            for name, (weights, biases) in layers.items()
        ],
    }


def _layers(path: Path) -> dict[str, tuple[Array, Array]]:
    """Weights and biases of a network by layer: whatever is no bias counts as a weight."""
    from safetensors.numpy import load_file

    state = {name: values for name, values in load_file(path).items() if np.issubdtype(values.dtype, np.floating)}
    parts: dict[str, tuple[list[Array], list[Array]]] = {}
    for name in sorted(state):
        layer, _, last = name.rpartition(".")
        lists = parts.setdefault(layer.removeprefix("body.") or last, ([], []))
        lists[last == "bias"].append(state[name].ravel())
    nothing = np.zeros(0, np.float32)
    return {layer: tuple(np.concatenate([nothing, *each]) for each in lists) for layer, lists in parts.items()}  # type: ignore[misc]


def _grid(
    path: Path, dataset: str, levels: Mapping[str, Sequence[Line]], rivals: Mapping[str, Sequence[Baseline]]
) -> int:
    """The same images at every level: the frame as it is, the best baseline of the level, and each row."""
    rows = list(dict.fromkeys(line.label for lines in levels.values() for line in lines))
    first = next(iter(levels.values()))[0].result
    keys = shared.spread(list(first.images), GRID_IMAGES)
    originals = shared.images(layout.shards(dataset), keys)
    plain = any(rivals.values())
    identity = any(rival.method == LEFT for own in rivals.values() for rival in own)
    found = []
    for key in keys:
        for level, lines in levels.items():
            compared = [("", rival.result) for rival in rivals[level] if rival.method == LEFT]
            best = best_of(rivals[level], MAIN[KIND])
            compared += [(best.method.replace("_", "+"), best.result)] if best else []
            by_label = {line.label: line.result for line in lines}
            shown = [*compared, *(("", by_label.get(label)) for label in rows)]
            found.append(
                GridRow(
                    level,
                    originals[key],
                    [shared.images(each.reconstructions, [key])[key] if each else None for _, each in shown],
                    [f"{words} {shared.decibels(each, key)}".strip() if each else "" for words, each in shown],
                )
            )
    columns = [("identity", "the frame as it is")] if identity else []
    columns += [("best baseline", "of the level")] if plain else []
    words = {line.label: line.row.words for lines in levels.values() for line in lines}
    grids.grid(path, [*columns, *((label, words[label]) for label in rows)], found)
    return len(keys)
