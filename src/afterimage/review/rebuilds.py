"""Whether a run built what is committed again, bit for bit.

`dvc.lock` has the hash of every input and output of every stage, so two of them tell the first stage that went another
way. The bits are promised on any x86-64 machine with AVX2 (`core.compute`); `built-on.json` says which CPU made those
that are committed, so that a difference on another kind is told from one that cannot be.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from afterimage.core import compute, outputs, stage
from afterimage.core.errors import AfterimageError
from afterimage.core.parsing import from_json, from_yaml, parsing
from afterimage.review.revisions import Side

LOCK, PIPELINE, BUILT_ON = "dvc.lock", "dvc.yaml", "built-on.json"
KIND = ("machine", "vendor", "family", "model")
"""What makes two CPUs of one kind; `name` is for people."""

Stage = Mapping[str, Any]
"""A stage in dvc.lock."""


class Difference(NamedTuple):
    """A stage that is not the same in a rebuild."""

    stage: str
    inputs: list[str]
    """Code and parameters that are other ones; no outputs of other stages."""
    outputs: list[str]
    """What came out otherwise."""
    caused: bool
    """Whether its data came from a stage that differs."""


class Rebuild(NamedTuple):
    """A run beside what is committed."""

    stages: int
    differences: list[Difference]
    """In the order of the pipeline."""
    here: Mapping[str, str]
    """The CPU of this machine."""
    there: Mapping[str, str] | None
    """The CPU that what is committed was built on; None where that is not said."""

    @property
    def same_kind(self) -> bool:
        return self.there is not None and all(self.here.get(key) == self.there.get(key) for key in KIND)

    @property
    def first(self) -> Difference | None:
        """The stage that did something else with the same code, parameters and data."""
        return next((found for found in self.differences if not found.inputs and not found.caused), None)

    @property
    def of_other_code(self) -> list[Difference]:
        """Stages that ran with other code or parameters than what is committed was made with."""
        return [found for found in self.differences if found.inputs]


def compare(committed: Side, run: Side) -> Rebuild:
    """Compare the run that a side holds with what is committed.

    Raises:
        AfterimageError: one of them has no dvc.lock, or a file cannot be read.
    """
    before, after = _stages(committed), _stages(run)
    with parsing(AfterimageError, f"{run.name}: {PIPELINE}: its stages are not as DVC reads them"):
        groups = [str(group) for group in (_yaml(run, PIPELINE) or {}).get("stages") or {}]
    order = {group: place for place, group in enumerate(groups)}
    names = sorted({**before, **after}, key=lambda name: order.get(name.partition("@")[0], len(order)))
    made = {out["path"] for locked in (before, after) for each in locked.values() for out in each["outs"]}
    differences = list(_differences(names, before, after, made))
    return Rebuild(len(names), differences, compute.cpu(), _built_on(committed))


def record(project: Path) -> Path:
    """Write what this machine is beside dvc.lock, to be committed with it."""
    outputs.write_json(project / BUILT_ON, stage.machine())
    return project / BUILT_ON


def shown(cpu: Mapping[str, str] | None) -> str:
    """A CPU in a few words."""
    if not cpu:
        return "an unknown CPU"
    kind = "/".join(cpu[key] for key in KIND if key in cpu)
    return f"{cpu['name']} ({kind})" if "name" in cpu else kind


def _differences(
    names: list[str], before: Mapping[str, Stage], after: Mapping[str, Stage], made: set[str]
) -> Iterator[Difference]:
    for name in names:
        old, new = before.get(name), after.get(name)
        if old is None or new is None:
            yield Difference(name, [f"only {'here' if old is None else 'committed'}"], [], False)
            continue
        deps = _unequal(_hashes(old, "deps"), _hashes(new, "deps"))
        data = [path for path in deps if any(path == out or _within(path, out) or _within(out, path) for out in made)]
        code = [path for path in deps if path not in data]
        code += _unequal(old["params"], new["params"])
        outs = _unequal(_hashes(old, "outs"), _hashes(new, "outs"))
        if code or outs:
            yield Difference(name, code, outs, bool(data))


def _within(path: str, folder: str) -> bool:
    return path.startswith(f"{folder}/")


def _hashes(locked: Stage, what: str) -> dict[str, str]:
    return {each["path"]: each.get("md5", "") for each in locked[what]}


def _unequal(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [name for name in {**old, **new} if old.get(name) != new.get(name)]


def _stages(side: Side) -> Mapping[str, Stage]:
    found = _yaml(side, LOCK)
    if found is None:
        raise AfterimageError(f"{side.name}: there is no {LOCK}, so nothing was built; `dvc repro` builds it")
    return checked(found.get("stages") or {}, f"{side.name}: {LOCK}")


def checked(stages: Any, where: str) -> Mapping[str, Stage]:
    """The stages of a dvc.lock, each with its lists `deps` and `outs`, and with `params` as mappings of a file's keys.

    Raises:
        AfterimageError: they are not as DVC writes them.
    """
    with parsing(AfterimageError, f"{where}: not as DVC writes it"):
        return {_text(name): _locked(locked) for name, locked in stages.items()}


def _locked(locked: Any) -> Stage:
    files = {what: [dict(each) for each in locked.get(what) or ()] for what in ("deps", "outs")}
    for each in [*files["deps"], *files["outs"]]:
        _text(each["path"])
        _text(each.get("md5", ""))
    params = {
        _text(path): {_text(key): value for key, value in values.items()}
        for path, values in (locked.get("params") or {}).items()
    }
    return {**locked, **files, "params": params}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a text, found {value!r}")
    return value


def _yaml(side: Side, path: str) -> Mapping[str, Any] | None:
    data = side.read(path)
    if data is None:
        return None
    found = from_yaml(data, f"{side.name}: {path}", AfterimageError)
    if not isinstance(found, dict):
        raise AfterimageError(f"{side.name}: {path}: expected a mapping, found {type(found).__name__}")
    return found


def _built_on(side: Side) -> Mapping[str, str] | None:
    data = side.read(BUILT_ON)
    if data is None:
        return None
    found = from_json(data, f"{side.name}: {BUILT_ON}", AfterimageError).get("cpu")
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise AfterimageError(f"{side.name}: {BUILT_ON}: does not say which CPU it was")
    return found
