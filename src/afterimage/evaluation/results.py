"""Measured rows as report, tables and page read and compare them, whatever the kind of their reconstructor.

A row is measured in cases (see `reports/measured/<row>/<case>/`), and so are the baselines of an observation: there
the case is the method. Of frames, the first part of a case is the level: `heavy`, `heavy/telea`.
"""

import importlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from afterimage.core import layout
from afterimage.core.errors import AfterimageError
from afterimage.core.parsing import from_csv, from_json, parsing
from afterimage.evaluation.comparing import difference
from afterimage.evaluation.metrics import Floats, Interval, MetricsRow, bootstrap

PROVENANCE = "provenance.json"
"""In the folder of a measured row: what its numbers are of."""


class Metric(NamedTuple):
    """How a metric is shown."""

    heading: str
    digits: int
    higher_is_better: bool | None
    """None: a property of the result, of which neither more nor less is better."""
    definition: str
    """In words. Results say it beside their numbers, and two that say it in other words are not compared: whoever
    changes how a metric is measured changes its words."""


IMAGE = {
    "psnr": Metric("PSNR in dB", 2, True, "RGB in [0, 1], an image at a time, at most 100 dB"),
    "ssim": Metric("SSIM", 3, True, "RGB in [0, 1], Gaussian window of 11 px with sigma 1.5, mean of the channels"),
    "mse": Metric("MSE", 5, False, "mean squared error of RGB in [0, 1]"),
    "lpips": Metric("LPIPS", 4, False, "LPIPS 0.1, AlexNet with the weights that it was made with"),
    "lpips_untrained": Metric("lpips_untrained", 4, False, "the heads of LPIPS 0.1 on AlexNet with other weights"),
}
ROOT = Metric("RMSE", 4, False, "root of the mean squared error of RGB in [0, 1]")
REGIONS = {"hole": "within the hole", "band": "within the hole, near its border (1/32 of the shorter side)"}
TONE = "after the non-decreasing function of the 8-bit sample, one for all channels, with the least squared error"
LUMA = "luma of BT.601, 16 to 235 over 255, without as many px at each border as the frame was reduced by"
PAIRS = "area under the ROC curve of pairs with others' originals, by the means of AlexNet's last layer, centred,"
FRAMES = {
    "psnr": IMAGE["psnr"],
    "psnr_tone": Metric("PSNR after tone in dB", 2, True, f"{IMAGE['psnr'].definition}, {TONE}"),
    "ssim": IMAGE["ssim"],
    "ssim_tone": Metric("SSIM after tone", 3, True, f"{IMAGE['ssim'].definition}, {TONE}"),
    "psnr_y": Metric("PSNR of luma in dB", 2, True, f"{LUMA}, an image at a time, at most 100 dB"),
    "ssim_y": Metric("SSIM of luma", 3, True, f"{LUMA}, Gaussian window of 11 px with sigma 1.5"),
    "verification": Metric("Verification", 3, True, f"{PAIRS} with the weights of LPIPS"),
    "verification_originals": Metric("Verification of originals", 3, None, f"{PAIRS} with the weights of LPIPS"),
    "verification_untrained": Metric("verification_untrained", 3, True, f"{PAIRS} with other weights"),
    "verification_untrained_originals": Metric("of originals", 3, None, f"{PAIRS} with other weights"),
}
"""Frames add brightness taken out, what super-resolution is measured by, and whether people can be told apart."""
METRICS = {
    **FRAMES,
    **IMAGE,
    "feature_error": Metric("Feature error", 5, False, "||f - f*||^2 / ||f*||^2 over the features of an image"),
    "rmse": ROOT,
    **{
        f"{region}_{name}": metric._replace(
            heading=f"{region} {metric.heading.removesuffix(' in dB')}", definition=f"{metric.definition}, {where}"
        )
        for region, where in REGIONS.items()
        for name, metric in {
            "rmse": ROOT,
            **{name: IMAGE[name] for name in ("mse", "psnr", "ssim", "lpips", "lpips_untrained")},
        }.items()
    },
    "hole_sharpness": Metric(
        "sharpness", 2, None, "deviation of the luma's Laplacian within the hole, as a share of the original's"
    ),
    "seam": Metric("seam", 2, None, "mean step of the luma across the hole's border, as a share of the original's"),
    "texture": Metric("texture", 4, None, "deviation of the luma's Laplacian of the original within the hole"),
    "bits": Metric("bits/dim, hole", 2, False, "bits a channel of a pixel of the original, within the hole"),
    "bits_whole": Metric("bits/dim, whole", 2, False, "bits a channel of a pixel of the original"),
    "histogram_bits": Metric(
        "bits/dim of a histogram, hole", 2, None, "bits by the training images' levels at each place, within the hole"
    ),
    "histogram_bits_whole": Metric(
        "bits/dim of a histogram, whole", 2, None, "bits by the training images' levels at each place"
    ),
    "coverage": Metric("coverage", 3, None, "share of the hole whose true value lies within the samples' range"),
    "spread": Metric("spread", 3, None, "root of the samples' mean variance within the hole"),
    "missing": Metric("share missing", 3, None, "share of the image that is missing"),
    "steps": Metric("steps", 0, None, "steps of the search"),
    "converged": Metric("converged", 2, None, "share of searches that ended by their tolerance"),
}
"""In the order of tables. A reconstructor may tell other numbers too, see `Result.intervals`."""

