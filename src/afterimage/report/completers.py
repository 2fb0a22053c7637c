"""Completions in the report: the table beside the baselines of the same holes, and images with their uncertainty."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from afterimage import figures, layout, shards
from afterimage.errors import ParamsError
from afterimage.figures import Picture
from afterimage.images import Uint8, decode
from afterimage.metrics import Interval
from afterimage.report import shared
from afterimage.report.sections import CompleterNames, Sections
from afterimage.results import HOLE_BASELINES, METRICS, Baseline, Result, best_of, read_json, shown_value

FAMILY = "completers"
BASELINES = "baselines-holes"
SHOWN = ("hole_psnr", "hole_rmse", "hole_ssim", "psnr")
"""What completions and baselines are compared by."""
DRAWN = 3
"""Completions that a figure shows of each image."""


@dataclass(frozen=True)
class Completer:
    """A row of `completers` with what was measured."""

    name: str
    row: CompleterNames

    @cached_property
    def card(self) -> dict[str, Any]:
        return read_json(layout.model(FAMILY, self.name) / "card.json")

    @cached_property
    def result(self) -> Result:
        return Result(FAMILY, self.name)

    @cached_property
    def own(self) -> dict[str, Interval]:
        """What only this family measures."""
        data = read_json(layout.metrics(FAMILY, self.name) / "intervals.json")
        names = ("bits", "bits_whole", "histogram_bits", "histogram_bits_whole", "coverage", "spread")
        return {name: Interval(**data[name]) for name in names}


def parts(sections: Sections, folder: Path) -> list[shared.Part]:
    """A part for each row of holes that has completers, its figures drawn into `folder`.

    Raises:
        ParamsError: a row names holes that there are not.
    """
    rows = [Completer(name, row) for name, row in sections.completers.items()]
    for row in rows:
        if row.row.holes not in sections.holes:
            raise ParamsError(f"`{FAMILY}.{row.name}.holes`: there is no row `{row.row.holes}` in `holes`")
    members = {name: [row for row in rows if row.row.holes == name] for name in sections.holes}
    return [_part(sections, name, rows, folder) for name, rows in members.items() if rows]


def lines(sections: Sections) -> list[shared.Line]:
    """The rows in the table of all rows."""
    return [shared.Line(Result(FAMILY, name)) for name in sections.completers]


def _part(sections: Sections, holes: str, rows: Sequence[Completer], folder: Path) -> shared.Part:
    baselines = [Baseline(method, Result(BASELINES, f"{holes}/{method}")) for method in HOLE_BASELINES]
    first = rows[0].result
    keys = shared.spread(sorted(first.images), sections.report.images)
    originals = shared.images(layout.shards(rows[0].row.dataset), keys)
    best = best_of(baselines, "hole_psnr")
    assert best is not None
    left, rival = (
        shared.images(layout.reconstructions(BASELINES, name), keys) for name in (f"{holes}/black", best.result.name)
    )
    for row in rows:
        _figure(folder / f"completions-{row.name}.png", row, best, keys, originals, left, rival)
    winner = max(rows, key=lambda row: row.result.intervals["hole_psnr"].mean)
    return {
        "template": "completers.html",
        "holes": holes,
        "dataset": rows[0].row.dataset,
        "shown": [METRICS[name] for name in SHOWN],
        "rows": [_line(row, baselines) for row in rows],
        "baselines": [{"method": baseline.method, "values": _values(baseline.result)} for baseline in baselines],
        "histogram": shown_value(rows[0].own["histogram_bits"], 2),
        "histogram_whole": shown_value(rows[0].own["histogram_bits_whole"], 2),
        "winner": winner.name,
        "winning": winner.result.intervals["hole_psnr"].mean - best.result.intervals["hole_psnr"].mean,
        "best": best.method,
        "images": len(first.images),
        "drawn": len(keys),
        "groups": len(set(first.groups)),
        "few_groups": len(set(first.groups)) < shared.FEW_GROUPS,
        "spread_top": figures.SPREAD_TOP,
    }


def _line(row: Completer, baselines: Sequence[Baseline]) -> dict[str, Any]:
    trained = row.card["trained"]
    samples = trained["samples"]
    return {
        "name": row.name,
        "arch": trained["arch"].replace("_", " "),
        "likelihood": trained["likelihood"],
        "hybrid": trained["trunk"] is not None,
        "parameters": shared.parameters(row.card),
        "samples": samples,
        "values": _values(row.result),
        "losses": shared.losses(row.result, baselines, SHOWN),
        "bits": shown_value(row.own["bits"], 2),
        "bits_whole": shown_value(row.own["bits_whole"], 2),
        "coverage": shown_value(Interval(*(100 * value for value in row.own["coverage"])), 0),
        "ideal": f"{100 * (samples - 1) / (samples + 1):.0f}",
    }


def _values(result: Result) -> list[dict[str, str]]:
    return [shown_value(result.intervals[name], METRICS[name].digits) for name in SHOWN]


def _figure(
    path: Path,
    row: Completer,
    best: Baseline,
    keys: Sequence[str],
    originals: Mapping[str, Uint8],
    left: Mapping[str, Uint8],
    rival: Mapping[str, Uint8],
) -> None:
    """Original, what is left of it, the best baseline, the mean completion, the spread, and some completions."""
    store = layout.reconstructions(FAMILY, row.name)
    means = shared.images(store, keys)
    samples = [_samples(store, f"sample{number}", keys) for number in range(row.card["trained"]["samples"])]
    pictures = []
    for key in keys:
        drawn = [sample[key] for sample in samples]
        decibels = [f"{float(result.images[key]['hole_psnr']):.1f} dB" for result in (best.result, row.result)]
        pictures.append(
            [
                Picture(originals[key], row.result.images[key]["image"]),
                Picture(left[key], ""),
                Picture(rival[key], decibels[0]),
                Picture(means[key], decibels[1]),
                Picture(figures.shaded(_spread(drawn) / figures.SPREAD_TOP), "", smooth=False),
                *(Picture(image, "") for image in drawn[:DRAWN]),
            ]
        )
    titles = ["original", "what is left", best.method, "mean", "spread"]
    titles += [f"completion {number}" for number in range(1, min(DRAWN, len(samples)) + 1)]
    figures.pictures(path, titles, pictures)


def _spread(completions: Sequence[Uint8]) -> figures.Floats:
    """The standard deviation of each pixel, mean over the colours, white = 1."""
    return np.stack(completions).astype(np.float64).std(0).mean(-1) / 255


def _samples(folder: Path, part: str, keys: Sequence[str]) -> dict[str, Uint8]:
    wanted = set(keys)
    found = {key: data for key, data, _ in shards.read(folder, shared.SPLIT, part) if key in wanted}
    return {key: np.asarray(decode(found[key])) for key in keys}
