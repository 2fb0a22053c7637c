"""What the sections of all families share: their part of a page and of the tables, and the images that they show."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from afterimage.core import shards
from afterimage.core.errors import ShardError
from afterimage.core.images import Uint8, decode
from afterimage.evaluation.metrics import MetricsRow
from afterimage.evaluation.results import METRICS, Baseline, Result, best_of, gain, shown_value
from afterimage.report.sections import Sections

SPLIT = "test"
FEW_GROUPS = 10

Part = dict[str, Any]
"""The values of a family's part of the page; `template` names the partial that shows them."""


class Line(NamedTuple):
    """A measured row in the table of all rows, quality.csv."""

    result: Result
    encoder: str = ""
    layer: str = ""
    depth: int | None = None

    @property
    def model(self) -> str:
        """The row whose network it is: a row that is measured several times has a slash and how behind its name."""
        return self.result.name.partition("/")[0]


def baselines(sections: Sections, dataset: str | None = None) -> list[Baseline]:
    """The baselines of a data set, or of all."""
    return [
        Baseline(method, Result("baselines", f"{name}/{method}"))
        for name, row in sections.baselines.items()
        if dataset in (None, row.dataset)
        for method in row.methods
    ]


def losses(result: Result, rivals: Sequence[Baseline], shown: Sequence[str]) -> dict[str, list[str]]:
    """The baselines that a row loses to, each with the headings of the metrics in which it is the better one."""
    lost: dict[str, list[str]] = {}
    for name in shown:
        best = best_of(rivals, name)
        sign = 1 if METRICS[name].higher_is_better else -1
        if best and sign * (result.intervals[name].mean - best.result.intervals[name].mean) < 0:
            lost.setdefault(best.method, []).append(METRICS[name].heading.removesuffix(" in dB"))
    return lost


def gain_on_the_best(result: Result, rivals: Sequence[Baseline], metrics: MetricsRow) -> dict[str, str] | None:
    """What a row has in PSNR over the best baseline, as a page prints it; None where there are no baselines."""
    best = best_of(rivals, "psnr")
    return shown_value(gain(result, best.result, metrics), 2, signed=True) if best else None


def spread(keys: Sequence[str], count: int) -> list[str]:
    """So many of the keys, evenly spaced, so that every photograph that is cut into tiles has its share."""
    count = min(count, len(keys))
    return [keys[(2 * number + 1) * len(keys) // (2 * count)] for number in range(count)]


def images(folder: Path, keys: Sequence[str]) -> dict[str, Uint8]:
    """The test images of these keys in a folder of shards.

    Raises:
        ShardError: a key is missing.
    """
    table = shards.Table(folder, SPLIT)
    places = {key: place for place, key in enumerate(table.keys)}
    if missing := [key for key in keys if key not in places]:
        raise ShardError(f"{folder}: has no {SPLIT} sample `{missing[0]}`, which was measured; run `dvc repro`")
    return {key: np.asarray(decode(table.bytes(places[key]))) for key in keys}


def parameters(card: Mapping[str, Any]) -> str:
    """The number of a network's parameters in groups of three digits."""
    return f"{card['parameters']:,}".replace(",", "\u202f")
