"""Where a number comes from: what a model card or a pull request quotes of a row, or of an observation's baselines.

dvc.lock says what the numbers were made of, the row's `provenance.json` what they were measured on and how, Git in
which commit they are. Nothing is guessed from the code and the parameters of today: what was not written down, or not
pulled, is None in a card, and its text says so.

The project is the working directory, as for the report.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from afterimage.core import layout, params, stage
from afterimage.core.errors import AfterimageError, ParamsError
from afterimage.core.parsing import from_yaml, parsing
from afterimage.evaluation.comparing import Difference, difference
from afterimage.evaluation.metrics import Interval
from afterimage.evaluation.results import MAIN, PROVENANCE, Baseline, Result, read_json
from afterimage.report.project import TRAINED, Project
from afterimage.review import rebuilds
from afterimage.review.revisions import RevisionError, git

Values = dict[str, Any]

LOCK, BUILT_ON = Path(rebuilds.LOCK), Path(rebuilds.BUILT_ON)
OBSERVED = "observations"
MAKES = {"datasets": "shard", "encoders": "weights", OBSERVED: "observe", TRAINED: "train", "searches": "search"}
"""The stage that makes of a row what others read. Its parameters in dvc.lock are those that it was made with."""
MEASURES = {OBSERVED: "baseline", TRAINED: "evaluate", "searches": "search"}
"""The stage that measures a row."""
DECIDES = ("params.yaml", "dvc.lock", "dvc.yaml", "metrics", "reports/measured", "src", "stages")
"""What decides numbers or holds them, and is in Git."""


@dataclass(frozen=True)
class Part:
    """A row of params.yaml that numbers were made of."""

    section: str
    name: str
    parameters: Values | None
    """With what it shares, as dvc.lock has them. None: it was never made."""
    today: Values | None
    """The same as params.yaml has them. None: it has no such row any more."""
    path: str | None
    """What was read of it."""
    md5: str | None
    """DVC's hash of that; of a folder it ends in `.dir`."""


@dataclass(frozen=True)
class Case:
    """What was measured in one case, and of the baselines on the same images."""

    images: int
    groups: dict[str, int]
    """The images of each."""
    metrics: dict[str, Interval]
    headline: list[str]
    """Of these, what `dvc metrics` shows; first the metric that rows are ranked by."""
    baselines: dict[str, dict[str, Interval]]
    """By method, the best in that metric first."""
    gain: Difference | None
    """Over the first of them in that metric, image by image."""


@dataclass(frozen=True)
class Code:
    """Where Git has the numbers."""

    commit: str
    day: str
    differs: list[str]
    """The files of `DECIDES` that are not as in the commit."""
    numbers: list[str] | None
    """The commit and the day of the last change of the row's numbers. None: no commit has them, or not all commits are
    in this clone."""


@dataclass(frozen=True)
class Card:
    name: str
    section: str
    kind: str
    """Of the observation."""
    observation: str
    """What the row is given: an observation, or a part of it; of baselines, the row itself."""
    dataset: str
    cases: dict[str, Case]
    """Of an observation, its baselines, the best of a level first. Empty: nothing was measured."""
    measured: Values | None
    """The row's provenance.json."""
    settings: Values
    """The section `metrics`."""
    parts: list[Part]
    """The row, then all that it was made of."""
    model: Values | None
    """The card of its model. None: it has none, or it was not pulled."""
    compute: Values | None
    """The section `compute`, as dvc.lock has it."""
    code: Code | str
    """In words where Git has no answer."""
    built_on: Values | None
    """The machine that made what is committed."""
    runs: list[Values]
    """Records of the last runs of the row's stages on this machine."""


