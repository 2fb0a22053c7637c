"""Two sides compared: for every metric of every row, the difference over the same test images, and a verdict."""

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from afterimage.core import params
from afterimage.core.errors import ParamsError
from afterimage.core.parsing import from_json, from_yaml, parsing
from afterimage.evaluation.comparing import Difference, benjamini_hochberg, differences
from afterimage.evaluation.metrics import Floats, MetricsRow
from afterimage.evaluation.results import MAIN, METRICS
from afterimage.review.revisions import RevisionError, Side

RATE = 0.05
"""The false discovery rate: the share of verdicts `better` and `worse` that are wrong, on average."""
DEFAULT = MetricsRow(seed=0, bootstrap=2000)
LEAST = 200
"""Resamples that a standard error needs (Efron & Tibshirani 1993, section 6.4), even where a project draws fewer."""
MEASURED = "reports/measured"
IMAGES, SEEDS, PROVENANCE = "images.csv", "seeds.csv", "provenance.json"
LPIPS = ("lpips", "lpips_untrained")


class Verdict(StrEnum):
    """What two sides say of a metric of a row."""

    BETTER = "better"
    WORSE = "worse"
    UNSHOWN = "no difference shown"
    CHANGED = "changed"
    """It has no better direction."""
    NOT_COMPARABLE = "not comparable"
    NEW = "new"
    GONE = "gone"
    UNCHANGED = "unchanged"


JUDGED = (Verdict.BETTER, Verdict.WORSE)


class Reason(StrEnum):
    """Why two results cannot be compared."""

    IMAGES = "other test images"
    OBSERVATIONS = "other observations"
    DEFINITION = "other definition"
    LPIPS = "other LPIPS weights"


def named(row: str, case: str) -> str:
    """A row, with the case where it is not the only one."""
    return row if case == "test" else f"{row}/{case}"


@dataclass(frozen=True)
class Change:
    """A metric of a row in one case, on both sides."""

    kind: str
    """Of the observation; empty where neither side says."""
    row: str
    case: str
    metric: str
    verdict: Verdict
    reason: Reason | None = None
    """Of what is not comparable."""
    before: float | None = None
    """The mean over images and seeds; None on a side that does not have it."""
    after: float | None = None
    difference: Difference | None = None
    """Of the means over the images; None where they are not the same images, or nothing changed."""
    q: float | None = None
    """p corrected for all metrics that were judged; None where this one was not."""
    images: int = 0
    seeds: tuple[int, int] = (0, 0)
    """How many training seeds were measured on either side."""

    @property
    def name(self) -> str:
        return named(self.row, self.case)

    @property
    def is_main(self) -> bool:
        return self.metric == MAIN.get(self.kind)


@dataclass(frozen=True)
class Comparison:
    """All metrics of two sides, sorted by kind, row and case.

    Rows with a verdict come first in their kind, then those that changed, those that are not comparable, new, gone and
    unchanged ones; and so do the metrics of a row, with the main one first among each.
    """

    before: Side
    after: Side
    changes: list[Change]
    unproven: list[str] = field(default_factory=list)
    """Sides of an earlier version of this project, which do not say what their numbers were measured on."""

    @cached_property
    def counts(self) -> Counter[Verdict]:
        return Counter(change.verdict for change in self.changes)

    @property
    def tests(self) -> int:
        """How many metrics were judged, so that what was judged is corrected for."""
        return sum(change.q is not None for change in self.changes)


class Result(NamedTuple):
    """What a side measured of a row in a case."""

    keys: Sequence[str]
    groups: Sequence[str]
    columns: dict[str, Floats]
    """The values `[S, N]` of each metric, of S seeds."""
    provenance: Mapping[str, Any]


def compare(before: Side, after: Side) -> Comparison:
    """Compare what two sides keep in reports/measured.

    Metrics that are the same image by image are not judged: they would be tests that cannot find anything, and
    leaving out what certainly did not change takes nothing from the control of false discoveries.

    Raises:
        RevisionError: a file of a side is not what it should be, or neither side has results.
    """
    sides = [_results(side) for side in (before, after)]
    old, new = sides
    if not old and not new:
        raise RevisionError(f"{before.name} and {after.name}: nothing is measured there, in {MEASURED}/*/*/{IMAGES}")
    kinds = _kinds(before, old) | _kinds(after, new)
    changes = [
        _change(kinds.get(row, ""), row, case, metric, old.get((row, case)), new.get((row, case)))
        for row, case in old | new
        for metric in _metrics(old.get((row, case)), new.get((row, case)))
    ]
    changes = _judged(_with_differences(changes, old, new, _settings(after)))
    unproven = [
        side.name
        for side, results in zip((before, after), sides, strict=True)
        if results and not all(result.provenance for result in results.values())
    ]
    return Comparison(before, after, _sorted(changes), unproven)


