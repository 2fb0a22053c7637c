"""What the sections of all kinds of observation share: lines of tables, comparisons, and the images that they show."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from afterimage.core import layout, shards
from afterimage.core.errors import ShardError
from afterimage.core.images import Uint8, decode
from afterimage.evaluation.metrics import Interval
from afterimage.evaluation.results import (
    METRICS,
    Baseline,
    Result,
    beaten_by,
    best_of,
    best_result,
    gain,
    methods,
    shown_value,
)
from afterimage.report.project import Project, Reconstructor

SPLIT = "test"
FEW_GROUPS = 10
CLOSE = 0.1
"""Decibels: of a smaller difference that is not certain nobody would say that one is above the other."""

TITLES = {"features": "Images from features", "holes": "Images with holes", "frames": "Bad frames"}
"""Of a kind of observation, above its parts."""
Part = dict[str, Any]
"""The values of a part of the page; `template` names the partial that shows them."""
Cell = dict[str, str] | None
"""A value with its interval as a page prints it; None where it was not measured."""


class Line(NamedTuple):
    """A row in one case: a line of a table."""

    row: Reconstructor
    case: str
    result: Result

    @property
    def label(self) -> str:
        """The row, and the case where it has several."""
        several = len(self.row.results) > 1
        rest = self.case.partition("/")[2] if self.row.levels else self.case if several else ""
        return f"{self.row.name}/{rest}" if rest else self.row.name


def lines(rows: Sequence[Reconstructor], level: str = "") -> list[Line]:
    """The cases of some rows, at one level where they have levels."""
    return [
        Line(row, case, result)
        for row in rows
        for case, result in row.results.items()
        if not level or case.partition("/")[0] == level
    ]


def sheets(rows: Sequence[Reconstructor]) -> list[list[Reconstructor]]:
    """Rows that were measured on the same images, the most images first: only those are compared in one table."""
    found: dict[frozenset[str], list[Reconstructor]] = {}
    for row in rows:
        found.setdefault(frozenset(row.first.images), []).append(row)
    return [found[keys] for keys in sorted(found, key=len, reverse=True)]


def facts(result: Result, dataset: str) -> dict[str, Any]:
    """What a page says of the images that a table is measured on."""
    images = len(result.images)
    every = shards.load_index(layout.shards(dataset))["splits"][SPLIT]["samples"]
    groups = len(set(result.groups))
    return {
        "images": images,
        "some": f"on {images} of {every} test images" if images < every else "",
        "groups": groups,
        "few_groups": groups < FEW_GROUPS,
    }


def shown(results: Sequence[Result], among: Sequence[str] = tuple(METRICS)) -> list[str]:
    """The metrics of quality that some of the results have, in order."""
    return [
        name
        for name in among
        if METRICS[name].higher_is_better is not None and any(name in result.intervals for result in results)
    ]


def title(kind: str, name: str, some: str) -> str:
    """The heading of a part: what it is about, and of how many test images where these are not all."""
    return f"{TITLES[kind]}{f': {name}' if name else ''}{f', {some}' if some else ''}"


def cells(result: Result, names: Sequence[str]) -> list[Cell]:
    found = result.intervals
    return [shown_value(found[name], METRICS[name].digits) if name in found else None for name in names]


def about(line: Line) -> dict[str, Any]:
    """What every table says of a row."""
    return {"name": line.row.name, "label": line.label, "words": line.row.words, "parameters": line.row.parameters}


def plain(rivals: Sequence[Baseline], names: Sequence[str]) -> list[dict[str, Any]]:
    """The baselines in a table, each with what it is."""
    kind = rivals[0].result.kind if rivals else ""
    words = methods(kind) if kind else {}
    best = [best_of(rivals, name) for name in names]
    return [
        {
            "method": rival.method,
            "about": words.get(rival.method, ""),
            "values": cells(rival.result, names),
            "best": [rival is other for other in best],
        }
        for rival in rivals
    ]


def losses(result: Result, rivals: Sequence[Baseline], names: Sequence[str]) -> dict[str, list[str]]:
    """The baselines that a row loses to, each with the headings of the metrics in which it is the better one."""
    lost: dict[str, list[str]] = {}
    for name in names:
        best = best_of(rivals, name)
        if best and name in result.intervals and beaten_by(result, best.result, name):
            lost.setdefault(best.method, []).append(METRICS[name].heading.removesuffix(" in dB"))
    return lost


def gain_on_the_best(result: Result, rivals: Sequence[Baseline], project: Project, metric: str = "psnr") -> Cell:
    """What a row has over the best baseline, image by image, as a page prints it; None where there is none."""
    best = best_of(rivals, metric)
    found = gain(result, best.result, project.metrics, metric) if best else None
    return shown_value(found, _digits(found, metric), signed=True) if found else None


def _digits(difference: Interval, metric: str) -> int:
    """As many digits as the metric is shown with, or more where these would show no difference."""
    digits = METRICS[metric].digits
    return digits if abs(difference.mean) >= 10**-digits else digits + 2


def best_line(lines: Sequence[Line], rivals: Sequence[Baseline], project: Project, metric: str) -> Part | None:
    """The line with the best mean of a metric beside the best baseline, as a page says it; None where none has it."""
    result = best_result([line.result for line in lines], metric)
    if result is None:
        return None
    line = next(line for line in lines if line.result is result)
    best = best_of(rivals, metric)
    difference = gain(result, best.result, project.metrics, metric) if best else None
    digits = METRICS[metric].digits
    finer = _digits(difference, metric) if difference else digits
    return {
        "line": line,
        "label": line.label,
        "value": shown_value(result.intervals[metric], digits),
        "rival": best and best.method,
        "rival_value": best and shown_value(best.result.intervals[metric], digits),
        "difference": difference and shown_value(difference, finer, signed=True),
        "by": f"{abs(difference.mean):.{finer}f}" if difference else "",
        "loses": bool(difference and difference.mean < 0),
        "certain": bool(difference and difference.low * difference.high > 0),
        "verdict": _verdict(difference, best.method) if difference and best else "no baselines",
    }


def _verdict(difference: Interval, rival: str) -> str:
    """What the difference to a baseline in dB says; nothing is certain where its interval includes 0."""
    if difference.low * difference.high > 0:
        return f"better than {rival}" if difference.mean > 0 else f"loses to {rival}"
    if abs(difference.mean) < CLOSE:
        return f"level with {rival}"
    return f"{'above' if difference.mean > 0 else 'below'} {rival}, not for certain"


def spread(keys: Sequence[str], number: int) -> list[str]:
    """So many of the keys, evenly spaced, so that every photograph that is cut into tiles has its share."""
    number = min(number, len(keys))
    return [keys[(2 * place + 1) * len(keys) // (2 * number)] for place in range(number)]


def images(folder: Path, keys: Sequence[str]) -> dict[str, Uint8]:
    """The test images of these keys in a folder of shards.

    Raises:
        ShardError: a key is missing.
    """
    table = shards.Table(folder, SPLIT)
    if missing := [key for key in keys if key not in table.keys]:
        raise ShardError(f"{folder}: has no {SPLIT} sample `{missing[0]}`, which was measured; run `dvc repro`")
    return {key: np.asarray(decode(table.of(key))) for key in keys}


def fresh(folder: Path, stem: str, suffix: str = ".png") -> Path:
    """A name for a file that no other has: a second table of the same thing has figures of its own."""
    names = (f"{stem}-{number}{suffix}" if number > 1 else f"{stem}{suffix}" for number in count(1))
    return next(folder / name for name in names if not (folder / name).exists())


def decibels(result: Result, key: str, metric: str = "psnr") -> str:
    return f"{float(result.images[key][metric]):.1f} dB"
