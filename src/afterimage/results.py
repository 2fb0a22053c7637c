"""Measured rows as the report reads and compares them, whatever their family."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from afterimage import layout
from afterimage.errors import AfterimageError
from afterimage.metrics import Interval, MetricsRow, bootstrap


class Metric(NamedTuple):
    """How a metric is shown."""

    heading: str
    digits: int
    higher_is_better: bool


METRICS = {
    "psnr": Metric("PSNR in dB", 2, True),
    "ssim": Metric("SSIM", 3, True),
    "mse": Metric("MSE", 5, False),
    "lpips": Metric("LPIPS", 4, False),
    "lpips_untrained": Metric("lpips_untrained", 4, False),
    "feature_error": Metric("Feature error", 5, False),
    "rmse": Metric("RMSE", 4, False),
    **{
        f"{region}_{name}": Metric(f"{region} {heading}", digits, higher)
        for region in ("hole", "band")
        for name, (heading, digits, higher) in {
            "rmse": ("RMSE", 4, False),
            "mse": ("MSE", 5, False),
            "psnr": ("PSNR", 2, True),
            "ssim": ("SSIM", 3, True),
            "lpips": ("LPIPS", 4, False),
            "lpips_untrained": ("lpips_untrained", 4, False),
        }.items()
    },
}

BASELINES = {
    "mean_colour": "Each image filled with its own mean colour. An oracle: it knows the true image's mean, which no "
    "reconstructor is told.",
    "mean_image": "The mean of all training images, whatever the test image: the best guess that looks at nothing.",
}

HOLE_BASELINES = {
    "black": "The hole stays black.",
    "image_mean": "The mean colour of all known pixels.",
    "border_mean": "The mean colour of the known pixels that touch the hole.",
    "push_pull": "A quick smooth fill, from which learned rows with `start: smooth` begin.",
    "telea": "Fast marching from the border (OpenCV).",
    "navier_stokes": "Level lines carried on as a fluid (OpenCV).",
    "biharmonic": "The smoothest surface through the border (scikit-image).",
}

INVERSIONS = {
    "decoder": "A trained network answers at once with what it learned of other images.",
    "optimisation": "A search, from the features alone, for an image that has these features.",
    "hybrid": "The same search, from the decoder's answer.",
}
"""The methods of a row of `inversions`."""


@dataclass(frozen=True)
class Result:
    """A row's metrics as `evaluate` wrote them."""

    family: str
    name: str

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        data = read_json(layout.metrics(self.family, self.name) / "intervals.json")
        return {name: Interval(**data[name]) for name in METRICS if name in data}

    @cached_property
    def images(self) -> dict[str, dict[str, str]]:
        """The lines of images.csv by key."""
        return {line["key"]: line for line in read_csv(layout.metrics(self.family, self.name) / "images.csv")}

    @cached_property
    def groups(self) -> list[str]:
        return [line["group"] for line in self.images.values()]

    def column(self, metric: str, keys: Sequence[str]) -> list[float]:
        return [float(self.images[key][metric]) for key in keys]


@dataclass(frozen=True)
class Baseline:
    """A method of a row of `baselines`."""

    method: str
    result: Result


def best_of(baselines: Sequence[Baseline], metric: str) -> Baseline | None:
    """The baseline with the best mean of a metric; None where there are no baselines."""
    sign = 1 if METRICS[metric].higher_is_better else -1
    return max(baselines, key=lambda baseline: sign * baseline.result.intervals[metric].mean, default=None)


def best_method(found: Mapping[str, Mapping[str, Interval]], metric: str) -> str:
    """The first of several methods with the best mean of a metric."""
    sign = 1 if METRICS[metric].higher_is_better else -1
    return max(found, key=lambda method: sign * found[method][metric].mean)


def gain(row: Result, baseline: Result, metrics: MetricsRow) -> Interval:
    """What a row has in PSNR over a baseline, image by image, which is steadier than either alone."""
    keys = list(row.images)
    if set(keys) != set(baseline.images):
        raise AfterimageError(f"{row.name} and {baseline.name}: metrics of different images; run `dvc repro`")
    differences = np.subtract(row.column("psnr", keys), baseline.column("psnr", keys))
    return bootstrap(differences, row.groups, samples=metrics.bootstrap, seed=metrics.seed)


def shown_value(interval: Interval, digits: int, signed: bool = False) -> dict[str, str]:
    """An interval's parts as pages print them."""
    mean, low, high = (
        f"{value:{'+' if signed else ''}.{digits}f}".replace("-", "\N{MINUS SIGN}") for value in interval
    )
    return {"mean": mean, "low": low, "high": high}


def read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(_text(path))
    except ValueError as error:
        raise AfterimageError(f"{path}: not JSON: {error}") from None


def read_csv(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(_text(path), newline="")))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise AfterimageError(f"{path}: there is no such file; `dvc repro` writes what the rows need") from None
