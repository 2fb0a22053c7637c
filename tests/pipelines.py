"""dvc.yaml filled with the rows of a params.yaml, as tests look at it."""

import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from conftest import ROOT, load_yaml

from afterimage.core import layout

Values = dict[str, Any]

PLACES = (
    layout.raw("*"),
    layout.shards("*"),
    layout.weights("*"),
    layout.observation("*"),
    layout.model("*"),
    layout.reconstructions("*"),
    layout.metrics("*", "*"),
    layout.measured("*"),
    layout.validation("*"),
)


def load() -> tuple[Values, Values]:
    """The project's own pipeline and parameters."""
    return load_yaml(ROOT / "dvc.yaml"), load_yaml(ROOT / "params.yaml")


def templates(pipeline: Values) -> dict[str, Values]:
    """The stages of dvc.yaml as they are written, those of a `foreach` as their `do`."""
    return {name: stage.get("do", stage) for name, stage in pipeline["stages"].items()}


def resolved(pipeline: Values, params: Values) -> Iterator[tuple[str, Values]]:
    """Each stage with the values of its row; KeyError for a `${...}` that is not in params.yaml."""
    for name, stage in pipeline["stages"].items():
        if "foreach" not in stage:
            yield name, _filled(stage, params)
            continue
        for key, item in _filled(stage["foreach"], params).items():
            yield f"{name}@{key}", _filled(stage["do"], {**params, "key": key, "item": item})


def found(name: str, known: Values) -> Any:
    """The value of `reconstructors.pix2pix`; KeyError where there is none."""
    value: Any = known
    for part in name.split("."):
        if not isinstance(value, dict) or part not in value:
            raise KeyError(name)
        value = value[part]
    return value


def paths(entries: list[Any]) -> list[str]:
    """Paths of deps, outs or metrics, which are words or mappings of a word to its options."""
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def outs(stage: Values) -> list[str]:
    """Paths of all that a stage writes."""
    return [path for kind in ("outs", "metrics", "plots") for path in paths(stage.get(kind, []))]


def wrong_paths(pipeline: Values, params: Values) -> list[str]:
    """Paths that are not where the code looks, deps that no stage makes, and params that are not there."""
    stages = dict(resolved(pipeline, params))
    made = {Path(path) for stage in stages.values() for path in outs(stage)}
    wrong = []
    for name, stage in stages.items():
        for dep, path in [*((True, path) for path in paths(stage["deps"])), *((False, path) for path in outs(stage))]:
            known = path.startswith(("data/", "metrics/", "reports/measured/", "reports/validation/"))
            if known and not any(_at(Path(path), place, dep) for place in PLACES):
                wrong.append(f"{name}: `{path}` is no place of afterimage.core.layout")
        for path in paths(stage["deps"]):
            if path.split("/")[0] in ("data", "metrics", "reports"):
                if not any(out == Path(path) or out in Path(path).parents or Path(path) in out.parents for out in made):
                    wrong.append(f"{name}: no stage makes `{path}`")
            elif not (ROOT / path).exists():
                wrong.append(f"{name}: there is no `{path}`")
        for entry in stage.get("params", []):
            try:
                found(entry, params)
            except KeyError:
                wrong.append(f"{name}: there is no parameter `{entry}`")
    return wrong


def _at(path: Path, place: Path, dep: bool) -> bool:
    """Whether a path is a place; a dep may also be inside of one, or be the folder that holds some."""
    alike = all(fnmatch(part, pattern) for part, pattern in zip(path.parts, place.parts, strict=False))
    return alike and (dep or len(path.parts) == len(place.parts))


def _filled(value: Any, known: Values) -> Any:
    if isinstance(value, dict):
        return {_filled(key, known): _filled(item, known) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, known) for item in value]
    if not isinstance(value, str):
        return value
    if whole := re.fullmatch(r"\$\{([^}]+)\}", value):
        return found(whole[1], known)
    return re.sub(r"\$\{([^}]+)\}", lambda match: str(found(match[1], known)), value)
