"""Figures of the report: plain values in, PNG files out, the same bytes for the same values.

All text is set in the DejaVu fonts that come with matplotlib, so a figure does not depend on the machine's fonts.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from afterimage.core.images import Uint8
from afterimage.evaluation.metrics import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.floating[Any]]

MAX_BYTES = 600_000
"""A larger figure loses the lowest bits of its colours, which hardly show: the report lies in Git."""
INK, SOFT, LINE, BLUE, RUST = "#1d2126", "#6a727d", "#dfe3e8", "#1f66ad", "#b5532a"

CELL = 128
"""Side in px of an image in a grid."""
GAP = 10
ERROR_TOP = 0.25
"""The error that gets the brightest colour, on the scale where white is 1."""
SPREAD_TOP = 0.25
"""The same of the standard deviation of several completions."""
ERROR_STEPS = 16
ERROR_COLOURS = "inferno"


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


class MethodLine(NamedTuple):
    """A method in the figure of what each layer keeps."""

    label: str
    layers: list[tuple[str, dict[str, Interval]]]
    """From shallow to deep: the name of a layer, and what the method reached there."""


class Picture(NamedTuple):
    """An image with the words under it."""

    pixels: Uint8
    caption: str
    smooth: bool = True
    """Whether it is enlarged smoothly, as photographs are, or pixel by pixel."""


class GridRow(NamedTuple):
    """A test image and what was made of it; captions are set under the images."""

    name: str
    original: Uint8
    images: list[Uint8]
    captions: list[str]


def quality_against_depth(
    path: Path, encoders: Sequence[Depth], baselines: dict[str, dict[str, Interval]], metrics: dict[str, str]
) -> None:
    """A column an encoder, a row a metric: means with intervals by layer, baselines as lines across.

    Args:
        baselines: values by the baselines' names.
        metrics: the label of the axis by the metric's name.
    """
    widths = [len(encoder.ticks) + 0.6 for encoder in encoders]
    with _figure(path, 0.86 * sum(widths) + 1.9, 2.7 * len(metrics) + 0.7) as figure:
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


def methods_against_depth(path: Path, encoders: dict[str, list[MethodLine]], metrics: dict[str, str]) -> None:
    """A column an encoder, a row a metric: what several methods get back of the same layers.

    Args:
        encoders: up to three methods by the encoder's name.
        metrics: the label of the axis by the metric's name; all but PSNR and SSIM have a logarithmic one.
    """
    widths = [len(lines[0].layers) + 0.6 for lines in encoders.values()]
    with _figure(path, 0.86 * sum(widths) + 1.9, 2.3 * len(metrics) + 0.7) as figure:
        axes = figure.subplots(
            len(metrics), len(encoders), squeeze=False, sharex="col", sharey="row", width_ratios=widths
        )
        for row, (metric, label) in zip(axes, metrics.items(), strict=True):
            for panel, lines in zip(row, encoders.values(), strict=True):
                for number, (line, colour) in enumerate(zip(lines, (SOFT, RUST, BLUE), strict=False)):
                    values = [found[metric] for _, found in line.layers]
                    places = [place + 0.08 * (number - 1) for place in range(len(values))]
                    bars = ([value.low for value in values], [value.high for value in values])
                    panel.vlines(places, *bars, color=colour, linewidth=4, alpha=0.25)
                    means = [value.mean for value in values]
                    panel.plot(places, means, "o-", color=colour, linewidth=1.6, markersize=4.5, label=line.label)
                panel.set_yscale("linear" if metric in ("psnr", "ssim") else "log")
                panel.minorticks_off()
                panel.set_xlim(-0.4, len(lines[0].layers) - 0.6)
                panel.set_xticks(range(len(lines[0].layers)), [layer for layer, _ in lines[0].layers])
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
    with _figure(path, 4.7 * len(panels) + 0.6, 3.9) as figure:
        from matplotlib import colormaps
        from matplotlib.ticker import MaxNLocator

        def shades(curves: Sequence[Curve]) -> list[Any]:
            return list(colormaps["viridis"](np.linspace(0.75, 0.05, len(curves))))

        axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        for panel, (title, curves) in zip(axes, panels.items(), strict=True):
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
        axes[0].set_ylabel(label)
        for panel, curves in zip(axes, panels.values(), strict=True):
            _labels_at_the_end(panel, [c.values[-1] for c in curves], [c.label for c in curves], shades(curves))


def parameter_histograms(path: Path, layers: dict[str, tuple[npt.NDArray[Any], npt.NDArray[Any]]]) -> None:
    """A panel a layer: how its weights are spread, and a mark below for each bias."""
    with _figure(path, 2.0 * len(layers) + 0.5, 2.3) as figure:
        axes = figure.subplots(1, len(layers), squeeze=False)[0]
        for panel, (name, (weights, biases)) in zip(axes, layers.items(), strict=True):
            panel.hist(weights.ravel(), bins=31, color=BLUE)
            bottom = -0.06 * panel.get_ylim()[1]
            panel.plot(biases, [bottom] * biases.size, "|", color=RUST, markersize=7)
            panel.set_title(name, loc="left", fontweight="bold", pad=8)
            panel.locator_params(axis="both", nbins=4)
            _quiet(panel)
        axes[0].set_ylabel("weights")


def grid(path: Path, columns: Sequence[tuple[str, str]], rows: Sequence[GridRow]) -> None:
    """Originals at the left, reconstructions beside them, and under each reconstruction its error map.

    Args:
        columns: title and subtitle of each column of reconstructions.
    """
    caption, head, foot = 22, 46, 58
    height = head + len(rows) * (2 * CELL + caption + GAP) + foot
    width = GAP + (len(columns) + 1) * (CELL + GAP)
    with _figure(path, width / 100, height / 100, dpi=100, layout=None) as figure:

        def text(x: float, y: float, words: str, **style: Any) -> None:
            figure.text(x / width, 1 - y / height, words, **{"ha": "center", "va": "center", "fontsize": 9.5, **style})

        def picture(x: int, y: int, pixels: npt.NDArray[Any]) -> None:
            figure.figimage(pixels, x, height - y - pixels.shape[0])

        for number, (title, subtitle) in enumerate([("original", ""), *columns]):
            centre = GAP + number * (CELL + GAP) + CELL / 2
            text(centre, 15, _short(title, 17), fontweight="bold")
            text(centre, 33, _short(subtitle, 20), fontsize=8.5, color=SOFT)
        top = head
        for row in rows:
            picture(GAP, top, _enlarged(row.original))
            text(GAP, top + CELL + caption / 2, _short(row.name, 19), ha="left", fontsize=9)
            text(GAP + CELL, top + CELL + caption + CELL / 2, "error", ha="right", fontsize=9, color=SOFT)
            for number, (image, words) in enumerate(zip(row.images, row.captions, strict=True), start=1):
                left = GAP + number * (CELL + GAP)
                error = np.abs(image.astype(np.float64) - row.original).mean(axis=-1) / 255
                picture(left, top, _enlarged(image))
                text(left + CELL / 2, top + CELL + caption / 2, words, fontsize=9)
                picture(left, top + CELL + caption, _enlarged(shaded(error / ERROR_TOP), Image.Resampling.NEAREST))
            top += 2 * CELL + caption + GAP
        bar = np.repeat(np.arange(ERROR_STEPS), 16)[None].repeat(12, axis=0)
        left = 2 * GAP + CELL
        picture(left, top + 14, shaded(bar / ERROR_STEPS))
        text(left - GAP, top + 20, "absolute error", ha="right", fontsize=9, color=SOFT)
        for share in (0, 0.5, 1):
            more = " and more" if share == 1 else ""
            place = left + share * bar.shape[1]
            text(place, top + 38, f"{share * ERROR_TOP:g}", fontsize=9, color=SOFT)
            if more:
                text(place + 14, top + 38, more, ha="left", fontsize=9, color=SOFT)


def pictures(path: Path, titles: Sequence[str], rows: Sequence[Sequence[Picture]]) -> None:
    """Images in rows, each with its caption under it, and a title above each column."""
    caption, head = 22, 30
    height = head + len(rows) * (CELL + caption + GAP)
    width = GAP + len(titles) * (CELL + GAP)
    with _figure(path, width / 100, height / 100, dpi=100, layout=None) as figure:
        for column, title in enumerate(titles):
            x = (GAP + column * (CELL + GAP) + CELL / 2) / width
            figure.text(x, 1 - 15 / height, _short(title, 17), ha="center", va="center", fontweight="bold")
        for number, row in enumerate(rows):
            top = head + number * (CELL + caption + GAP)
            for column, picture in enumerate(row):
                left = GAP + column * (CELL + GAP)
                how = Image.Resampling.LANCZOS if picture.smooth else Image.Resampling.NEAREST
                figure.figimage(_enlarged(picture.pixels, how), left, height - top - CELL)
                words = _short(picture.caption, 19)
                place = (left / width, 1 - (top + CELL + caption / 2) / height)
                figure.text(*place, words, ha="left", va="center", fontsize=9)


def shaded(values: Floats) -> Uint8:
    """Values `[H, W]` in the colours of error maps: none is black, 1 and more the brightest."""
    from matplotlib import colormaps

    colours = colormaps[ERROR_COLOURS].resampled(ERROR_STEPS)
    steps = np.minimum(values * ERROR_STEPS, ERROR_STEPS - 1).astype(int)
    return (colours(steps)[..., :3] * 255).round().astype(np.uint8)


def strips(path: Path, title: str, lines: Sequence[tuple[str, Uint8]]) -> None:
    """Rows of images side by side, `[h, n*h, 3]`, with a name before each."""
    names, count = 92, lines[0][1].shape[1] // lines[0][1].shape[0]
    width, height = names + count * CELL + GAP, 40 + len(lines) * (CELL + GAP)
    with _figure(path, width / 100, height / 100, dpi=100, layout=None) as figure:
        figure.text(GAP / width, 1 - 20 / height, title, va="center", fontweight="bold", fontsize=11)
        for number, (name, strip) in enumerate(lines):
            top = 40 + number * (CELL + GAP)
            place = ((names - GAP) / width, 1 - (top + CELL / 2) / height)
            figure.text(*place, name, ha="right", va="center", fontsize=9)
            enlarged = np.asarray(Image.fromarray(strip).resize((count * CELL, CELL), Image.Resampling.LANCZOS))
            figure.figimage(enlarged, names, height - top - CELL)


@contextmanager
def _figure(path: Path, width: float, height: float, dpi: int = 180, layout: Any = "constrained") -> Iterator["Figure"]:
    """A figure of so many inches that is saved to `path`."""
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


def _enlarged(pixels: Uint8, how: Image.Resampling = Image.Resampling.LANCZOS) -> Uint8:
    return np.asarray(Image.fromarray(pixels).resize((CELL, CELL), how))


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
