"""Images with holes: rows and baselines within the hole, along its border and over the whole image."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from afterimage.core import layout, shards
from afterimage.core.images import Uint8, decode
from afterimage.evaluation.results import MAIN, Baseline, Result, best_of, shown_value
from afterimage.report import figures, grids, shared
from afterimage.report.figures import Curve
from afterimage.report.grids import GridRow, Picture
from afterimage.report.project import Project, Reconstructor, Values
from afterimage.report.shared import Line

KIND = "holes"
SHOWN = (
    *("hole_psnr", "hole_rmse", "hole_ssim", "hole_lpips", "hole_lpips_untrained"),
    *("band_rmse", "hole_sharpness", "seam", "psnr"),
)
DRAWN = ("bits", "bits_whole", "coverage", "spread")
"""What only reconstructors tell that know a distribution or draw several answers."""
IN_GRID = 2
"""Baselines beside the rows in the grid of images: the best ones."""
SAMPLES = 3
"""Answers that a figure shows of each image."""
LEFT = "black"
"""The baseline that shows what is left of an image."""


def parts(project: Project, folder: Path) -> list[shared.Part]:
    """A part for each observation with rows, and for each set of images that these were measured on."""
    found = []
    for name, observation in project.observations.items():
        if observation["kind"] == KIND:
            rows = [row for row in project.of(KIND) if row.observation == name]
            found += [_part(project, name, members, folder) for members in shared.sheets(rows)]
    return found


def setting(project: Project, line: Line) -> str:
    """What lines of the overview are compared in: an observation."""
    return str(line.row.row["observation"])


def place(project: Project, line: Line) -> dict[str, Any]:
    """Where a line of the tables stands: nowhere in particular."""
    return {}


def _part(project: Project, name: str, rows: Sequence[Reconstructor], folder: Path) -> shared.Part:
    """The part of rows that were measured on the same images, its figures drawn into `folder`."""
    lines = shared.lines(rows)
    results = [line.result for line in lines]
    first, dataset = results[0], str(project.observations[name]["dataset"])
    rivals = project.rivals(first, name)
    names = shared.shown(results, SHOWN)
    lost = {line.result: shared.losses(line.result, rivals, names) for line in lines}
    keys = shared.spread(sorted(first.images), project.report.images)
    grid = shared.fresh(folder, f"holes-{name}")
    _grid(grid, dataset, rivals, lines, keys)
    drawn = [line for line in lines if any(metric in line.result.intervals for metric in DRAWN)]
    samples = [line for line in lines if _count(line.result)]
    facts = shared.facts(first, dataset)
    missing = [float(line["missing"]) for line in first.images.values() if "missing" in line]
    return {
        "template": "holes.html",
        "title": shared.title(KIND, name, facts["some"]),
        "row": project.observations[name],
        "dataset": dataset,
        **facts,
        "missing": float(np.mean(missing)) if missing else None,
        "shown": names,
        "lines": [
            {
                **shared.about(line),
                "values": shared.cells(line.result, names),
                "gain": shared.gain_on_the_best(line.result, rivals, project, MAIN[KIND]),
                "losses": lost[line.result],
            }
            for line in lines
        ],
        "baselines": shared.plain(rivals, names),
        "losing": sum(bool(methods) for methods in lost.values()),
        "best": shared.best_line(lines, rivals, project, MAIN[KIND]),
        "drawn": [_drawn(line) for line in drawn],
        "histogram": next((found for line in drawn if (found := _histogram(line.result))), None),
        "grid": grid.name,
        "grid_images": len(keys),
        "samples": _sample_figures(dataset, samples, rivals, keys, folder),
        "curves": _curves_figure(rows, folder, name),
        "strips": _strip_figures(rows, folder),
        "error_top": grids.ERROR_TOP,
        "spread_top": grids.SPREAD_TOP,
    }


def _drawn(line: Line) -> Values:
    """What is told of a distribution, in a table of its own."""
    count = _count(line.result)
    return {
        **shared.about(line),
        "samples": count,
        "values": shared.cells(line.result, DRAWN),
        "ideal": f"{(count - 1) / (count + 1):.2f}" if count else "",
    }


def _histogram(result: Result) -> list[dict[str, str]] | None:
    """Bits of the baseline that only counts how often each level came at each place."""
    found = [result.intervals.get(name) for name in ("histogram_bits", "histogram_bits_whole")]
    return [shown_value(each, 2) for each in found if each] if all(found) else None


# Figures


def _grid(path: Path, dataset: str, rivals: Sequence[Baseline], lines: Sequence[Line], keys: Sequence[str]) -> None:
    """What is left of the image, the best baselines, and the rows."""
    originals = shared.images(layout.shards(dataset), keys)
    left = [rival.result for rival in rivals if rival.method == LEFT]
    ranked: list[Baseline] = []
    while len(ranked) < IN_GRID and (
        best := best_of([each for each in rivals if each not in ranked and each.method != LEFT], MAIN[KIND])
    ):
        ranked.append(best)
    shown = [*((rival.method, rival.result) for rival in ranked), *((line.label, line.result) for line in lines)]
    stored = [shared.images(result.reconstructions, keys) for result in [*left, *(result for _, result in shown)]]
    grids.grid(
        path,
        [("given", "black is missing")] * len(left) + [(label, "") for label, _ in shown],
        [
            GridRow(
                lines[0].result.images[key]["image"],
                originals[key],
                [images[key] for images in stored],
                [""] * len(left) + [f"hole {shared.decibels(result, key, 'hole_psnr')}" for _, result in shown],
            )
            for key in keys
        ],
    )


def _curves_figure(rows: Sequence[Reconstructor], folder: Path, name: str) -> str | None:
    """The losses of each row that was trained, on a logarithmic scale; what has no logarithm is left out."""
    curves = {row.name: found for row in rows if (found := _losses(row))}
    if not curves:
        return None
    path = shared.fresh(folder, f"holes-{name}-curves")
    figures.training_curves(path, curves, "loss", logarithmic=True)
    return path.name


def _losses(row: Reconstructor) -> list[Curve]:
    """The losses of a row; none of a single epoch, which makes no curve."""
    epochs = row.curves if len(row.curves) > 1 else []
    names = [name for name in (epochs[0] if epochs else {}) if name.startswith(("train_", "val_"))]
    found = []
    for name in names:
        values = [float(line[name]) for line in row.curves]
        words = name.removeprefix("train_").replace("val_", "validation: ").replace("_", " ")
        if min(values) > 0 and not name.endswith("psnr"):
            found.append(Curve(words, [float(line["epoch"]) for line in row.curves], values))
    return found


def _strip_figures(rows: Sequence[Reconstructor], folder: Path) -> list[Values]:
    """What rows made of the same validation images as training went on, of those that kept that."""
    found = []
    for row in rows:
        strips = {path.stem: path for path in (row.model / "samples").glob("*.png")} if row.trained else {}
        epochs = sorted(int(stem) for stem in strips if stem.isdigit())
        names = {"holes": "given", **{f"{epoch:04d}": f"epoch {epoch}" for epoch in epochs}, "originals": "original"}
        shown = [
            (words, np.asarray(decode(strips[stem].read_bytes()))) for stem, words in names.items() if stem in strips
        ]
        if epochs:
            path = shared.fresh(folder, f"training-{row.name}")
            grids.strips(path, f"{row.name}, as training goes", shown)
            found.append({"name": row.name, "file": path.name})
    return found


def _sample_figures(
    dataset: str, lines: Sequence[Line], rivals: Sequence[Baseline], keys: Sequence[str], folder: Path
) -> list[Values]:
    """A figure for each row that draws several answers."""
    best = best_of(rivals, MAIN[KIND])
    left = next((rival.result for rival in rivals if rival.method == LEFT), None)
    beside = {"what is left": left} if left else {}
    beside |= {best.method: best.result} if best else {}
    found = []
    for line in lines:
        count = _count(line.result)
        path = shared.fresh(folder, f"samples-{line.label.replace('/', '-')}")
        _sample_figure(path, dataset, line.result, count, beside, keys)
        found.append({"label": line.label, "file": path.name, "count": count})
    return found


def _sample_figure(
    path: Path, dataset: str, result: Result, count: int, beside: Mapping[str, Result], keys: Sequence[str]
) -> None:
    """Original, what is left of it, the best baseline, the mean of the answers, their spread, and some of them."""
    answers = [_answers(result, number, keys) for number in range(count)]
    columns = {"original": shared.images(layout.shards(dataset), keys)}
    columns |= {title: shared.images(each.reconstructions, keys) for title, each in beside.items()}
    columns["mean"] = shared.images(result.reconstructions, keys)
    columns["spread"] = {
        key: grids.shaded(_spread(np.stack([answer[key] for answer in answers])) / grids.SPREAD_TOP) for key in keys
    }
    columns |= {f"sample {number}": answer for number, answer in enumerate(answers[:SAMPLES], start=1)}
    measured = {**{title: each for title, each in beside.items() if title != "what is left"}, "mean": result}

    def caption(title: str, key: str) -> str:
        if title == "original":
            return result.images[key]["image"]
        return shared.decibels(measured[title], key, MAIN[KIND]) if title in measured else ""

    grids.pictures(
        path,
        list(columns),
        [
            [Picture(images[key], caption(title, key), title != "spread") for title, images in columns.items()]
            for key in keys
        ],
    )


def _count(result: Result) -> int:
    """How many answers were kept of each image, as parts `sample<number>` behind their mean."""
    index = shards.load_index(result.reconstructions)
    first = next((shard for shard in index["splits"][shared.SPLIT]["shards"]), None)
    if first is None:
        return 0
    names = [name.split(".") for name, *_ in shards.members(result.reconstructions / first["name"])]
    return sum(name[0] == names[0][0] and len(name) == 3 and name[1].startswith("sample") for name in names)


def _answers(result: Result, number: int, keys: Sequence[str]) -> dict[str, Uint8]:
    found = {key: data for key, data, _ in shards.read(result.reconstructions, shared.SPLIT, f"sample{number}")}
    return {key: np.asarray(decode(found[key])) for key in keys}


def _spread(answers: Uint8) -> grids.Floats:
    """The standard deviation of each pixel of `[K, H, W, 3]`, mean over the colours, white = 1."""
    return answers.astype(np.float64).std(0).mean(-1) / 255