MAIN = {"features": "psnr", "holes": "hole_psnr", "frames": "psnr"}
"""The metric that rows of a kind of observation are ranked by, in dB."""


@dataclass(frozen=True)
class Result:
    """What was measured of a row, or of a baseline, in one case."""

    kind: str
    """Of the observation."""
    row: str
    """The row; of a baseline, the observation."""
    case: str

    @property
    def name(self) -> str:
        return f"{self.row}/{self.case}"

    @property
    def folder(self) -> Path:
        return layout.measured(self.row) / self.case

    @property
    def reconstructions(self) -> Path:
        return layout.reconstructions(self.row) / self.case

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """Means with their intervals: known metrics in the order of METRICS, then those that only this row has."""
        path = self.folder / "intervals.json"
        with parsing(AfterimageError, f"{path}: not the intervals of a result"):
            data = {name: Interval(**found) for name, found in read_json(path)["metrics"].items()}
            if odd := [
                name for name, found in data.items() if not all(isinstance(each, float | int) for each in found)
            ]:
                raise ValueError(f"`{odd[0]}` has bounds that are no numbers")
        return {name: data[name] for name in dict.fromkeys([*METRICS, *data]) if name in data}

    @cached_property
    def images(self) -> dict[str, dict[str, str]]:
        """The lines of images.csv by key."""
        return {line["key"]: line for line in read_csv(self.folder / "images.csv", ("key", "image", "group"))}

    @cached_property
    def groups(self) -> list[str]:
        return [line["group"] for line in self.images.values()]

    @cached_property
    def seeds(self) -> dict[str, dict[str, dict[str, str]]]:
        """Where the row was trained with several seeds, the lines of seeds.csv by seed and key; else none."""
        path = self.folder / "seeds.csv"
        found: dict[str, dict[str, dict[str, str]]] = {}
        for line in read_csv(path, ("seed", "key")) if path.is_file() else []:
            found.setdefault(line["seed"], {})[line["key"]] = line
        return found

    def column(self, metric: str, keys: Sequence[str]) -> list[float]:
        return [float(self.images[key][metric]) for key in keys]

    def by_seed(self, metric: str, keys: Sequence[str]) -> Floats:
        """The numbers `[S, N]` of S trainings; of one, those of the images."""
        trainings = list(self.seeds.values()) or [self.images]
        return np.array([[float(lines[key][metric]) for key in keys] for lines in trainings])

    def on(self, other: "Result", metrics: MetricsRow) -> "Result":
        """This result on the images of another one, for a comparison.

        Raises:
            AfterimageError: some of those were not measured here.
        """
        if set(other.images) == set(self.images):
            return self
        if not set(other.images) < set(self.images):
            raise AfterimageError(f"{other.name} and {self.name}: measured on different images; run `dvc repro`")
        return Excerpt(self.kind, self.row, self.case, tuple(other.images), metrics)


