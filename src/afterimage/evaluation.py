"""Joining reconstructions with their originals, and writing a row's metrics."""

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from afterimage import engine, outputs, shards
from afterimage.errors import ImageError, MetricError, ShardError
from afterimage.images import Uint8, decode
from afterimage.metrics import Floats, Lpips, MetricsRow, bootstrap, mse, psnr, ssim

SPLIT = "test"
VALUES = "values.csv"
"""A table that a reconstructor may leave beside its images: `key` and a column for each number of its own."""
BATCH = 32
"""Images that are in memory at once. The last bits of LPIPS depend on it."""


More = Callable[[Sequence[str], Uint8, Uint8], dict[str, Floats]]
"""From the keys, originals and reconstructions of a batch to further columns, a number an image."""


class Sample(NamedTuple):
    """A line of a data set's samples.csv: the photograph a sample is from, and the group that it belongs to."""

    image: str
    group: str


def evaluate(
    reconstructions: Path,
    originals: Path,
    out: Path,
    row: MetricsRow,
    lpips: Lpips,
    keys: Sequence[str] | None = None,
    more: More | None = None,
) -> None:
    """Compare a folder of reconstructions with the test split of the image shards that they are of.

    Writes `summary.json` (flat means), `intervals.json` (means with 95 % bootstrap intervals over groups) and
    `images.csv` (a line an image, in the order of the shards) into `out`. Numbers have six significant digits.

    Args:
        keys: the test samples that were reconstructed; None: all of them.
        more: measures what only some observations have, such as the inside of a hole.

    Raises:
        ShardError: a key is missing, doubled or of no original, or shards cannot be read.
        MetricError: a reconstruction is not of its original's size, or too small to measure.
    """
    samples = _samples(originals, keys)
    values = _values(reconstructions, samples)
    found_keys: list[str] = []
    batches: list[dict[str, Floats]] = []
    joined = _joined(reconstructions, originals, samples)
    for names, truth, found in _batches(engine.progress(joined, f"evaluate {out.name}", len(samples), "image")):
        found_keys += names
        batches.append(measure(truth, found, lpips) | (more(names, truth, found) if more else {}))
    place = {key: number for number, key in enumerate(found_keys)}
    order = [place[key] for key in samples]
    columns = {name: np.concatenate([batch[name] for batch in batches])[order] for name in batches[0]}
    columns |= values
    groups = [sample.group for sample in samples.values()]
    intervals = {
        name: bootstrap(values, groups, samples=row.bootstrap, seed=row.seed) for name, values in columns.items()
    }
    with outputs.folder(out) as folder:
        summary = {name: _rounded(interval.mean) for name, interval in intervals.items()}
        outputs.write_json(folder / "summary.json", {"images": len(samples), **summary})
        rounded = {
            name: {part: _rounded(value) for part, value in interval._asdict().items()}
            for name, interval in intervals.items()
        }
        outputs.write_json(folder / "intervals.json", rounded)
        lines = (
            [key, sample.image, sample.group, *(f"{values[number]:.6g}" for values in columns.values())]
            for number, (key, sample) in enumerate(samples.items())
        )
        outputs.write_csv(folder / "images.csv", ["key", "image", "group", *columns], lines)


def measure(originals: Uint8, reconstructions: Uint8, lpips: Lpips) -> dict[str, Floats]:
    """The columns of images.csv for a batch `[N, H, W, 3]`: a number an image, by metric."""
    return {
        "mse": mse(originals, reconstructions),
        "psnr": psnr(originals, reconstructions),
        "ssim": ssim(originals, reconstructions),
        lpips.name: lpips(originals, reconstructions),
    }


def _samples(folder: Path, keys: Sequence[str] | None) -> dict[str, Sample]:
    """The test samples of image shards by key, in the order of the shards: those of `keys`, or all."""
    path = folder / "samples.csv"
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            lines = [line for line in csv.DictReader(stream) if line["split"] == SPLIT]
            samples = {line["key"]: Sample(line["image"], line["group"]) for line in lines}
    except FileNotFoundError:
        raise ShardError(f"{path}: there is no such table of samples") from None
    except KeyError as error:
        raise ShardError(f"{path}: has no column {error}") from None
    if not samples:
        raise ShardError(f"{path}: has no {SPLIT} samples to compare with")
    if keys is None:
        return samples
    if unknown := set(keys) - set(samples):
        raise ShardError(f"{path}: has no {SPLIT} sample `{min(unknown)}`")
    return {key: sample for key, sample in samples.items() if key in set(keys)}


def _values(folder: Path, samples: dict[str, Sample]) -> dict[str, Floats]:
    """The numbers that the reconstructor measured itself, by column, in the order of the samples."""
    path = folder / VALUES
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as stream:
        lines = {line.pop("key"): line for line in csv.DictReader(stream)}
    if odd := set(lines) ^ set(samples):
        raise ShardError(f"{path}: `{min(odd)}` is in this table or among the {SPLIT} samples, but not in both")
    columns = next(iter(lines.values()))
    return {name: np.array([float(lines[key][name]) for key in samples]) for name in columns}


def _joined(reconstructions: Path, originals: Path, samples: dict[str, Sample]) -> Iterator[tuple[str, Uint8, Uint8]]:
    """Key, original and reconstruction of each test sample, in the order of the reconstructions."""
    table = shards.Table(originals, SPLIT)
    if odd := set(samples) - set(table.keys):
        raise ShardError(f"{originals}: `{min(odd)}` is in samples.csv, but not in the {SPLIT} shards")
    position = {key: number for number, key in enumerate(table.keys)}
    left = set(samples)
    for key, data, _ in shards.read(reconstructions, SPLIT):
        if key not in samples:
            raise ShardError(f"{reconstructions}: `{key}` is no {SPLIT} sample of {originals}")
        if key not in left:
            raise ShardError(f"{reconstructions}: `{key}` is there twice")
        left.remove(key)
        found, truth = _pixels(reconstructions, key, data), _pixels(originals, key, table.bytes(position[key]))
        if found.shape != truth.shape:
            sizes = [f"{image.shape[1]} x {image.shape[0]} px" for image in (found, truth)]
            raise MetricError(f"{reconstructions}: `{key}` is {sizes[0]}, its original {sizes[1]}")
        yield key, truth, found
    if left:
        more = f" and {len(left) - 1} more are" if len(left) > 1 else " is"
        raise ShardError(f"{reconstructions}: `{min(left)}`{more} missing; {originals} has them in {SPLIT}")


def _pixels(folder: Path, key: str, data: bytes) -> Uint8:
    try:
        return np.asarray(decode(data))
    except ImageError as error:
        raise ImageError(f"{folder}: `{key}`: {error}") from None


def _batches(
    pairs: Iterator[tuple[str, Uint8, Uint8]],
) -> Iterator[tuple[list[str], Uint8, Uint8]]:
    batch: list[tuple[str, Uint8, Uint8]] = []
    for pair in pairs:
        batch.append(pair)
        if len(batch) == BATCH:
            yield _stacked(batch)
            batch = []
    if batch:
        yield _stacked(batch)


def _stacked(batch: list[tuple[str, Uint8, Uint8]]) -> tuple[list[str], Uint8, Uint8]:
    keys, originals, reconstructions = zip(*batch, strict=True)
    return list(keys), np.stack(originals), np.stack(reconstructions)


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