def card(name: str) -> Card:
    """The card of a row of `reconstructors` or `searches`, or of the baselines of a row of `observations`.

    Raises:
        ParamsError: params.yaml is not what it should be, or has no such row; the text lists those that it has.
        AfterimageError: a file that says something about the row is broken.
    """
    data = params.load(stage.PARAMS)
    project = Project.read(stage.PARAMS)
    sections = {row: section for section in MEASURES for row in data.get(section) or {}}
    if name not in sections:
        known = ", ".join(sections) or "none"
        raise ParamsError(f"{stage.PARAMS}: there is no row `{name}`; there are {known}")
    section = sections[name]
    row = project.observations[name] if section == OBSERVED else project.reconstructors[name]
    kind = row["kind"] if section == OBSERVED else row["observes"]
    measuring = f"{MEASURES[section]}@{name}"
    stages = [f"train@{name}", measuring] if section == TRAINED else [measuring]
    lock = Lock.read()
    return Card(
        name=name,
        section=section,
        kind=kind,
        observation=row.get("observation", name),
        dataset=row["dataset"],
        cases=dict(_cases(project, kind, name, section)),
        measured=_checked(
            layout.measured(name) / PROVENANCE,
            images=str,
            observations=dict[str, str],
            lpips=str,
            metrics=dict[str, str],
            seeds=list[int],
        ),
        settings=project.metrics.model_dump(),
        parts=list(_parts(data, lock, section, name, measuring)),
        model=_checked(layout.model(name) / "card.json", words=str, parameters=int, epochs=int)
        if section == TRAINED
        else None,
        compute=lock.params(measuring).get("compute"),
        code=_code(kind, name),
        built_on=_checked(BUILT_ON, cpu=dict[str, str], packages=dict[str, str], python=str, system=str),
        runs=[record for each in stages if (record := _json(stage.RECORDS / f"{each}.json"))],
    )


