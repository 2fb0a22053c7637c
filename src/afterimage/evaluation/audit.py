"""What is reported of a row, held against its own images: a number that these contradict stops the report.

A wrong data range is the usual way to a better number: PSNR for samples up to 1 that is told of a range of 2 is 6.02 dB
too high, and SSIM's constants (Wang et al., IEEE TIP 2004, equation 13) grow with the range and hide differences. So
both are taken anew from some 8-bit images, whose range is 255 whatever anybody says, by scikit-image and not by
metrics.py, and the constant that would explain a contradiction is named.
"""

from pathlib import Path
from typing import Any

import numpy as np

from afterimage.core import layout, shards
from afterimage.core.errors import MetricError
from afterimage.core.images import Uint8, decode
from afterimage.evaluation.metrics import PSNR_CAP, SSIM
from afterimage.evaluation.results import METRICS, Result, read_json

SPLIT = "test"
IMAGES = 3
"""Test images of each case that are measured anew."""
LEVELS = 255
"""The range of 8-bit samples."""
RANGES = (1, LEVELS / 2, 256, 2 * LEVELS, LEVELS**2)
"""Wrong ones that are tried to explain an SSIM."""
DIGITS = 2e-5
"""Numbers are kept with six significant digits."""


def check(result: Result, originals: shards.Table) -> None:
    """Hold a result against its images.

    Args:
        originals: the test images that it is of.

    Raises:
        MetricError: a mean is not that of its images, or PSNR or SSIM of an image is not that of its pixels; the line
            names the data range that would give it.
    """
    headline = read_json(layout.metrics(result.kind, result.row) / f"{result.case}.json")
    for name, mean in headline.items():
        told = result.intervals[name].mean
        taken = float(np.mean(result.column(name, list(result.images))))
        for where, value in ((f"{layout.metrics(result.kind, result.row)}", mean), (f"{result.folder}", told)):
            if not _same(value, taken):
                raise MetricError(
                    f"{where}: the mean {name} of {result.case} is {value:g}, and that of its images {taken:g}; "
                    "these were not measured together"
                )
    lines = next(iter(result.seeds.values()), result.images)
    rebuilt = shards.Table(result.reconstructions, SPLIT)
    step = max(1, len(rebuilt.keys) // IMAGES)
    for place in range(0, len(rebuilt.keys), step):
        key = rebuilt.keys[place]
        found, truth = (_pixels(data) for data in (rebuilt.bytes(place), originals.of(key)))
        _check_psnr(result.folder, key, float(lines[key]["psnr"]), truth, found)
        _check_ssim(result.folder, key, float(lines[key]["ssim"]), truth, found)


def _check_psnr(folder: Path, key: str, told: float, truth: Uint8, found: Uint8) -> None:
    from skimage.metrics import mean_squared_error

    error = float(mean_squared_error(truth, found))
    taken = min(PSNR_CAP, 10 * np.log10(LEVELS**2 / error)) if error else PSNR_CAP
    if not _same(told, taken):
        implied = LEVELS * 10 ** ((told - taken) / 20)
        raise MetricError(_contradicted(folder, key, "psnr", told, taken, f"a data range of {implied:.4g}"))


def _check_ssim(folder: Path, key: str, told: float, truth: Uint8, found: Uint8) -> None:
    from skimage.metrics import structural_similarity

    def ssim(data_range: float) -> float:
        options: dict[str, Any] = {**SSIM, "data_range": data_range}
        return float(structural_similarity(truth.astype(float), found.astype(float), channel_axis=-1, **options))

    taken = ssim(LEVELS)
    if not _same(told, taken):
        own = float(max(truth.max(), found.max())) - float(min(truth.min(), found.min()))
        fitting = [f"a data range of {each:g}" for each in (*RANGES, own) if each > 0 and _same(told, ssim(each))]
        raise MetricError(_contradicted(folder, key, "ssim", told, taken, fitting[0] if fitting else "other images"))


def _contradicted(folder: Path, key: str, name: str, told: float, taken: float, reason: str) -> str:
    heading = METRICS[name].heading.removesuffix(" in dB")
    return (
        f"{folder}: {heading} of `{key}` is {told:g}, and {taken:g} from its 8-bit pixels of range {LEVELS}; "
        f"{told:g} is of {reason}"
    )


def _same(a: float, b: float) -> bool:
    return bool(abs(a - b) <= DIGITS * max(abs(a), abs(b), 1e-3))


def _pixels(data: bytes) -> Uint8:
    return np.asarray(decode(data))