def _metrics(old: Result | None, new: Result | None) -> list[str]:
    """The metrics of either side: known ones in the order of METRICS, then the others."""
    there = dict.fromkeys(metric for result in (new, old) if result for metric in result.columns)
    return [name for name in dict.fromkeys([*METRICS, *there]) if name in there]


def _change(kind: str, row: str, case: str, metric: str, old: Result | None, new: Result | None) -> Change:
    """What can be said of a metric without a test; `UNSHOWN` of those that are to be judged."""
    values = [result.columns.get(metric) if result else None for result in (old, new)]
    means = [None if each is None else float(each.mean()) for each in values]
    counts = [_seeds(result, each) for result, each in zip((old, new), values, strict=True)]
    found = Change(
        kind,
        row,
        case,
        metric,
        Verdict.UNSHOWN,
        before=means[0],
        after=means[1],
        images=len((new or old or ((),))[0]),
        seeds=(counts[0], counts[1]),
    )
    if old is None or values[0] is None:
        return replace(found, verdict=Verdict.NEW)
    if new is None or values[1] is None:
        return replace(found, verdict=Verdict.GONE)
    if reason := _reason(metric, case, old, new):
        return replace(found, verdict=Verdict.NOT_COMPARABLE, reason=reason)
    if np.array_equal(*_aligned(metric, old, new)):
        return replace(found, verdict=Verdict.UNCHANGED)
    known = METRICS.get(metric)
    return found if known and known.higher_is_better is not None else replace(found, verdict=Verdict.CHANGED)


def _seeds(result: Result | None, values: Floats | None) -> int:
    """How many training seeds values `[S, N]` are of; 0 where nothing is trained or drawn, or there are none."""
    if result is None or values is None or result.provenance.get("seeds") == []:
        return 0
    return len(values)


def _reason(metric: str, case: str, old: Result, new: Result) -> Reason | None:
    """Why the two numbers are not of the same thing, as far as both sides say what they are of."""

    def differs(*names: str) -> bool:
        said = [_at(result.provenance, *names) for result in (old, new)]
        return None not in said and said[0] != said[1]

    part = case.partition("/")[0]
    place = part if _at(new.provenance, "observations", part) else "test"
    if dict(zip(old.keys, old.groups, strict=True)) != dict(zip(new.keys, new.groups, strict=True)):
        return Reason.IMAGES
    if differs("images"):
        return Reason.IMAGES
    if differs("observations", place):
        return Reason.OBSERVATIONS
    if differs("metrics", metric):
        return Reason.DEFINITION
    return Reason.LPIPS if metric.endswith(LPIPS) and differs("lpips") else None


def _at(data: Any, *names: str) -> Any:
    for name in names:
        data = data.get(name) if isinstance(data, Mapping) else None
    return data


def _aligned(metric: str, old: Result, new: Result) -> tuple[Floats, Floats]:
    """The values of both sides `[S, N]`, of the images in the order of the second."""
    if old.keys == new.keys:
        return old.columns[metric], new.columns[metric]
    place = {key: number for number, key in enumerate(old.keys)}
    return old.columns[metric][:, [place[key] for key in new.keys]], new.columns[metric]


def _with_differences(
    changes: Sequence[Change], old: Mapping[Any, Result], new: Mapping[Any, Result], settings: MetricsRow
) -> list[Change]:
    """Changes with the differences of what changed; groups are drawn once for all that were measured alike."""
    alike: dict[Any, list[int]] = defaultdict(list)
    for number, change in enumerate(changes):
        if change.verdict in (Verdict.UNSHOWN, Verdict.CHANGED):
            alike[(change.seeds, tuple(new[change.row, change.case].groups))].append(number)
    found = list(changes)
    samples = max(settings.bootstrap, LEAST)
    for (_, groups), numbers in alike.items():
        places = [(changes[number].metric, (changes[number].row, changes[number].case)) for number in numbers]
        sides = zip(*(_aligned(metric, old[place], new[place]) for metric, place in places), strict=True)
        before, after = (np.stack(values) for values in sides)
        for number, one in zip(numbers, differences(before, after, groups, samples, settings.seed), strict=True):
            found[number] = replace(found[number], difference=one)
    return found


def _judged(changes: Sequence[Change]) -> list[Change]:
    """Changes with q and a verdict where there is something to judge."""
    numbers = [number for number, change in enumerate(changes) if change.verdict == Verdict.UNSHOWN]
    found = list(changes)
    tests = [change.difference for change in changes if change.verdict == Verdict.UNSHOWN and change.difference]
    for number, one, q in zip(numbers, tests, benjamini_hochberg([one.p for one in tests]), strict=True):
        change = changes[number]
        better = (one.mean > 0) == METRICS[change.metric].higher_is_better
        verdict = change.verdict if q > RATE else Verdict.BETTER if better else Verdict.WORSE
        found[number] = replace(change, q=float(q), verdict=verdict)
    return found