def plain(value: Any) -> Any:
    """A card as JSON has it: dataclasses and intervals as objects, null for what is not finite."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Interval | Difference):
        return plain(value._asdict())
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _checked(path: Path, **kinds: Any) -> Values | None:
    """An object with these keys of these types."""
    if (found := _json(path)) is None:
        return None
    for key, kind in kinds.items():
        try:
            TypeAdapter(kind).validate_python(found.get(key), strict=True)
        except ValidationError:
            name = kind.__name__ if isinstance(kind, type) else str(kind)
            raise AfterimageError(f"{path}: `{key}` should be a {name}, found {found.get(key)!r}") from None
    return found


def _json(path: Path) -> Values | None:
    return read_json(path) if path.is_file() else None


# What it was made of


class Lock:
    """What dvc.lock says of the stages that ran."""

    def __init__(self, stages: Mapping[str, Any]):
        self._deps = {name: each["deps"] for name, each in stages.items()}
        self._makers = {out["path"]: name for name, each in stages.items() for out in each["outs"]}
        self._params = {name: _sections(each["params"].get(str(stage.PARAMS), {})) for name, each in stages.items()}

    @classmethod
    def read(cls) -> "Lock":
        if not LOCK.exists():
            return cls({})
        try:
            with parsing(AfterimageError, str(LOCK)):
                found = from_yaml(LOCK.read_bytes(), str(LOCK), AfterimageError)
                return cls(rebuilds.checked(found["stages"], str(LOCK)))
        except AfterimageError as error:
            raise AfterimageError(f"{LOCK}: not as DVC writes it; was it merged by hand? {error}") from None

    def params(self, name: str) -> Values:
        """The parameters that a stage ran with, as sections of rows; empty where it never ran."""
        return self._params.get(name, {})

    def behind(self, name: str, seen: frozenset[str] = frozenset()) -> Iterator[tuple[str, str, str | None]]:
        """What a stage read that stages before it made, and what those read: the maker, the path and its hash."""
        read = [
            (maker, dep["path"], dep.get("md5"))
            for dep in self._deps.get(name, ())
            for out, maker in self._makers.items()
            if maker not in seen and (dep["path"] == out or dep["path"].startswith(f"{out}/"))
        ]
        yield from read
        for maker, _, _ in read:
            yield from self.behind(maker, seen | {maker})


def _sections(values: Values) -> Values:
    """Rows by section, of what dvc.lock calls `section.row`, or `section` alone."""
    found: Values = {}
    for key, value in values.items():
        section, _, row = key.partition(".")
        found[section] = {**found.get(section, {}), row: value} if row else value
    return found


def _parts(data: Values, lock: Lock, section: str, name: str, measuring: str) -> Iterator[Part]:
    """The row, then the rows whose outputs were read, each with what was read of it first."""
    sections = {maker: section for section, maker in MAKES.items()}
    read: dict[tuple[str, str], tuple[str | None, str | None]] = {}
    for maker, path, md5 in lock.behind(measuring):
        kind, _, row = maker.partition("@")
        if kind in sections:
            read.setdefault((sections[kind], row), (path, md5))
    own = (section, name)
    for place in [own, *(each for each in read if each != own)]:
        then = lock.params(f"{MAKES[place[0]]}@{place[1]}")
        parameters = _row(then, LOCK, *place) if then else None
        today = _row(data, stage.PARAMS, *place) if place[1] in (data.get(place[0]) or {}) else None
        yield Part(*place, parameters, today, *read.get(place, (None, None)))


def _row(data: Values, path: Path, section: str, name: str) -> Values:
    found = params.resolved(data, path, section, name)
    if not isinstance(found, dict):
        raise AfterimageError(f"{path}: `{section}.{name}`: expected keys with values, found {found!r}")
    return found


# What was measured


def _cases(project: Project, kind: str, name: str, section: str) -> Iterator[tuple[str, Case]]:
    if section == OBSERVED:
        for level in project.levels(name) or [""]:
            for each in _best_first([each for each in project.plain_results(name, level) if _there(each.result)]):
                yield each.result.case, _case(project, each.result, [])
    elif any(layout.measured(name).rglob("intervals.json")):
        row = next(row for row in project.of(kind) if row.name == name)
        for case, result in row.results.items():
            level = case.partition("/")[0] if row.levels else ""
            beside = [each for each in project.plain_results(row.observation, level) if _there(each.result)]
            same = [each for each in beside if set(result.images) <= set(each.result.images)]
            rivals = [Baseline(each.method, each.result.on(result, project.metrics)) for each in same]
            yield case, _case(project, result, _best_first(rivals))


def _case(project: Project, result: Result, rivals: Sequence[Baseline]) -> Case:
    main = MAIN[result.kind]
    summary = read_json(layout.metrics(result.kind, result.row) / f"{result.case}.json")
    headline = [metric for metric in result.intervals if metric in summary]
    gain = None
    if rivals and main in result.intervals:
        keys, row = list(result.images), project.metrics
        before, after = ([each.column(main, keys)] for each in (rivals[0].result, result))
        gain = difference(before, after, result.groups, row.bootstrap, row.seed)
    return Case(
        images=len(result.images),
        groups=dict(sorted(Counter(result.groups).items())),
        metrics=result.intervals,
        headline=sorted(headline, key=lambda metric: metric != main),
        baselines={each.method: each.result.intervals for each in rivals},
        gain=gain,
    )


def _best_first(baselines: Sequence[Baseline]) -> list[Baseline]:
    """By the metric that rows of their kind are ranked by, which is in dB: more is better."""
    return sorted(baselines, key=lambda each: -each.result.intervals[MAIN[each.result.kind]].mean)


def _there(result: Result) -> bool:
    return (result.folder / "intervals.json").is_file()


# Where Git has it


def _code(kind: str, name: str) -> Code | str:
    numbers = [layout.measured(name).as_posix(), layout.metrics(kind, name).as_posix()]
    last = ("log", "--max-count=1", "--no-show-signature", "--format=%H %cs")
    try:
        shallow, prefix = _said("rev-parse", "--is-shallow-repository", "--show-prefix").splitlines()
        commit, day = _said(*last).split()
        status = _said("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--", *DECIDES)
        changed = _said(*last, "--", *numbers).split() if shallow == "false" else []
    except RevisionError as error:
        return str(error)
    differs = [entry[3:].removeprefix(prefix) for entry in status.split("\0") if entry]
    return Code(commit, day, differs, changed or None)


def _said(*words: str) -> str:
    return git(Path(), *words).decode(errors="replace")
