"""What is measured of holes: within the hole, along its border, of the whole image, and of several answers."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from afterimage.core import images, shards
from afterimage.core.images import Uint8
from afterimage.evaluation import regions
from afterimage.evaluation.baselines import holes as classical
from afterimage.evaluation.evaluating import Columns, More
from afterimage.evaluation.metrics import Floats, Lpips, MetricsRow
from afterimage.observations import Given
from afterimage.observations.holes.store import Stored, StoredHoles

HEADLINE = ("hole_rmse", "hole_psnr", "psnr", "ssim", "bits")
METHODS = {
    "black": "The hole stays black.",
    "image_mean": "The mean colour of all known pixels.",
    "border_mean": "The mean colour of the known pixels that touch the hole.",
    "push_pull": "A quick smooth fill, from which learned rows with `start: smooth` begin.",
    "telea": "Fast marching from the border (OpenCV).",
    "navier_stokes": "Level lines carried on as a fluid (OpenCV).",
    "biharmonic": "The smoothest surface through the border (scikit-image).",
    "exemplar": "Patches of the known part, from coarse to fine.",
}
LEVELS = 256
HISTOGRAM_WEIGHT = 32
"""Training images that the histogram of all pixels weighs as much as, where a pixel's own has seen too few."""


def image_metrics(stored: Stored, case: str, lpips: Lpips) -> More | None:
    return regions.Regions(StoredHoles(stored.folder, case), lpips)


def answer_metrics(stored: Stored, given: Given, rebuilt: Uint8, samples: Uint8 | None, own: Columns) -> Columns:
    """Of samples `coverage`, the share of the hole's channels whose truth lies within their range, and `spread`, the
    root of their mean variance in the hole. Beside `bits` those of a histogram: `histogram_bits` of the hole, and
    `histogram_bits_whole`."""
    found: dict[str, list[float]] = {}
    masks = (given.observation.masks[:, 0] > 0.5).cpu().numpy()  # type: ignore[attr-defined]
    for number, (truth, mask) in enumerate(zip(given.originals, masks, strict=True)):
        if "bits" in own:
            said = _histogram(stored.shards_dir)(truth)
            found.setdefault("histogram_bits", []).append(said[mask].mean())
            found.setdefault("histogram_bits_whole", []).append(said.mean())
        if samples is not None:
            drawn, true = samples[number][:, mask], truth[mask]
            covered = (drawn.min(0) <= true) & (true <= drawn.max(0))
            found.setdefault("coverage", []).append(covered.mean())
            found.setdefault("spread", []).append(np.sqrt((drawn / 255).var(0).mean()))
    return {name: np.array(values, dtype=np.float64) for name, values in found.items()}


def tables(row: Any, reconstructor: Any, stored: Stored, measured: Path, metrics: MetricsRow) -> None:
    """Nothing: holes have no further tables."""


def baselines(stored: Stored, names: Sequence[str]) -> Iterator[tuple[str, str, Callable[[Given], Uint8]]]:
    for name in names:
        yield name, "test", partial(_filled, name)


def _filled(name: str, given: Given) -> Uint8:
    masks = (given.observation.masks[:, 0] > 0.5).cpu().numpy()  # type: ignore[attr-defined]
    pairs = zip(given.originals, masks, strict=True)
    return np.stack([classical.fill(name, image, mask) for image, mask in pairs])


class Histogram:
    """The baseline of bits: how often each level came at each place of the training images."""

    def __init__(self, shards_dir: Path):
        size = shards.load_index(shards_dir)["size"]
        counts = np.zeros((size * size * 3, LEVELS))
        number = 0
        places = np.arange(len(counts))
        for _, data, _ in shards.read(shards_dir, "train"):
            counts[places, np.asarray(images.decode(data)).ravel()] += 1
            number += 1
        everywhere = (counts.sum(0) + 1) / (counts.sum() + LEVELS)
        self.table = -np.log2((counts + HISTOGRAM_WEIGHT * everywhere) / (number + HISTOGRAM_WEIGHT))

    def __call__(self, image: Uint8) -> Floats:
        """Bits of each channel of an image `[H, W, 3]`."""
        return self.table[np.arange(len(self.table)), image.ravel()].reshape(image.shape)


@lru_cache(maxsize=1)
def _histogram(shards_dir: Path) -> Histogram:
    return Histogram(shards_dir)
