"""What is measured of frames: each level of damage, each step alone, subgroups of the images."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from afterimage.core import images, layout
from afterimage.core.images import Uint8
from afterimage.evaluation import restoration
from afterimage.evaluation.baselines import frames as classical
from afterimage.evaluation.evaluating import Columns, More
from afterimage.evaluation.metrics import Lpips, MetricsRow
from afterimage.observations import Given
from afterimage.observations.frames import Frames
from afterimage.observations.frames.store import Stored

HEADLINE = ("psnr", "ssim", "mse")
METHODS = {
    "identity": "The frame as it is; the pixels of a small one are repeated.",
    "bicubic": "The frame, enlarged by bicubic interpolation where it is small.",
    "gamma": "Bicubic, then brightened by a power of 0.8.",
    "nlm": "Bicubic, then non-local means.",
    "gamma_nlm": "Bicubic, then brightened, then non-local means.",
    "unsharp": "Bicubic, then unsharp masking.",
    "exposure_nlm": "Bicubic, then brought to the mean of a well-lit photograph, then non-local means.",
}


def image_metrics(stored: Stored, case: str, lpips: Lpips) -> More | None:
    return None


def answer_metrics(stored: Stored, given: Given, rebuilt: Uint8, samples: Uint8 | None, own: Columns) -> Columns:
    return {}


def tables(row: Any, reconstructor: Any, stored: Stored, measured: Path, metrics: MetricsRow) -> None:
    """`subgroups.csv`, and `steps.csv` for rows that are trained on levels; `protocol.json` for those trained clean to
    clean, which say so by naming no levels."""

    def restore(frames: Iterable[Uint8]) -> Iterator[Uint8]:
        waiting = iter(frames)
        size = (stored.size, stored.size)
        while batch := list(islice(waiting, row.together)):
            keys = [str(number) for number in range(len(batch))]
            yield from images.to_uint8(reconstructor(Frames(keys, size, batch)).images)

    levels = list(stored.levels.values())
    folders = {level.name: measured / level.name for level in levels}
    manifest = layout.raw(row.dataset) / "manifest.csv"
    restoration.subgroups(folders, stored.shards_dir, manifest, measured / "subgroups.csv")
    settings = row.model_dump()
    if settings.get("levels", True):
        restoration.steps_alone(restore, levels, stored.shards_dir, measured / "steps.csv")
    else:
        filters = settings.get("filters", [])
        restoration.protocol(restore, filters, stored.shards_dir, metrics, measured / "protocol.json")


def baselines(stored: Stored, names: Sequence[str]) -> Iterator[tuple[str, str, Callable[[Given], Uint8]]]:
    size = (stored.size, stored.size)
    for level in stored.cases():
        for name in names:

            def method(given: Given, name: str = name) -> Uint8:
                frames: Frames = given.observation  # type: ignore[assignment]
                return np.stack([classical.restore(name, frame, size) for frame in frames.frames])

            yield f"{level}/{name}", level, method
