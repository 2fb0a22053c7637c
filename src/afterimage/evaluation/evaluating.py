"""Rebuilding the test images of a row, joining them with their originals, and writing what was measured."""

import importlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from afterimage.core import engine, outputs, params, shards
from afterimage.core.errors import ImageError, MetricError, ParamsError, ShardError
from afterimage.core.images import Uint8, decode
from afterimage.core.parsing import from_csv
from afterimage.evaluation.metrics import Floats, Lpips, MetricsRow, bootstrap
from afterimage.evaluation.rebuilding import Columns, Elsewhere, More, Rebuilding, answered, measured
from afterimage.evaluation.results import METRICS, PROVENANCE
from afterimage.observations import Given, Stored

if TYPE_CHECKING:
    from afterimage.reconstructors import Reconstructor

SPLIT = "test"
SAMPLE = "sample"
"""The parts of a reconstruction that hold each of several answers: `sample0`, `sample1` ..."""
BATCH = 32
"""Images that are in memory at once when they are measured. The last bits of LPIPS depend on it."""


class Sample(NamedTuple):
    """A line of a data set's samples.csv: the photograph a sample is from, and the group that it belongs to."""

    image: str
    group: str


class Places(NamedTuple):
    """Where the results of a row go, a folder each that gets something for each case."""

    reconstructions: Path
    measured: Path
    metrics: Path


class Rebuilt(NamedTuple):
    """What one training of a row made of the test images of a case."""

    folder: Path
    own: Columns | None = None
    """Numbers that it told itself, in the order of their column `key`."""


class Kind(Protocol):
    """What is measured of a kind of observation: the module of its name in this package."""

    HEADLINE: Sequence[str]
    """The metrics that are shown first, and that `dvc metrics` shows; those that a row has."""
    METHODS: Mapping[str, str]
    """Its baselines, each with a line that says what it is."""

    def image_metrics(self, stored: Any, case: str, lpips: Lpips) -> More | None:
        """Measures what only this kind has, such as the inside of a hole."""
        ...

    def answer_metrics(self, stored: Any, given: Given, rebuilt: Uint8, samples: Uint8 | None, own: Columns) -> Columns:
        """Numbers that need more than originals and reconstructions, such as the spread of samples `[N, K, H, W, 3]`.

        Args:
            own: what the reconstructor told itself.
        """
        ...

    def tables(self, row: Any, reconstructor: Any, stored: Any, measured: Path, metrics: MetricsRow) -> None:
        """Further tables of a row, into the folder with a folder for each case."""
        ...

    def baselines(self, stored: Any, names: Sequence[str]) -> Iterator[tuple[str, str, Callable[[Given], Uint8]]]:
        """For each baseline its case, the case of the observations that it rebuilds, and how."""
        ...


def kind(name: str) -> Kind:
    """What is measured of a kind of observation."""
    module: ModuleType = importlib.import_module(f"afterimage.evaluation.{name}")
    return module


def baselines_of(path: Path, observes: str) -> list[str]:
    """The baselines of a kind of observation that the section `baselines` names.

    Raises:
        ParamsError: it names one that there is not, or one twice.
    """
    names = params.load(path).get("baselines", {}).get(observes) or []
    known = kind(observes).METHODS
    for name in names:
        if name not in known:
            raise ParamsError(f"{path}: `baselines.{observes}`: no baseline {name!r}; there are {', '.join(known)}")
    if len(set(names)) < len(names):
        raise ParamsError(f"{path}: `baselines.{observes}`: a baseline is listed twice")
    return list(names)


