"""What is measured of features: the whole image, and how far its features are from the given ones."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from afterimage.core.images import Uint8
from afterimage.evaluation.baselines.features import METHODS as BASELINES
from afterimage.evaluation.baselines.features import Method
from afterimage.evaluation.evaluating import Columns, More
from afterimage.evaluation.metrics import Lpips, MetricsRow
from afterimage.observations import Given

if TYPE_CHECKING:
    from afterimage.observations.features.store import Stored

HEADLINE = ("psnr", "ssim", "feature_error")
METHODS = {
    "mean_colour": "Each image filled with its own mean colour. An oracle: it knows the true image's mean, which no "
    "reconstructor is told.",
    "mean_image": "The mean of all training images, whatever the test image: the best guess that looks at nothing.",
}


def image_metrics(stored: "Stored", case: str, lpips: Lpips) -> More | None:
    return None


def answer_metrics(stored: "Stored", given: Given, rebuilt: Uint8, samples: Uint8 | None, own: Columns) -> Columns:
    return {}


def tables(row: Any, reconstructor: Any, stored: "Stored", measured: Path, metrics: MetricsRow) -> None:
    """Nothing: features have no further tables."""


def baselines(stored: "Stored", names: Sequence[str]) -> Iterator[tuple[str, str, Callable[[Given], Uint8]]]:
    for name in names:
        yield name, "test", partial(_each, BASELINES[name](stored.shards_dir))


def _each(method: Method, given: Given) -> Uint8:
    return np.stack([method(image) for image in given.originals])
