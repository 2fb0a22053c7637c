"""What is measured of frames: each level of damage, each step alone, subgroups of the images."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from afterimage.core import images, layout, shards
from afterimage.core.images import Uint8, decode
from afterimage.evaluation import metrics, restoration
from afterimage.evaluation.baselines import frames as classical
from afterimage.evaluation.evaluating import SPLIT, Columns, More, samples_of
from afterimage.evaluation.metrics import Lpips, MetricsRow
from afterimage.evaluation.verification import Verification
from afterimage.observations import Given
from afterimage.observations.frames import Frames
from afterimage.observations.frames.cctv import Downscale
from afterimage.observations.frames.row import Steps
from afterimage.observations.frames.store import Stored

HEADLINE = ("psnr", "psnr_tone", "ssim", "mse")
METHODS = {
    "identity": "The frame as it is; the pixels of a small one are repeated.",
    "bicubic": "The frame, enlarged by bicubic interpolation where it is small.",
    "lanczos": "The frame, enlarged by Lanczos' filter where it is small.",
    "back_projection": "The frame; a small one is enlarged until it would give the frame again if it were reduced.",
    "gamma": "Bicubic, then brightened by a power of 0.8.",
    "nlm": "Bicubic, then non-local means.",
    "gamma_nlm": "Bicubic, then brightened, then non-local means.",
    "unsharp": "Bicubic, then unsharp masking.",
    "shift": "Bicubic, then moved by the whole pixels that fit the level's training pairs best.",
    "blur": "Bicubic, then blurred by the Gaussian that fits the level's training pairs best.",
    "exposure_nlm": "Bicubic, then brought to the mean of a well-lit photograph, then non-local means.",
    "tone": "Bicubic, then the global tone curve that fits the level's training pairs best.",
    "tone_nlm": "Bicubic, then the level's tone curve, then non-local means.",
    "tone_nlm_fitted": "The level's tone curve, then non-local means of the strength that is best on its training "
    "pairs, at the frame's own size; then bicubic.",
    "wiener": "Bicubic, then Wiener's filter for a disc of the size that is best on the level's training pairs.",
    "richardson_lucy": "Bicubic, then Richardson and Lucy's deconvolution for a disc of the size that is best on the "
    "level's training pairs.",
}

TRIVIAL = ("tone", "shift", "blur")
"""Baselines that take nothing but a curve, a step or a smear: a gain that one of them has, too, is not claimed."""


def image_metrics(stored: Stored, case: str, lpips: Lpips) -> More | None:
    """What is left after the best tone curve for each image; at a level that is super-resolution, its protocol; and of
    people, whether they can be told apart, with features that are named as LPIPS is."""
    factor = reduced_by(stored.levels[case].steps)
    people = _people(stored, lpips) if stored.index["people"] else None
    name = lpips.name.replace("lpips", "verification")

    def more(keys: Sequence[str], originals: Uint8, rebuilt: Uint8) -> Columns:
        toned = metrics.toned(originals, rebuilt)
        found = {"psnr_tone": metrics.psnr(originals, toned), "ssim_tone": metrics.ssim(originals, toned)}
        if factor is not None:
            found["psnr_y"] = metrics.psnr_y(originals, rebuilt, factor)
            found["ssim_y"] = metrics.ssim_y(originals, rebuilt, factor)
        if people is not None:
            found[name] = people(keys, rebuilt)
            found[f"{name}_originals"] = people.originals(keys)
        return found

    return more


@lru_cache(maxsize=1)
def _people(stored: Stored, lpips: Lpips) -> Verification:
    """Of a row's test images; the same at every level."""
    person = {key: sample.group for key, sample in samples_of(stored.shards_dir).items()}
    images = shards.read(stored.shards_dir, SPLIT)
    return Verification(lpips.embed, ((key, person[key], np.asarray(decode(data))) for key, data, _ in images))


def reduced_by(steps: Steps) -> int | None:
    """The whole number by which a level reduces every image; None where that is not all that it does."""
    if len(steps) != 1 or not isinstance(steps[0], Downscale) or steps[0].chance < 1:
        return None
    low, high = steps[0].factor
    return int(low) if low == high and low > 1 and low.is_integer() else None


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
    if getattr(reconstructor, "stored_only", False):  # it has answers to the stored frames, and to no others
        return
    settings = row.model_dump()
    if settings.get("levels", True):
        restoration.steps_alone(restore, levels, stored.shards_dir, measured / "steps.csv")
    else:
        filters = settings.get("filters", [])
        restoration.protocol(restore, filters, stored.shards_dir, metrics, measured / "protocol.json")


def baselines(stored: Stored, names: Sequence[str]) -> Iterator[tuple[str, str, Callable[[Given], Uint8]]]:
    for level in stored.cases():
        training = classical.Training(stored.levels[level], stored.shards_dir)
        for name in names:
            yield f"{level}/{name}", level, partial(_restored, classical.restorer(name, training))


def _restored(restore: Callable[[Uint8, tuple[int, int]], Uint8], given: Given) -> Uint8:
    frames: Frames = given.observation  # type: ignore[assignment]
    return np.stack([restore(frame, frames.size) for frame in frames.frames])
