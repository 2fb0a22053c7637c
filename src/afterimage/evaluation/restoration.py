"""What is measured of frames besides the metrics of each level: steps alone, subgroups, clean to clean."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from afterimage.core import outputs, shards
from afterimage.core.errors import ShardError
from afterimage.core.images import Uint8, decode
from afterimage.core.parsing import from_csv
from afterimage.evaluation import metrics
from afterimage.evaluation.baselines import frames as classical
from afterimage.evaluation.metrics import Floats, MetricsRow
from afterimage.observations.frames.filters import FilterName, filtered
from afterimage.observations.frames.store import Level

SPLIT = "test"
BLOCK = 32
"""Images that are in memory at once."""
BRIGHTNESS = ("dark", "middle", "bright")
"""Thirds of the test images by the mean of the true image."""
PLAIN = (
    *("key", "origin", "sha256", "bytes", "width", "height", "mode", "group", "split", "target"),
    *("licence", "attribution", "page", "boxes", "clip", "seconds"),
)
"""Columns of a manifest that say nothing about what is in an image."""
MOST_VALUES = 8
"""A column with more values than this makes no table that anybody reads."""

Restore = Callable[[Iterable[Uint8]], Iterator[Uint8]]
"""From frames of any size to images of the originals' size."""


def steps_alone(restore: Restore, levels: Sequence[Level], originals: Path, out: Path) -> None:
    """Write a line for each step of each level: PSNR and SSIM of the test images with that step alone.

    Columns: `level`, `number`, `step`, `images` (a step with a chance happens to some), then `identity_psnr`,
    `identity_ssim` of the frames as they are, and `psnr`, `ssim` of what is restored from them.
    """
    truth = dict(_originals(originals))
    lines: list[list[Any]] = []
    for level in levels:
        for number, step in enumerate(level.steps):
            pairs = [(image, level.alone(image, key, number)) for key, image in truth.items()]
            found = [(image, frame) for image, frame in pairs if frame is not None]
            if not found:
                continue
            clean, frames = zip(*found, strict=True)
            scores = [*_scores(clean, _as_they_are(frames, level.size)), *_scores(clean, restore(frames))]
            lines.append([level.name, number, step.step, len(found), *(f"{score.mean():.6g}" for score in scores)])
    columns = ("level", "number", "step", "images", "identity_psnr", "identity_ssim", "psnr", "ssim")
    outputs.write_csv(out, columns, lines)


def subgroups(measured: Mapping[str, Path], originals: Path, manifest: Path, out: Path) -> None:
    """Write PSNR and SSIM of a row by subgroup: by brightness, and by each telling column of the manifest.

    Args:
        measured: the folder with `images.csv` of each level.
        manifest: the data set's `manifest.csv`.
    """
    truth = {key: float(image.mean()) / 255 for key, image in _originals(originals)}
    order = sorted(truth, key=lambda key: (truth[key], key))
    third = {key: BRIGHTNESS[place * len(BRIGHTNESS) // len(order)] for place, key in enumerate(order)}
    described = {line["key"]: line for line in _lines(manifest)}
    lines: list[list[Any]] = []
    for level, folder in measured.items():
        images = _lines(folder / "images.csv")
        about = [{"brightness": third[line["key"]], **_telling(described.get(line["image"], {}))} for line in images]
        for column in dict.fromkeys(name for each in about for name in each):
            values = [each.get(column, "") for each in about]
            there = BRIGHTNESS if column == "brightness" else sorted(set(values))
            if not 2 <= len(there) <= MOST_VALUES:
                continue
            for value in there:
                chosen = [line for line, own in zip(images, values, strict=True) if own == value]
                means = [np.mean([float(line[name]) for line in chosen]) for name in ("psnr", "ssim") if chosen]
                if chosen:
                    lines.append([level, column, value, len(chosen), *(f"{mean:.6g}" for mean in means)])
    outputs.write_csv(out, ("level", "column", "value", "images", "psnr", "ssim"), lines)


def protocol(restore: Restore, filters: Sequence[FilterName], originals: Path, row: MetricsRow, out: Path) -> None:
    """Measure the seed's protocol on the test images: input and target are the same image after the same filters.

    Writes MSE, PSNR and SSIM of the network and of the identity, which answers with its input and so makes no error;
    its PSNR is the cap of metrics.py. Intervals are by bootstrap over groups.
    """
    plain = list(_originals(originals))
    group = {line["key"]: line["group"] for line in _lines(originals / "samples.csv")}
    targets = [filtered(image, filters) for _, image in plain]
    groups = [group[key] for key, _ in plain]
    # The network filters its frames itself, so it gets the images as they are
    answers = {"network": list(restore(image for _, image in plain)), "identity": targets}
    found = {}
    for name, images in answers.items():
        columns = {"mse": metrics.mse(np.stack(targets), np.stack(images))}
        columns |= dict(zip(("psnr", "ssim"), _scores(targets, images), strict=True))
        found[name] = {
            metric: {
                part: float(f"{value:.6g}")
                for part, value in metrics.bootstrap(values, groups, row.bootstrap, row.seed)._asdict().items()
            }
            for metric, values in columns.items()
        }
    outputs.write_json(out, {"images": len(plain), "filters": list(filters), **found})


def _scores(truth: Sequence[Uint8], found: Iterable[Uint8]) -> tuple[Floats, Floats]:
    """PSNR and SSIM of each image."""
    a, b = np.stack(list(truth)), np.stack(list(found))
    blocks = [slice(start, start + BLOCK) for start in range(0, len(a), BLOCK)]
    return (
        np.concatenate([metrics.psnr(a[block], b[block]) for block in blocks]),
        np.concatenate([metrics.ssim(a[block], b[block]) for block in blocks]),
    )


def _as_they_are(frames: Sequence[Uint8], size: int) -> Iterator[Uint8]:
    return (classical.restore("identity", frame, (size, size)) for frame in frames)


def _telling(line: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in line.items() if name not in PLAIN}


def _originals(folder: Path) -> Iterator[tuple[str, Uint8]]:
    for key, data, _ in shards.read(folder, SPLIT):
        yield key, np.asarray(decode(data))


def _lines(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return list(from_csv(stream, str(path), ShardError))
    except FileNotFoundError:
        raise ShardError(f"{path}: there is no such table; `dvc repro` writes it") from None
