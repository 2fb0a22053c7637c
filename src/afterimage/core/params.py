"""Typed rows of params.yaml.

A section of params.yaml is a mapping of rows; the class of a section's rows lives with the code that the row
configures. A row says what is its own: what the rows of a kind have in common stands once in the section `shared`,
under the row's `kind` (of a data set: its `source`), and what all training has in common in the section `training`.
What a row says itself goes first.

Reading goes through ruamel.yaml, as DVC's does, so that both see the same values.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from afterimage.core.errors import ParamsError, shortened
from afterimage.core.parsing import LONGEST, from_yaml

SHARED, TRAINING = "shared", "training"
RENAMED = {
    "decoders": "`reconstructors` with `kind: decoder`",
    "inversions": "`searches` with `kind: inversion`",
    "inpainters": "`reconstructors` with `kind: pix2pix`",
    "completers": "`reconstructors` with `kind: pixelrnn`",
    "restorers": "`reconstructors` with `kind: autoencoder`",
    "holes": "`observations` with `kind: holes`",
    "degradations": "`observations` with `kind: frames`",
}
"""Sections of earlier versions, and what their rows are called now."""
MEASURED = ("observations", "reconstructors", "searches")
"""Sections whose rows have folders in the same places, such as `metrics`, so that no two may have one name."""


class Row(BaseModel):
    """Base of all rows: frozen, strictly typed, and no key but those it declares."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @classmethod
    def kind_of(cls, value: Any) -> type[Self]:
        """The class for this row: itself, unless the rows of a section come in kinds that a key tells apart."""
        return cls


R = TypeVar("R", bound=Row)
Values = dict[str, Any]


def load(path: Path) -> Values:
    """Read a parameter file as plain data.

    Raises:
        ParamsError: the file is missing, is not YAML, is not a mapping, has sections of an earlier version, or two
            rows of one name that would share a folder.
    """
    try:
        data = from_yaml(path.read_bytes(), str(path), ParamsError)
    except FileNotFoundError:
        raise ParamsError(f"{path}: there is no such parameter file") from None
    if not isinstance(data, dict):
        raise ParamsError(f"{path}: expected sections with rows, found {type(data).__name__}")
    _check_shape(data, path)
    if old := [name for name in RENAMED if name in data]:
        renamed = "; ".join(f"rows of `{name}` are now rows of {RENAMED[name]}" for name in old)
        raise ParamsError(f"{path}: {renamed}; docs/upgrading.md has an example of each")
    _check_names(data, path)
    return data


def _check_shape(data: Values, path: Path) -> None:
    """That what is read as sections, rows and keys by names is that."""
    for section, rows in data.items():
        if not isinstance(rows, dict | None):
            raise ParamsError(f"{path}: `{section}` should be a mapping, found {_shown(rows)}")
    for group, values in (data.get(SHARED) or {}).items():
        if not isinstance(values, dict | None):
            raise ParamsError(f"{path}: `{SHARED}.{group}` should be a mapping, found {_shown(values)}")
    for section in MEASURED:
        for name in data.get(section) or {}:
            if not isinstance(name, str) or name.startswith("/") or {"", ".", ".."} & set(name.split("/")):
                raise ParamsError(f"{path}: `{section}`: {_shown(name)} is no name of a row, and of its folders")
    _check_keys(data, path)


def _check_keys(value: Any, path: Path) -> None:
    for key in value if isinstance(value, dict) else ():
        if not isinstance(key, str):
            raise ParamsError(f"{path}: expected a name as the key, found {_shown(key)}")
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_keys(each, path)


def _check_names(data: Values, path: Path) -> None:
    first: dict[str, str] = {}
    for section in MEASURED:
        rows = data.get(section)
        for name in rows if isinstance(rows, dict) else ():
            if name in first:
                raise ParamsError(
                    f"{path}: `{section}` has a row `{name}`, and so has `{first[name]}`: their results lie in folders "
                    f"of that name, so rows of {', '.join(MEASURED[:-1])} and {MEASURED[-1]} need names of their own"
                )
            first[name] = section


def section(path: Path, name: str, row_type: type[R]) -> dict[str, R]:
    """All rows of a section, by their names, in the order of the file.

    Raises:
        ParamsError: the section is missing, or one of its rows is wrong.
    """
    return {key: row(path, name, key, row_type) for key in _section(load(path), path, name)}


