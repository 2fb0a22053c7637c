"""What each layer keeps, in the report: decoder, optimisation and hybrid side by side on the same test images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from afterimage import figures, layout
from afterimage.errors import ParamsError
from afterimage.figures import GridRow, MethodLine
from afterimage.metrics import Interval, bootstrap
from afterimage.report import shared
from afterimage.report.sections import InversionNames, Sections
from afterimage.results import INVERSIONS, METRICS, Result, best_method, shown_value

FAMILY = "inversions"
GRID_IMAGES = 2


@dataclass(frozen=True)
class Inversion:
    """A row of `inversions` with what was measured."""

    name: str
    row: InversionNames
    depth: int
    """1 for the shallowest layer that the encoder keeps."""

    @cached_property
    def results(self) -> dict[str, Result]:
        return {method: Result(FAMILY, f"{self.name}/{method}") for method in INVERSIONS}

    @property
    def intervals(self) -> dict[str, dict[str, Interval]]:
        return {method: result.intervals for method, result in self.results.items()}

    def best(self, metric: str) -> str:
        return best_method(self.intervals, metric)


def parts(sections: Sections, folder: Path) -> list[shared.Part]:
    """A part for each data set that has inversions, its figures drawn into `folder`.

    Raises:
        ParamsError: a row names a layer that its encoder does not keep, or looks at other images than the rest.
    """
    rows = _rows(sections)
    members = {name: [row for row in rows if row.row.dataset == name] for name in sections.datasets}
    members = {name: rows for name, rows in members.items() if rows}
    return [_part(sections, name, rows, folder, len(members) > 1) for name, rows in members.items()]


def lines(sections: Sections) -> list[shared.Line]:
    """The methods of each row in the table of all rows."""
    return [
        shared.Line(result, row.row.encoder, row.row.layer, row.depth)
        for row in _rows(sections)
        for result in row.results.values()
    ]


def _rows(sections: Sections) -> list[Inversion]:
    """All rows, by encoder and from shallow to deep."""
    kept = {name: encoder.layers for name, encoder in sections.encoders.items()}
    rows = []
    for name, row in sections.inversions.items():
        layers = kept.get(row.encoder, [])
        if row.layer not in layers:
            raise ParamsError(
                f"`{FAMILY}.{name}.layer`: `{row.layer}` is no layer that `encoders.{row.encoder}` keeps; "
                f"it keeps {', '.join(layers) or 'none'}"
            )
        rows.append(Inversion(name, row, 1 + layers.index(row.layer)))
    order = list(kept)
    return sorted(rows, key=lambda row: (order.index(row.row.encoder), row.depth))


def _part(sections: Sections, dataset: str, rows: Sequence[Inversion], folder: Path, several: bool) -> shared.Part:
    """The section of a data set's inversions, its figures drawn into `folder`."""
    for row in rows[1:]:
        if row.row.images != rows[0].row.images:
            raise ParamsError(
                f"`{FAMILY}.{row.name}.images`: {row.row.images}, but {rows[0].name} has {rows[0].row.images}; "
                "layers are compared on the same images"
            )
    first = rows[0].results["optimisation"]
    keys = list(first.images)
    shown = [name for name in METRICS if name in first.intervals and name != "mse"]
    baselines = {
        baseline.method: {
            name: bootstrap(
                baseline.result.column(name, keys), first.groups, sections.metrics.bootstrap, sections.metrics.seed
            )
            for name in shown
            if name in baseline.result.intervals
        }
        for baseline in shared.baselines(sections, dataset)
    }
    encoders = {name: [row for row in rows if row.row.encoder == name] for name in sections.encoders}
    encoders = {name: members for name, members in encoders.items() if members}
    figures.methods_against_depth(
        folder / f"kept-{dataset}.png",
        {
            name: [
                MethodLine(method, [(row.row.layer, row.intervals[method]) for row in members]) for method in INVERSIONS
            ]
            for name, members in encoders.items()
        },
        {name: METRICS[name].heading for name in ("psnr", "ssim", "feature_error")},
    )
    for name, members in encoders.items():
        _grid(folder / f"kept-grid-{name}.png", dataset, members, shared.spread(keys, GRID_IMAGES))
    winners = [row.best("psnr") for row in rows]
    ended = [float(line["converged"]) for row in rows for line in _searches(row)]
    return {
        "template": "inversions.html",
        "several": several,
        "dataset": dataset,
        "shown": [METRICS[name] for name in shown],
        "methods": INVERSIONS,
        "encoders": [
            {"name": name, "lines": [_line(row, shown, baselines) for row in members]}
            for name, members in encoders.items()
        ],
        "baselines": [
            {
                "method": method,
                "values": [
                    shown_value(values[name], METRICS[name].digits) if name in values else None for name in shown
                ],
            }
            for method, values in baselines.items()
        ],
        "images": len(keys),
        "groups": len(set(first.groups)),
        "grid_images": min(GRID_IMAGES, len(keys)),
        "rows": len(rows),
        "wins": {method: winners.count(method) for method in INVERSIONS},
        "searches": len(ended),
        "converged": int(sum(ended)),
        "error_top": figures.ERROR_TOP,
    }


def _searches(row: Inversion) -> list[dict[str, str]]:
    return [line for method in ("optimisation", "hybrid") for line in row.results[method].images.values()]


def _line(row: Inversion, shown: Sequence[str], baselines: Mapping[str, Mapping[str, Interval]]) -> dict[str, Any]:
    """A layer in the table of results: for each method its values, the best of them and those that a baseline beats."""
    methods = []
    for method, values in row.intervals.items():
        cells = []
        for name in shown:
            rivals = {rival: found for rival, found in baselines.items() if name in found}
            lost = bool(rivals) and best_method({**rivals, method: values}, name) != method
            cells.append(
                {**shown_value(values[name], METRICS[name].digits), "best": row.best(name) == method, "lost": lost}
            )
        methods.append({"name": method, "cells": cells})
    return {"name": row.name, "layer": row.row.layer, "methods": methods}


def _grid(path: Path, dataset: str, members: Sequence[Inversion], keys: Sequence[str]) -> None:
    """A column a layer; for each image a row a method."""
    originals = shared.images(layout.shards(dataset), keys)
    found = {
        (row.name, method): shared.images(layout.reconstructions(FAMILY, f"{row.name}/{method}"), keys)
        for row in members
        for method in INVERSIONS
    }
    figures.grid(
        path,
        [(row.row.layer, "") for row in members],
        [
            GridRow(
                method,
                originals[key],
                [found[row.name, method][key] for row in members],
                [f"{float(row.results[method].images[key]['psnr']):.1f} dB" for row in members],
            )
            for key in keys
            for method in INVERSIONS
        ],
    )
