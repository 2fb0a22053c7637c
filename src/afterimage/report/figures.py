"""Charts of the report: plain values in, PNG files out, the same bytes for the same values.

All text is set in the DejaVu fonts that come with matplotlib, so a figure does not depend on the machine's fonts.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from afterimage.evaluation.metrics import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.floating[Any]]

MAX_BYTES = 600_000
"""A larger figure loses the lowest bits of its colours, which hardly show: the report lies in Git."""
INK, SOFT, LINE, BLUE, RUST = "#1d2126", "#6a727d", "#dfe3e8", "#1f66ad", "#b5532a"
CASES = (SOFT, RUST, BLUE, "#2c7a4b", "#8a5fb0", INK)
ACROSS = 3
"""Panels side by side; more begin a new line."""


class Mark(NamedTuple):
    """A reconstructor in the figure of quality against depth."""

    place: float
    """Along the axis of depth."""
    label: str
    """Beside the mark; empty for the mark that gives its place the name."""
    values: dict[str, Interval]


class Depth(NamedTuple):
    """An encoder in the figure of quality against depth: a column of panels."""

    title: str
    ticks: list[str]
    """The names of the places 0, 1, 2 ..."""
    line: list[Mark]
    """One layer each, in order of depth."""
    others: list[Mark]


class Curve(NamedTuple):
    """A training run: one value an epoch."""

    label: str
    epochs: list[float]
    values: list[float]


class CaseLine(NamedTuple):
    """A case of several rows in the figure of cases against depth."""

    label: str
    rows: list[tuple[int, dict[str, Interval]]]
    """From shallow to deep: the place of a row, and what the case reached there."""


def quality_against_depth(
    path: Path, encoders: Sequence[Depth], baselines: dict[str, dict[str, Interval]], metrics: dict[str, str]
) -> None:
    """A column an encoder, a row a metric: means with intervals by layer, baselines as lines across.

    Args:
        baselines: values by the baselines' names.
        metrics: the label of the axis by the metric's name.
    """
    widths = [len(encoder.ticks) + 0.6 for encoder in encoders]
    with canvas(path, 0.86 * sum(widths) + 1.9, 2.7 * len(metrics) + 0.7) as figure:
        axes = figure.subplots(
            len(metrics), len(encoders), squeeze=False, sharex="col", sharey="row", width_ratios=widths
        )
        for row, (metric, label) in zip(axes, metrics.items(), strict=True):
            for panel, encoder in zip(row, encoders, strict=True):
                _depth_panel(panel, encoder, metric, [values[metric].mean for values in baselines.values()])
            row[0].set_ylabel(label)
            levels = [values[metric].mean for values in baselines.values()]
            _labels_at_the_end(row[-1], levels, [name.replace("_", " ") for name in baselines], [RUST] * len(levels))
        for panel, encoder in zip(axes[0], encoders, strict=True):
            panel.set_title(encoder.title, loc="left", fontweight="bold", pad=12)


def _depth_panel(panel: "Axes", encoder: Depth, metric: str, levels: Sequence[float]) -> None:
    for level in levels:
        panel.axhline(level, color=RUST, linewidth=1.1, linestyle=(0, (5, 3)), zorder=1)
    means = [mark.values[metric].mean for mark in encoder.line]
    panel.plot([mark.place for mark in encoder.line], means, color=BLUE, linewidth=1.6, zorder=2)
    for mark in [*encoder.line, *encoder.others]:
        value = mark.values[metric]
        hollow = mark not in encoder.line
        panel.plot([mark.place] * 2, [value.low, value.high], color=BLUE, linewidth=4, alpha=0.25, zorder=2)
        panel.plot(
            mark.place,
            value.mean,
            marker="D" if hollow else "o",
            color=BLUE,
            markerfacecolor="white" if hollow else BLUE,
            markersize=5.5,
            zorder=3,
        )
        text = f"{value.mean:.1f}" if metric == "psnr" else f"{value.mean:.2f}"
        panel.annotate(
            f"{text} {mark.label}".strip(),
            (mark.place, value.mean),
            (7, -12 if hollow else 5),
            textcoords="offset points",
            fontsize=8.5,
            bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
            zorder=4,
        )
    panel.set_xlim(-0.35, len(encoder.ticks) - 0.35)
    panel.set_xticks(range(len(encoder.ticks)), encoder.ticks)
    panel.margins(y=0.12)
    _quiet(panel)


def cases_against_depth(
    path: Path, encoders: dict[str, list[CaseLine]], ticks: dict[str, list[str]], metrics: dict[str, str]
) -> None:
    """A column an encoder, a row a metric: what the cases of several rows get back of the same layers.

    Args:
        encoders: the cases by the encoder's name; the last case is drawn in the darkest colour.
        ticks: the names of the places, by the encoder's name.
        metrics: the label of the axis by the metric's name; all but PSNR and SSIM have a logarithmic one.
    """
    widths = [len(names) + 0.6 for names in ticks.values()]
    with canvas(path, 0.86 * sum(widths) + 1.9, 2.3 * len(metrics) + 0.7) as figure:
        axes = figure.subplots(
            len(metrics), len(encoders), squeeze=False, sharex="col", sharey="row", width_ratios=widths
        )
        for row, (metric, label) in zip(axes, metrics.items(), strict=True):
            for panel, (encoder, lines) in zip(row, encoders.items(), strict=True):
                for number, line in enumerate(lines):
                    values = [found[metric] for _, found in line.rows]
                    places = [place + 0.08 * (number - (len(lines) - 1) / 2) for place, _ in line.rows]
                    bars = ([value.low for value in values], [value.high for value in values])
                    colour = CASES[number % len(CASES)]
                    panel.vlines(places, *bars, color=colour, linewidth=4, alpha=0.25)
                    means = [value.mean for value in values]
                    panel.plot(places, means, "o-", color=colour, linewidth=1.6, markersize=4.5, label=line.label)
                panel.set_yscale("linear" if metric in ("psnr", "ssim") else "log")
                panel.minorticks_off()
                panel.set_xlim(-0.4, len(ticks[encoder]) - 0.6)
                panel.set_xticks(range(len(ticks[encoder])), ticks[encoder])
                _quiet(panel)
            row[0].set_ylabel(label)
        for panel, title in zip(axes[0], encoders, strict=True):
            panel.set_title(title, loc="left", fontweight="bold", pad=12)
        axes[0][-1].legend(frameon=False, fontsize=9, loc="upper right")


def training_curves(
    path: Path,
    panels: dict[str, list[Curve]],
    label: str = "PSNR of validation images in dB",
    logarithmic: bool = False,
) -> None:
    """A panel an encoder or a row: values after each epoch, light lines for those that come first."""
    across, down = min(ACROSS, len(panels)), -(-len(panels) // ACROSS)
    with canvas(path, 4.7 * across + 0.6, 3.9 * down) as figure:
        from matplotlib import colormaps
        from matplotlib.ticker import MaxNLocator

        def shades(curves: Sequence[Curve]) -> list[Any]:
            return list(colormaps["viridis"](np.linspace(0.75, 0.05, len(curves))))

        axes = figure.subplots(down, across, squeeze=False, sharey=True)
        used = axes.ravel()[: len(panels)]
        for panel, (title, curves) in zip(used, panels.items(), strict=True):
            for curve, shade in zip(curves, shades(curves), strict=True):
                panel.plot(curve.epochs, curve.values, color=shade, linewidth=1.6)
                panel.plot(curve.epochs[-1], curve.values[-1], "o", color=shade, markersize=3.5)
            panel.set_title(title, loc="left", fontweight="bold", pad=10)
            panel.set_xlabel("epoch")
            panel.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
            if logarithmic:
                panel.set_yscale("log")
            else:
                panel.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
            _quiet(panel)
        for row in axes:
            row[0].set_ylabel(label)
        for panel in axes.ravel()[len(panels) :]:
            panel.set_visible(False)
        for panel, curves in zip(used, panels.values(), strict=True):
            _labels_at_the_end(panel, [c.values[-1] for c in curves], [c.label for c in curves], shades(curves))


def parameter_histograms(path: Path, layers: dict[str, tuple[npt.NDArray[Any], npt.NDArray[Any]]]) -> None:
    """A panel a layer: how its weights are spread, and a mark below for each bias."""
    across, down = min(2 * ACROSS, len(layers)), -(-len(layers) // (2 * ACROSS))
    with canvas(path, 2.0 * across + 0.5, 2.3 * down) as figure:
        axes = figure.subplots(down, across, squeeze=False)
        for panel, (name, (weights, biases)) in zip(axes.ravel(), layers.items(), strict=False):
            panel.hist(weights, bins=31, color=BLUE)
            bottom = -0.06 * panel.get_ylim()[1]
            panel.plot(biases, [bottom] * biases.size, "|", color=RUST, markersize=7)
            panel.set_title(name, loc="left", fontweight="bold", pad=8)
            panel.locator_params(axis="both", nbins=4)
            _quiet(panel)
        for row in axes:
            row[0].set_ylabel("weights")
        for panel in axes.ravel()[len(layers) :]:
            panel.set_visible(False)


@contextmanager
def canvas(path: Path, width: float, height: float, dpi: int = 180, layout: Any = "constrained") -> Iterator["Figure"]:
    """A figure of so many inches that is saved to `path` when the block ends."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "font.family": "DejaVu Sans",
        "font.size": 9.5,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": SOFT,
        "axes.titlesize": 11,
        "xtick.color": INK,
        "ytick.color": INK,
    }
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's matplotlibrc must not change the bytes
        matplotlib.rcParams.update(style)
        figure = Figure((width, height), dpi=dpi, layout=layout)
        canvas = FigureCanvasAgg(figure)
        yield figure
        canvas.draw()
        pixels = np.asarray(canvas.buffer_rgba())[..., :3].astype(np.uint16)
    for coarseness in (1, 4, 8, 16):
        rounded = (pixels + coarseness // 2) // coarseness * coarseness
        Image.fromarray(np.minimum(rounded, 255).astype(np.uint8)).save(path, "PNG")
        if path.stat().st_size <= MAX_BYTES:
            break


def _quiet(panel: "Axes") -> None:
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(axis="y", color=LINE, linewidth=0.8)
    panel.set_axisbelow(True)
    panel.tick_params(length=0, labelsize=9)


def _labels_at_the_end(panel: "Axes", values: Sequence[float], labels: Sequence[str], colours: Sequence[Any]) -> None:
    """Name lines at their right end, moved apart where they would lie on each other."""
    logarithmic = panel.get_yscale() == "log"
    low, high = np.log10(panel.get_ylim()) if logarithmic else panel.get_ylim()
    values = [float(np.log10(value)) for value in values] if logarithmic else values
    figure = panel.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # lays the panels out, so that their height is known
    height = panel.get_window_extent().height / figure.dpi * 72
    least = 12 / height * (high - low)  # a line of text, in the units of the axis
    order = sorted(range(len(values)), key=lambda number: values[number])
    places: list[float] = []
    for number in order:
        places.append(max(values[number], places[-1] + least) if places else values[number])
    if places and (over := places[-1] - high) > 0:
        places = [place - over for place in places]
    for number, place in zip(order, places, strict=True):
        panel.annotate(
            labels[number],
            (1, 10**place if logarithmic else place),
            (6, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            color=colours[number],
            fontsize=9,
            va="center",
            annotation_clip=False,
        )