def evaluate_row(
    row: Any,
    reconstructors: "Mapping[str, Reconstructor]",
    stored: Stored,
    places: Places,
    metrics: MetricsRow,
    lpips: Lpips,
    seeds: Sequence[int] = (),
    others: "Sequence[Mapping[str, Reconstructor]]" = (),
    elsewhere: Elsewhere = Elsewhere(),  # noqa: B008 - a tuple
) -> None:
    """Rebuild the test images of a row and measure it, case by case, with what the kind of observation adds.

    Args:
        seeds: of the row's trainings.
        others: the reconstructors of each seed but the first. Metrics are means over all; the further tables that a
            kind of observation adds are of the first.
        elsewhere: how workers of a cluster come to the reconstructors.

    Raises:
        ShardError, MetricError: as `measure_folder`.
    """
    of = kind(row.observes)
    with (
        outputs.folder(places.reconstructions) as rebuilt,
        outputs.folder(places.measured) as measured,
        outputs.folder(places.metrics) as summaries,
    ):
        for name, reconstructor in reconstructors.items():
            for case in stored.cases():
                label = _label(name, case, len(stored.cases()))
                keys = _spread(stored, case, row.images)
                by_seed: list[tuple[Path, Reconstructor, int | None]] = [(rebuilt / label, reconstructor, None)]
                by_seed += [
                    (rebuilt / label / "seeds" / str(seed), other[name], seed)
                    for seed, other in zip(seeds[1:], others, strict=True)
                ]
                answers = []
                for out, each, seed in by_seed:
                    work = Rebuilding.of(each, out.name, elsewhere, name, seed)
                    answers.append(Rebuilt(out, _rebuild(work, elsewhere, of, stored, case, row.together, keys, out)))
                inside = Places(rebuilt / label, measured / label, summaries / f"{label}.json")
                more = of.image_metrics(stored, case, lpips)
                measure_folder(inside, stored, of, metrics, lpips, more, keys, answers, seeds)
        labels = [_label(name, case, len(stored.cases())) for name in reconstructors for case in stored.cases()]
        _write_provenance(measured, stored, labels, lpips, seeds)
        of.tables(row, list(reconstructors.values())[-1], stored, measured, metrics)
    for reconstructor in reconstructors.values():
        reconstructor.forget()


def evaluate_baselines(
    observes: str, methods: Sequence[str], stored: Stored, places: Places, metrics: MetricsRow, lpips: Lpips
) -> None:
    """Rebuild the test images of a row of observations by its baselines and measure them.

    Raises:
        ShardError, MetricError: as `measure_folder`.
    """
    of = kind(observes)
    with (
        outputs.folder(places.reconstructions) as rebuilt,
        outputs.folder(places.measured) as measured,
        outputs.folder(places.metrics) as summaries,
    ):
        labels = []
        for label, case, method in of.baselines(stored, methods):
            labels.append(label)
            with _written(rebuilt / label, stored) as put:
                work, batches = partial(answered, method), stored.given(case, BATCH)
                for keys, pictures in engine.map(work, batches, jobs=1, label=f"rebuild {label}", unit="batch"):
                    for key, image in zip(keys, pictures, strict=True):
                        put(f"{key}.png", image)
            inside = Places(rebuilt / label, measured / label, summaries / f"{label}.json")
            measure_folder(inside, stored, of, metrics, lpips, of.image_metrics(stored, case, lpips))
        _write_provenance(measured, stored, labels, lpips)


def _label(name: str, case: str, cases: int) -> str:
    """What a case of a row is called: by the reconstructor where there are several, by the case where there are."""
    return f"{case}/{name}" if name and cases > 1 else name or case


