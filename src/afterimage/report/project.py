"""What the report is made of: the rows of params.yaml, and what their stages left.

Rows are plain data here. Their classes import torch, which takes seconds, and the report shows any kind of
reconstructor alike; what a reconstructor says of itself is in the card of its model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pydantic import Field

from afterimage.core import layout, params
from afterimage.core.errors import ParamsError
from afterimage.evaluation.metrics import MetricsRow
from afterimage.evaluation.results import Baseline, Result, cases, read_csv, read_json
from afterimage.observations import PART, row_of

Values = dict[str, Any]

TRAINED, SEARCHED = "reconstructors", "searches"


class ReportRow(params.Row):
    """The section `report`."""

    images: int = Field(gt=0)
    """Test images in each grid."""


@dataclass(frozen=True)
class Rows:
    """The rows that are measured, with what they share, in the order of params.yaml."""

    observations: Mapping[str, Values]
    reconstructors: Mapping[str, Values]
    """The rows of both sections."""
    searched: frozenset[str]
    """Names of rows that are not trained: those of the section `searches`."""
    baselines: Mapping[str, Sequence[str]]
    """Methods by kind of observation."""

    @classmethod
    def plain(cls, path: Path) -> Values:
        """The fields of this class.

        Raises:
            ParamsError: the file or a row is not what it should be, or a row names an observation that is not there.
        """
        data = params.load(path)
        observations = _rows(path, data, "observations", ("kind", "dataset"))
        named = ("kind", "dataset", "observes", "observation")
        for name, row in observations.items():
            for key, kind in (("layers", list), ("levels", dict)):
                if not isinstance(row.get(key), kind | None):
                    raise ParamsError(f"{path}: `observations.{name}.{key}`: expected a {kind.__name__}")
        baselines = data.get("baselines") or {}
        for kind, methods in baselines.items():
            if not isinstance(methods, list | None) or not all(isinstance(method, str) for method in methods or []):
                raise ParamsError(f"{path}: `baselines{kind and '.'}{kind}`: expected a list of names")
        sections = {section: _rows(path, data, section, named) for section in (TRAINED, SEARCHED)}
        for section, rows in sections.items():
            for name, row in rows.items():
                _check(f"{path}: `{section}.{name}", row, observations)
        return {
            "observations": observations,
            "reconstructors": sections[TRAINED] | sections[SEARCHED],
            "searched": frozenset(sections[SEARCHED]),
            "baselines": baselines,
        }

    @classmethod
    def read(cls, path: Path) -> Self:
        return cls(**cls.plain(path))

    def of(self, kind: str) -> list["Reconstructor"]:
        """The reconstructors that are given this kind of observation."""
        return [row for row in self._all if row.row["observes"] == kind]

    @cached_property
    def _all(self) -> list["Reconstructor"]:
        found = []
        for name, row in self.reconstructors.items():
            trained = self.reconstructors.get(row.get("decoder") or name, row)
            levels = tuple(self.levels(row_of(row["observation"])))
            found.append(Reconstructor(name, row, name not in self.searched, levels, trained.get("levels")))
        return found

    def levels(self, observation: str) -> list[str]:
        """The levels of damage of an observation; none where it has but one case."""
        return list(self.observations[observation].get("levels") or {})

    def plain_results(self, observation: str, level: str = "") -> list[Baseline]:
        """The baselines of an observation, at one of its levels where it has any."""
        place = f"{level}/" if level else ""
        methods = self.baselines.get(self.observations[observation]["kind"]) or []
        return [Baseline(method, self._plain[observation, f"{place}{method}"]) for method in methods]

    @cached_property
    def _plain(self) -> dict[tuple[str, str], Result]:
        """The results of all baselines, each read but once."""
        return {
            (name, case): Result(row["kind"], name, case)
            for name, row in self.observations.items()
            for level in self.levels(name) or [""]
            for method in self.baselines.get(row["kind"]) or []
            for case in [f"{level}/{method}" if level else method]
        }


@dataclass(frozen=True)
class Project(Rows):
    """All that the report is made of."""

    datasets: Mapping[str, Values]
    encoders: Mapping[str, Values]
    metrics: MetricsRow
    report: ReportRow

    @classmethod
    def plain(cls, path: Path) -> Values:
        data = params.load(path)
        return {
            **super().plain(path),
            "datasets": _rows(path, data, "datasets", ("source",)),
            "encoders": data.get("encoders") or {},
            "metrics": params.table(path, "metrics", MetricsRow),
            "report": params.table(path, "report", ReportRow),
        }

    def rivals(self, result: Result, observation: str, level: str = "") -> list[Baseline]:
        """The baselines of an observation, on the images that a result was measured on."""
        return [
            Baseline(each.method, each.result.on(result, self.metrics))
            for each in self.plain_results(observation, level)
        ]


@dataclass(frozen=True)
class Reconstructor:
    """A row of `reconstructors` or `searches`, with what its stages left."""

    name: str
    row: Values
    trained: bool
    levels: tuple[str, ...] = ()
    """Those that it is measured at."""
    trained_on: Sequence[str] | None = None
    """The levels that it, or the row whose model it takes, was trained on; None where there is no such choice."""

    @property
    def observation(self) -> str:
        """The row of `observations` that it is measured on."""
        return row_of(self.row["observation"])

    @property
    def part(self) -> str:
        """The part of the observation that it is given, such as a layer; empty for all of it."""
        return str(self.row["observation"]).partition(PART)[2]

    @property
    def model(self) -> Path:
        return layout.model(self.name)

    @cached_property
    def card(self) -> Values:
        """The card of the model; empty where nothing is trained."""
        return read_json(self.model / "card.json") if self.trained else {}

    @cached_property
    def results(self) -> dict[str, Result]:
        """By case."""
        return {case: Result(self.row["observes"], self.name, case) for case in cases(self.name, self.levels)}

    @property
    def first(self) -> Result:
        return next(iter(self.results.values()))

    @cached_property
    def curves(self) -> list[dict[str, str]]:
        """A line an epoch; none where nothing was trained."""
        path = self.model / "curves.csv"
        return read_csv(path) if self.trained and path.is_file() else []

    def is_for(self, level: str) -> bool:
        """Whether it was made for a level; at others it is measured, too, but nobody claims that it is of use."""
        return self.trained_on is None or level in self.trained_on

    @property
    def words(self) -> str:
        """A few words about it, for tables."""
        return str(self.card.get("words") or self.row["kind"]) if self.trained else f"{self.row['kind']}, not trained"

    @property
    def parameters(self) -> str:
        """The number of its parameters in groups of three digits; empty where it has none."""
        count = self.card.get("parameters") or 0
        return f"{count:,}".replace(",", "\u202f") if count else ""


def _rows(path: Path, data: Values, section: str, needed: Sequence[str]) -> dict[str, Values]:
    found = {}
    for name, own in (data.get(section) or {}).items():
        if not isinstance(own, dict):
            raise ParamsError(f"{path}: `{section}.{name}`: expected keys with values, found {own!r}")
        shared = (data.get(params.SHARED) or {}).get(params.group_of(own) or "") or {}
        found[name] = params.merged(shared, own)
        for key in needed:
            if not isinstance(found[name].get(key), str):
                raise ParamsError(f"{path}: `{section}.{name}.{key}`: expected a name, found {found[name].get(key)!r}")
    return found


def _check(where: str, row: Values, observations: Mapping[str, Values]) -> None:
    name, _, part = row["observation"].partition(PART)
    if name not in observations:
        there = ", ".join(observations) or "none"
        raise ParamsError(f"{where}.observation`: there is no row `{name}` in `observations`; there are {there}")
    observation = observations[name]
    if observation["kind"] != row["observes"]:
        raise ParamsError(
            f"{where}.observes`: {row['observes']!r}, but `{name}` is of the kind {observation['kind']!r}"
        )
    parts = [str(part) for part in observation.get("layers") or observation.get("levels") or []]
    if part and part not in parts:
        keeps = ", ".join(parts) or "none"
        raise ParamsError(f"{where}.observation`: `{part}` is no part that `observations.{name}` keeps: {keeps}")
