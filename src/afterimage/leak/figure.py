"""The chart of what features give away against what they are good for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from afterimage.evaluation.metrics import Interval
from afterimage.report.figures import BLUE, INK, LINE, RUST, SOFT, canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LETTERS = 0.075
"""Inches that a letter of a label takes."""
LEAST_HEIGHT, LABEL = 3.6, 0.21
"""Inches of the chart, and of a line of its labels."""
LINE_SHARE = 0.06
"""What a line of text takes of the height of the lowest chart."""
BEHIND = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}


class Mark(NamedTuple):
    """What an attacker gets out of what is stored."""

    label: str
    across: Interval
    up: Interval


def leakage(
    path: Path,
    marks: Sequence[Mark],
    across: str,
    up: str,
    share: bool,
    levels: Mapping[str, float],
    least: float | None,
) -> None:
    """Marks with their intervals; the labels stand in a column at the right, each with a line to its mark.

    Args:
        across: the label of that axis, and `up` of the other one, whose values are shares.
        share: whether those across are shares, too.
        levels: what is drawn as lines across, by name.
        least: where chance lies across; None: nowhere.
    """
    longest = max(len(mark.label) for mark in marks)
    height = max(LEAST_HEIGHT, LABEL * len(marks) + 0.8)
    with canvas(path, 5.2 + LETTERS * longest, height) as figure:
        from matplotlib.ticker import PercentFormatter

        panel = figure.subplots()
        for name, value in levels.items():
            panel.axhline(value, color=RUST, linewidth=1.1, linestyle=(0, (5, 3)), zorder=1)
            left = ("axes fraction", "data")
            panel.annotate(
                name, (0.01, value), (0, 5), left, "offset points", color=RUST, fontsize=9, bbox=dict(BEHIND)
            )
        if least is not None:
            panel.axvline(least, color=RUST, linewidth=1.1, linestyle=(0, (5, 3)), zorder=1)
        for mark in marks:
            panel.plot([mark.across.low, mark.across.high], [mark.up.mean] * 2, color=BLUE, linewidth=3, alpha=0.25)
            panel.plot([mark.across.mean] * 2, [mark.up.low, mark.up.high], color=BLUE, linewidth=3, alpha=0.25)
            panel.plot(mark.across.mean, mark.up.mean, "o", color=BLUE, markersize=5.5, zorder=3)
        panel.set_xlabel(across)
        panel.set_ylabel(up)
        panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        if share:
            panel.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        panel.margins(x=0.08, y=0.08)
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(color=LINE, linewidth=0.8)
        panel.set_axisbelow(True)
        panel.tick_params(length=0, labelsize=9)
        _named(panel, marks)


def _named(panel: "Axes", marks: Sequence[Mark]) -> None:
    """The labels from top to bottom in the order of their marks, moved apart."""
    low, high = panel.get_ylim()
    panel.set_ylim(low, high)
    panel.set_xlim(panel.get_xlim())
    ordered = sorted(marks, key=lambda mark: (mark.up.mean, -mark.across.mean))
    for mark, place in zip(ordered, spaced([mark.up.mean for mark in ordered], low, high), strict=True):
        panel.annotate(
            mark.label,
            (mark.across.mean, mark.up.mean),
            (1.03, place),
            textcoords=("axes fraction", "data"),
            color=INK,
            fontsize=9,
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": SOFT, "linewidth": 0.6, "alpha": 0.6, "shrinkB": 3},
        )


def spaced(values: Sequence[float], low: float, high: float) -> list[float]:
    """Places between `low` and `high` for values in ascending order, near them and apart by a line of text."""
    step = (high - low) * min(LINE_SHARE, 1 / len(values))
    places: list[float] = []
    for value in values:
        places.append(max(value, places[-1] + step) if places else value)
    top = high
    for number in reversed(range(len(places))):
        places[number] = min(places[number], top)
        top = places[number] - step
    return places
