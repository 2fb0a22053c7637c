"""Typed rows of params.yaml.

A section of params.yaml is a mapping of rows; the class of a section's rows lives with the code that the row
configures. Reading goes through ruamel.yaml, as DVC's does, so that both see the same values.
"""

from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from afterimage.errors import ParamsError


class Row(BaseModel):
    """Base of all rows: frozen, strictly typed, and no key but those it declares."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @classmethod
    def kind(cls, value: Any) -> type[Self]:
        """The class for this row: itself, unless the rows of a section come in kinds that a key tells apart."""
        return cls


R = TypeVar("R", bound=Row)


def load(path: Path) -> dict[str, Any]:
    """Read a parameter file as plain data.

    Raises:
        ParamsError: the file is missing, is not YAML, or is not a mapping.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError

    try:
        data = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path}: there is no such parameter file") from None
    except MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ParamsError(f"{path}{line}: not valid YAML: {error.problem}") from None
    if not isinstance(data, dict):
        raise ParamsError(f"{path}: expected sections with rows, found {type(data).__name__}")
    return data


def section(path: Path, name: str, row_type: type[R]) -> dict[str, R]:
    """All rows of a section, by their names, in the order of the file.

    Raises:
        ParamsError: the section is missing, or one of its rows is wrong.
    """
    rows = _section(path, name)
    return {key: _typed(path, f"{name}.{key}", value, row_type) for key, value in rows.items()}


def row(path: Path, name: str, key: str, row_type: type[R]) -> R:
    """One row of a section.

    Raises:
        ParamsError: there is no such section or row, or a key of the row is unknown, missing or of the wrong type.
    """
    rows = _section(path, name)
    if key not in rows:
        raise ParamsError(f"{path}: `{name}` has no row `{key}`; it has {_listed(rows)}")
    return _typed(path, f"{name}.{key}", rows[key], row_type)


def table(path: Path, name: str, row_type: type[R]) -> R:
    """A section that is one row by itself, such as `report`."""
    return _typed(path, name, _section(path, name), row_type)


def _section(path: Path, name: str) -> dict[str, Any]:
    data = load(path)
    if name not in data:
        raise ParamsError(f"{path}: section `{name}` is missing; there are {_listed(data)}")
    if not isinstance(data[name], dict):
        raise ParamsError(f"{path}: `{name}` should be a mapping, found {data[name]!r}")
    return data[name]


def _typed(path: Path, where: str, value: Any, row_type: type[R]) -> R:
    row_type = row_type.kind(value)
    try:
        return row_type.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join([where, *(str(part) for part in first["loc"])])
        if first["type"] == "extra_forbidden":
            problem = f"unknown key; the keys are {_listed(row_type.model_fields)}"
        elif first["type"] == "missing":
            problem = "this key is missing"
        else:
            text = first["msg"].removeprefix("Value error, ")
            problem = f"{first['input']!r}: {text[:1].lower()}{text[1:]}"
        more = error.error_count() - 1
        rest = f" (and {more} more like it)" if more else ""
        raise ParamsError(f"{path}: `{name}`: {problem}{rest}") from None


def _listed(names: Any) -> str:
    return ", ".join(str(name) for name in names) or "none"