@dataclass(frozen=True)
class Excerpt(Result):
    """A result on some of the images that it was measured on."""

    keys: tuple[str, ...]
    metrics: MetricsRow

    @cached_property
    def images(self) -> dict[str, dict[str, str]]:
        every = Result(self.kind, self.row, self.case).images
        return {key: every[key] for key in self.keys}

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        names = Result(self.kind, self.row, self.case).intervals
        samples, seed = self.metrics.bootstrap, self.metrics.seed
        return {name: bootstrap(self.column(name, self.keys), self.groups, samples, seed) for name in names}


@dataclass(frozen=True)
class Baseline:
    """A method that learns nothing, as measured."""

    method: str
    result: Result


def cases(row: str, levels: Sequence[str] = ()) -> list[str]:
    """The cases that a row was measured in, in order.

    They are listed from the row's own folder, which DVC empties before the row is measured, so none is stale.

    Raises:
        AfterimageError: the row was not measured.
    """
    folder = layout.measured(row)
    found = [path.parent.relative_to(folder).as_posix() for path in folder.rglob("intervals.json")]
    if not found:
        raise AfterimageError(f"{folder}: nothing is measured there; `dvc repro` measures what the rows need")
    return in_order(found, row, levels)


def in_order(found: Sequence[str], row: str, levels: Sequence[str] = (), project: Path = Path()) -> list[str]:
    """Cases by level; those without levels in the order that the row's provenance has, or else of their names."""
    path = project / layout.measured(row) / PROVENANCE
    first = list(levels) or (read_json(path).get("cases") if path.is_file() else [])
    if not isinstance(first, list) or not all(isinstance(part, str) for part in first):
        raise AfterimageError(f"{path}: `cases` should be a list of names, found {first!r}")
    order = {part: place for place, part in enumerate(first)}
    return sorted(found, key=lambda case: (order.get(case.partition("/")[0], len(order)), case))


def methods(kind: str) -> Mapping[str, str]:
    """What the baselines of a kind of observation do, in a line each, by name."""
    found: Mapping[str, str] = importlib.import_module(f"afterimage.evaluation.{kind}").METHODS
    return found


def best_of(baselines: Sequence[Baseline], metric: str) -> Baseline | None:
    """The first of the baselines with the best mean of a metric; None where none has it."""
    having = [baseline for baseline in baselines if metric in baseline.result.intervals]
    return max(having, key=lambda baseline: _rank(baseline.result, metric), default=None)


def best_result(results: Sequence[Result], metric: str) -> Result | None:
    """The first of the results with the best mean of a metric; None where none has it."""
    having = [result for result in results if metric in result.intervals]
    return max(having, key=lambda result: _rank(result, metric), default=None)


def beaten_by(result: Result, rival: Result, metric: str) -> bool:
    """Whether a rival's mean of a metric is the better one."""
    return _rank(rival, metric) > _rank(result, metric)


def gain(row: Result, baseline: Result, metrics: MetricsRow, metric: str = "psnr") -> Interval:
    """What a row has over a baseline, image by image, which is steadier than either alone: see `comparing`.

    Raises:
        AfterimageError: they were measured on different images.
    """
    keys = list(row.images)
    if set(keys) != set(baseline.images):
        raise AfterimageError(f"{row.name} and {baseline.name}: measured on different images; run `dvc repro`")
    sides = (baseline.by_seed(metric, keys), row.by_seed(metric, keys))
    found = difference(*sides, [row.images[key]["group"] for key in keys], metrics.bootstrap, metrics.seed)
    return Interval(found.mean, found.low, found.high)


def shown_value(interval: Interval, digits: int, signed: bool = False) -> dict[str, str]:
    """An interval's parts as pages print them."""
    mean, low, high = (
        f"{value:{'+' if signed else ''}.{digits}f}".replace("-", "\N{MINUS SIGN}") for value in interval
    )
    return {"mean": mean, "low": low, "high": high}


def read_json(path: Path) -> dict[str, Any]:
    return from_json(_bytes(path), str(path), AfterimageError)


def read_csv(path: Path, columns: Sequence[str] = ()) -> list[dict[str, str]]:
    text = io.TextIOWrapper(io.BytesIO(_bytes(path)), encoding="utf-8", newline="")
    return list(from_csv(text, str(path), AfterimageError, columns))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise AfterimageError(f"{path}: there is no such file; `dvc repro` writes what the rows need") from None


def _rank(result: Result, metric: str) -> float:
    return result.intervals[metric].mean * (1 if METRICS[metric].higher_is_better else -1)