def _sorted(changes: Sequence[Change]) -> list[Change]:
    ranks = {verdict: number for number, verdict in enumerate(Verdict)} | {Verdict.WORSE: 0}
    rows: dict[Any, int] = {}
    for change in changes:
        place = (change.kind, change.row, change.case)
        rows[place] = min(rows.get(place, len(ranks)), ranks[change.verdict])

    def order(change: Change) -> tuple[Any, ...]:
        place = (change.kind, change.row, change.case)
        kind = list(MAIN).index(change.kind) if change.kind in MAIN else len(MAIN)
        return (kind, change.kind, rows[place], *place[1:], ranks[change.verdict], not change.is_main)

    return sorted(changes, key=order)  # which leaves metrics in the order of METRICS


# Reading a side


def _results(side: Side) -> dict[tuple[str, str], Result]:
    """What a side measured, by row and case."""
    wanted = [path for path in side.files(MEASURED) if path.endswith((f"/{IMAGES}", f"/{SEEDS}", f"/{PROVENANCE}"))]
    contents = side.read_all(wanted)
    found = {}
    for path, data in contents.items():
        row, _, rest = path.removeprefix(f"{MEASURED}/").partition("/")
        case = rest.removesuffix(f"/{IMAGES}")
        if not rest.endswith(f"/{IMAGES}"):
            continue
        about = f"{MEASURED}/{row}/{PROVENANCE}"
        provenance = _object(side, about, contents[about]) if about in contents else {}
        names, columns = _table(side, path, data)
        keys = names["key"]
        if len(set(keys)) < len(keys):
            raise RevisionError(f"{side.name}: {path}: an image is there twice")
        values = {name: column[None] for name, column in columns.items()}
        several = f"{MEASURED}/{row}/{case}/{SEEDS}"
        if several in contents:
            values |= _of_seeds(side, several, contents[several], keys)
        found[row, case] = Result(keys, names["group"], values, provenance)
    return found


def _of_seeds(side: Side, path: str, data: bytes, keys: Sequence[str]) -> dict[str, Floats]:
    """The columns `[S, N]` of a table with a line a seed and image, of the images in this order."""
    names, columns = _table(side, path, data, ("seed", "key"))
    place = {at: number for number, at in enumerate(zip(names["seed"], names["key"], strict=True))}
    seeds = list(dict.fromkeys(names["seed"]))
    wanted = [(seed, key) for seed in seeds for key in keys]
    if len(names["key"]) != len(wanted) or set(place) != set(wanted):
        raise RevisionError(f"{side.name}: {path}: expected a line for each seed and image of {IMAGES}")
    order = [place[at] for at in wanted]
    return {name: column[order].reshape(len(seeds), len(keys)) for name, column in columns.items()}


def _table(
    side: Side, path: str, data: bytes, words: Sequence[str] = ("key", "image", "group")
) -> tuple[dict[str, tuple[str, ...]], dict[str, Floats]]:
    """A table's columns of words and its columns of numbers."""
    expected = f"expected a table with {', '.join(words)} and a number for each metric"
    with parsing(RevisionError, f"{side.name}: {path}: {expected}"):
        header, *lines = csv.reader(io.StringIO(data.decode("utf-8"), newline=""))
        columns = dict(zip(header, zip(*lines, strict=True), strict=True))
        names = {name: columns.pop(name) for name in words}
        numbers = {name: np.array(column, dtype=np.float64) for name, column in columns.items()}
    if bad := [name for name, column in numbers.items() if not np.isfinite(column).all()]:
        raise RevisionError(f"{side.name}: {path}: `{bad[0]}` has values that are no finite numbers")
    return names, numbers


def _object(side: Side, path: str, data: bytes) -> dict[str, Any]:
    return from_json(data, f"{side.name}: {path}", RevisionError)


def _kinds(side: Side, results: Mapping[tuple[str, str], Result]) -> dict[str, str]:
    """The kind of observation of each row of a side; an earlier version says it in the paths of metrics/ alone."""
    paths = [path.split("/") for path in side.files("metrics")]
    found = {row: kind for _, kind, row, *_ in (parts for parts in paths if len(parts) > 3)}
    said = {row: result.provenance.get("kind") for (row, _), result in results.items()}
    return found | {row: kind for row, kind in said.items() if isinstance(kind, str)}


def _settings(side: Side) -> MetricsRow:
    """How a side draws resamples: the section `metrics` of its parameters, or else what the pipeline comes with."""
    try:
        data = from_yaml(side.read("params.yaml") or b"", "params.yaml", ParamsError)
        with parsing(ParamsError, "params.yaml"):
            return params.typed("params.yaml", data["metrics"], MetricsRow)
    except ParamsError:
        return DEFAULT