def row(path: Path, name: str, key: str, row_type: type[R]) -> R:
    """One row of a section, with what it shares with others.

    Raises:
        ParamsError: there is no such section or row, or a key of the row is unknown, missing or of the wrong type.
    """
    data = load(path)
    merged = resolved(data, path, name, key)
    return _typed(path, f"{name}.{key}", merged, row_type, data)


def values(path: Path, name: str, key: str) -> Values:
    """One row as plain data, with what it shares with others.

    Raises:
        ParamsError: there is no such section or row.
    """
    return resolved(load(path), path, name, key)


def resolved(data: Values, path: Path, name: str, key: str) -> Any:
    """One row of sections that were read already, as `values`; `path` is where they come from, for messages."""
    rows = _section(data, path, name)
    if key not in rows:
        raise ParamsError(f"{path}: `{name}` has no row `{key}`; it has {_listed(rows)}")
    own = rows[key]
    group = group_of(own)
    if group is None:
        return own
    found = merged((data.get(SHARED) or {}).get(group) or {}, own)
    if isinstance(found.get(TRAINING), dict):
        found[TRAINING] = merged(data.get(TRAINING) or {}, found[TRAINING])
    return found


def table(path: Path, name: str, row_type: type[R]) -> R:
    """A section that is one row by itself, such as `report`."""
    data = load(path)
    return _typed(path, name, _section(data, path, name), row_type, {})


def merged(shared: Mapping[str, Any], own: Mapping[str, Any]) -> Values:
    """Two mappings in one, key by key, however deep; what is `own` goes first."""
    both = {
        key: merged(shared[key], value) if isinstance(value, dict) and isinstance(shared.get(key), dict) else value
        for key, value in own.items()
    }
    return {**shared, **both}


def group_of(own: Any) -> str | None:
    """What a row calls the group of rows that it shares values with."""
    found = own.get("source", own.get("kind")) if isinstance(own, dict) else None
    return found if isinstance(found, str) else None


def _section(data: Values, path: Path, name: str) -> Values:
    if name not in data:
        raise ParamsError(f"{path}: section `{name}` is missing; there are {_listed(data)}")
    if not isinstance(data[name], dict):
        raise ParamsError(f"{path}: `{name}` should be a mapping, found {_shown(data[name])}")
    return data[name]


def typed(where: str, value: Any, row_type: type[R], place: Callable[[list[str]], str] | None = None) -> R:
    """A value as a row.

    Args:
        where: it comes from, for messages.
        place: names the value in the message, given its keys within the row.

    Raises:
        ParamsError: a key is unknown, missing or of the wrong type; the text names the first.
    """
    row_type = row_type.kind_of(value)
    try:
        return row_type.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        keys = [str(part) for part in first["loc"]]
        name = place(keys) if place else ".".join(keys)
        if first["type"] == "extra_forbidden":
            problem = f"unknown key; the keys are {_listed(row_type.model_fields)}"
        elif first["type"] == "missing":
            problem = "this key is missing"
        else:
            text = first["msg"].removeprefix("Value error, ")
            problem = f"{text[:1].lower()}{text[1:]}"
            if first["type"] != "value_error" or not isinstance(first["input"], dict):  # not a whole row that conflicts
                problem = f"{_shown(first['input'])}: {problem}"
        more = error.error_count() - 1
        rest = f" (and {more} more like it)" if more else ""
        raise ParamsError(": ".join(part for part in (where, name and f"`{name}`", problem + rest) if part)) from None


def _typed(path: Path, where: str, value: Any, row_type: type[R], data: Values) -> R:
    return typed(str(path), value, row_type, lambda keys: _place(where, keys, data))


def _place(where: str, keys: list[str], data: Values) -> str:
    """Where a value stands that a row has: in the row, or in what it shares."""
    section, _, row = where.partition(".")
    own = data.get(section, {}).get(row)
    places = [[section, row, *keys], [SHARED, group_of(own) or "", *keys], *([keys] if keys[:1] == [TRAINING] else [])]
    for place in places:
        value: Any = data
        for key in place:
            value = value.get(key, _NOTHING) if isinstance(value, dict) else _NOTHING
        if value is not _NOTHING:
            return ".".join(place)
    return ".".join([where, *keys])


_NOTHING = object()


def _shown(value: Any) -> str:
    return shortened(repr(value), LONGEST)


def _listed(names: Any) -> str:
    return ", ".join(str(name) for name in names) or "none"