def _spread(stored: Stored, case: str, count: int | None) -> list[str] | None:
    """So many keys of the test images, evenly spaced over all of them in sorted order; None: all."""
    if count is None:
        return None
    table = shards.Table(stored.shards_dir, SPLIT)
    count, keys = min(count, len(table)), sorted(table.keys)
    return [keys[(2 * number + 1) * len(keys) // (2 * count)] for number in range(count)]


def _rebuild(
    work: Rebuilding,
    elsewhere: Elsewhere,
    of: Kind,
    stored: Stored,
    case: str,
    batch: int,
    keys: list[str] | None,
    out: Path,
) -> Columns:
    """Write what a reconstructor makes of observations, 8-bit, and return the numbers that it tells itself."""
    total = len(shards.Table(stored.shards_dir, SPLIT)) if keys is None else len(keys)
    columns: dict[str, list[Floats]] = {}
    found_keys: list[str] = []
    with _written(out, stored) as put:
        made = engine.map(
            work,
            stored.given(case, batch, keys),
            jobs=1,
            label=f"rebuild {out.name}",
            total=-(-total // batch),
            unit="batch",
            files=engine.Files(elsewhere.files),
            device=elsewhere.device,
        )
        for given, rebuilt, samples, files, own in made:
            for key, (image, *answers) in zip(given.keys, files, strict=True):
                put(f"{key}.png", image)
                for place, sample in enumerate(answers):
                    put(f"{key}.{SAMPLE}{place}.png", sample)
            for name, values in {**own, **of.answer_metrics(stored, given, rebuilt, samples, own)}.items():
                columns.setdefault(name, []).append(values)
            found_keys += given.keys
    return {"key": np.array(found_keys), **{name: np.concatenate(parts) for name, parts in columns.items()}}


@contextmanager
def _written(folder: Path, stored: Stored) -> Iterator[shards.Put]:
    """Yield what adds members to the shard of a folder of reconstructions, whose index follows."""
    path = folder / "test-000000.tar"
    with shards.writer(path) as put:
        yield put
    about = {"dataset": stored.indices[0]["dataset"], "size": stored.size}
    shards.write_index(folder, about, {SPLIT: [put.described()]})


def measure_folder(
    places: Places,
    stored: Stored,
    of: Kind,
    row: MetricsRow,
    lpips: Lpips,
    more: More | None = None,
    keys: Sequence[str] | None = None,
    answers: Sequence[Rebuilt] = (),
    seeds: Sequence[int] = (),
) -> None:
    """Compare a folder of reconstructions with the test split of the image shards that they are of.

    Writes the headline means to `places.metrics`, and into the folder `places.measured` `intervals.json` (all means
    with 95 % bootstrap intervals over groups and seeds) and `images.csv` (a line an image, in the order of the shards).
    Where there are several seeds, the numbers of an image are means over them, and `seeds.csv` has a line a seed and
    image. Numbers have six significant digits.

    Args:
        more: measures what only some observations have, such as the inside of a hole.
        keys: the test samples that were reconstructed; None: all of them.
        answers: the reconstructions, one folder a seed; none: those in `places.reconstructions`.
        seeds: of the trainings.

    Raises:
        ShardError: a key is missing, doubled or of no original, or shards cannot be read.
        MetricError: a reconstruction is not of its original's size, or too small to measure.
    """
    samples = samples_of(stored.shards_dir, keys)
    answers = answers or [Rebuilt(places.reconstructions)]
    by_seed = [_columns(answer, stored.shards_dir, samples, lpips, more) for answer in answers]
    columns = {name: np.stack([each[name] for each in by_seed]) for name in by_seed[0]}
    groups = [sample.group for sample in samples.values()]
    intervals = {
        name: bootstrap(values, groups, samples=row.bootstrap, seed=row.seed) for name, values in columns.items()
    }
    headline = {name: _rounded(intervals[name].mean) for name in (*of.HEADLINE, lpips.name) if name in intervals}
    outputs.write_json(places.metrics, headline)
    rounded = {
        name: {part: _rounded(value) for part, value in interval._asdict().items()}
        for name, interval in intervals.items()
    }
    outputs.write_json(places.measured / "intervals.json", {"images": len(samples), "metrics": rounded})
    lines = (
        [key, sample.image, sample.group, *(f"{values[:, number].mean():.6g}" for values in columns.values())]
        for number, (key, sample) in enumerate(samples.items())
    )
    outputs.write_csv(places.measured / "images.csv", ["key", "image", "group", *columns], lines)
    if len(answers) > 1:
        lines = (
            [str(seed), key, *(f"{values[place, number]:.6g}" for values in columns.values())]
            for place, seed in enumerate(seeds)
            for number, key in enumerate(samples)
        )
        outputs.write_csv(places.measured / "seeds.csv", ["seed", "key", *columns], lines)


def _columns(
    answer: Rebuilt, shards_dir: Path, samples: dict[str, Sample], lpips: Lpips, more: More | None
) -> dict[str, Floats]:
    """The metrics of a folder of reconstructions, in the order of the samples."""
    found_keys: list[str] = []
    batches: list[dict[str, Floats]] = []
    joined = _batches(_joined(answer.folder, shards_dir, samples))
    label, files = f"measure {answer.folder.name}", engine.Files(getattr(more, "files", ()))
    for names, found in engine.map(
        partial(measured, lpips, more), joined, jobs=1, label=label, unit="batch", files=files
    ):
        found_keys += names
        batches.append(found)
    columns = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    columns = _ordered(columns, found_keys, samples)
    if own := answer.own:
        columns |= _ordered({name: own[name] for name in own if name != "key"}, list(own["key"]), samples)
    return columns


def _write_provenance(
    measured: Path, stored: Stored, labels: Sequence[str], lpips: Lpips, seeds: Sequence[int] = ()
) -> None:
    """Write what numbers of two revisions must have in common to be compared; `labels` are the cases in their order."""
    names = {
        name
        for path in measured.rglob("intervals.json")
        for name in json.loads(path.read_text(encoding="utf-8"))["metrics"]
    }
    known = {name: METRICS[name].definition for name in sorted(names) if name in METRICS}
    about = {
        "kind": stored.indices[0]["kind"],
        "cases": list(labels),
        "dataset": stored.indices[0]["dataset"],
        "images": shards.split_hash(shards.load_index(stored.shards_dir), SPLIT),
        "observations": {case: stored.test_hash(case) for case in stored.cases()},
        "lpips": lpips.weights,
        "seeds": list(seeds),
        "metrics": {name: definition for name, definition in known.items() if definition},
    }
    outputs.write_json(measured / PROVENANCE, about)


def _ordered(columns: Columns, keys: Sequence[str], samples: Mapping[str, Sample]) -> dict[str, Floats]:
    """Columns in the order of the samples."""
    place = {key: number for number, key in enumerate(keys)}
    order = [place[key] for key in samples]
    return {name: values[order] for name, values in columns.items()}


def samples_of(folder: Path, keys: Sequence[str] | None = None) -> dict[str, Sample]:
    """The test samples of image shards by key, in the order of the shards: those of `keys`, or all."""
    path = folder / "samples.csv"
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            lines = from_csv(stream, str(path), ShardError, ("key", "split", "image", "group"))
            samples = {line["key"]: Sample(line["image"], line["group"]) for line in lines if line["split"] == SPLIT}
    except FileNotFoundError:
        raise ShardError(f"{path}: there is no such table of samples") from None
    if not samples:
        raise ShardError(f"{path}: has no {SPLIT} samples to compare with")
    if keys is None:
        return samples
    wanted = set(keys)
    if unknown := wanted - set(samples):
        raise ShardError(f"{path}: has no {SPLIT} sample `{min(unknown)}`")
    return {key: sample for key, sample in samples.items() if key in wanted}


def _joined(reconstructions: Path, originals: Path, samples: dict[str, Sample]) -> Iterator[tuple[str, Uint8, Uint8]]:
    """Key, original and reconstruction of each test sample, in the order of the reconstructions."""
    table = shards.Table(originals, SPLIT)
    if odd := [key for key in samples if key not in table.keys]:
        raise ShardError(f"{originals}: `{min(odd)}` is in samples.csv, but not in the {SPLIT} shards")
    left = set(samples)
    for key, data, _ in shards.read(reconstructions, SPLIT):
        if key not in samples:
            raise ShardError(f"{reconstructions}: `{key}` is no {SPLIT} sample of {originals}")
        if key not in left:
            raise ShardError(f"{reconstructions}: `{key}` is there twice")
        left.remove(key)
        found, truth = _pixels(reconstructions, key, data), _pixels(originals, key, table.of(key))
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
