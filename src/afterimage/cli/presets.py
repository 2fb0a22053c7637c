"""Presets: overlays of params.yaml that set up one of the seeds at its full size, or another use.

A preset is a file `presets/<name>.yaml` with `about`, which is for people, and `params`, which goes over params.yaml:

- mappings merge, key by key; any other value takes the place of the one that was there;
- a row that is `null` goes, and with it every row that names it, as `dataset: photos` names the row `photos` of
  `datasets`, and `features: vgg16/relu3_3` the row `vgg16` of `encoders`.

Comments stay with the section or the row that they stand above, in both files.
"""

import io
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from afterimage.core import outputs, params
from afterimage.core.errors import ParamsError

Rows = dict[str, Any]


class Needs(params.Row):
    """What a preset takes, in words; the figures of `disk` in GB (10^9 bytes) follow from the shapes."""

    download: str
    disk: dict[str, float]
    """By what takes it: `raw`, `shards`, `features` and so on."""
    memory: str
    gpu: str
    time: str


class About(params.Row):
    title: str
    reproduces: str
    """Which seed, and what of it."""
    differs: str | None = None
    """What is not as in the seed."""
    first: str | None = None
    """What to do before `dvc repro`."""
    samples: dict[str, int] = Field(min_length=1)
    """How many samples the shards of each data set will hold; `needs` counts with them."""
    needs: Needs


class Change(NamedTuple):
    """What a preset did to a section: the rows that came, changed and went."""

    section: str
    added: list[str]
    changed: list[str]
    removed: list[str]


def names(folder: Path) -> list[str]:
    """The presets that there are."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def about(folder: Path, name: str) -> About:
    """What a preset says about itself.

    Raises:
        ParamsError: there is no such preset, or it does not say what it should.
    """
    return params.table(_file(folder, name), "about", About)


def apply(path: Path, folder: Path, name: str) -> list[Change]:
    """Lay a preset over the parameter file at `path`, which keeps its comments.

    Raises:
        ParamsError: there is no such preset, it is none, or it names what the parameter file does not have, as that of
            another preset does not.
    """
    preset = _file(folder, name)
    if not isinstance(overlay := params.load(preset).get("params"), dict):
        raise ParamsError(f"{preset}: `params` should be a mapping of sections")
    before = params.load(path)
    after = _overlaid(before, overlay, preset, path)
    parts = _entries(textwrap.dedent(_body(_entries(preset.read_text(encoding="utf-8"), 0)["params"])), 0)
    sections = {section: _entries(_body(text), 2) for section, text in parts.items()}
    written = [
        _section(text, after[section], before[section], sections.get(section, {}))
        for section, text in _entries(path.read_text(encoding="utf-8"), 0).items()
    ]
    tidy = _dumped(_yaml().load("".join(written)))
    if (found := _plain(tidy)) != after:
        raise AssertionError(f"{preset} over {path} came out as {found}, expected {after}")
    with outputs.file(path) as partial:
        partial.write_text(tidy, encoding="utf-8")
    return list(_changes(before, after))


def described(name: str, about: About, changes: list[Change]) -> str:
    """What a preset is, takes and did, for people."""
    disk = ", ".join(f"{what} {size:g}" for what, size in about.needs.disk.items())
    lines = [
        ("reproduces", about.reproduces),
        ("differs", about.differs),
        ("first", about.first),
        ("download", about.needs.download),
        ("disk", f"{sum(about.needs.disk.values()):.4g} GB ({disk})"),
        ("memory", about.needs.memory),
        ("gpu", about.needs.gpu),
        ("time", about.needs.time),
    ]
    said = [f"{name}: {about.title}", *(f"  {word:12}{text}" for word, text in lines if text)]
    for section, *rows in changes:
        signed = [f"{sign} {row}" for sign, group in zip("+~-", rows, strict=True) for row in group]
        said.append(f"{section}: {', '.join(signed)}")
    said.append(
        "`git diff params.yaml` shows each change, `dvc repro` builds it, `git checkout params.yaml` undoes it."
    )
    return "\n".join(said)


def _file(folder: Path, name: str) -> Path:
    path = folder / f"{name}.yaml"
    if not path.is_file():
        raise ParamsError(f"{path}: there is no such preset; there are {', '.join(names(folder)) or 'none'}")
    return path


# What comes out


def _overlaid(before: Rows, overlay: Rows, preset: Path, path: Path) -> Rows:
    """The parameters with a preset over them."""
    after = {section: dict(rows) for section, rows in before.items()}
    gone: set[tuple[str, str]] = set()
    for section, rows in overlay.items():
        if section not in before or not isinstance(rows, dict):
            raise ParamsError(f"{preset}: `{section}` is no section of {path} with rows")
        for row, value in rows.items():
            if value is None and row not in before[section]:
                raise ParamsError(
                    f"{preset}: takes out `{section}.{row}`, which {path} does not have; a preset goes over the "
                    f"default: `git checkout {path}` brings it back"
                )
            if value is None and isinstance(before[section][row], dict):
                gone.add((section, row))
        after[section] = _merged(before[section], rows)
    while gone:
        for section, row in gone:
            del after[section][row]
        gone = {
            (section, row)
            for section, rows in after.items()
            for row, value in rows.items()
            if isinstance(value, dict) and any(_missing(value, named, after, before) for named in before)
        }
    return after


def _merged(old: Rows, new: Rows) -> Rows:
    both = {
        key: _merged(old[key], value) if isinstance(value, dict) and isinstance(old.get(key), dict) else value
        for key, value in new.items()
    }
    return {**old, **both}


def _missing(row: Rows, section: str, after: Rows, before: Rows) -> bool:
    """Whether a row names a row of a section that was there and is no more."""
    named = row.get(section, row.get(section.removesuffix("s")))
    if section == "encoders" and named is None:
        named = row.get("features")
    if not isinstance(named, str):
        return False
    return named.partition("/")[0] in before[section] and named.partition("/")[0] not in after[section]


def _changes(before: Rows, after: Rows) -> Iterator[Change]:
    for section, rows in after.items():
        old = before[section]
        added = [row for row in rows if row not in old]
        changed = [row for row in rows if row in old and rows[row] != old[row]]
        removed = [row for row in old if row not in rows]
        if added or changed or removed:
            yield Change(section, added, changed, removed)


# How it is written


KEY = re.compile(r"( *)([^\s#:][^:]*):(\s|$)")


def _entries(text: str, indent: int) -> Rows:
    """The text of each entry of a mapping in block style, with the comments and empty lines above it."""
    entries: dict[str, str] = {}
    above, key = "", None
    for line in text.splitlines(keepends=True):
        match = KEY.match(line)
        if match and len(match[1]) == indent:
            key = str(_yaml(safe=True).load(match[2]))
            entries[key] = above + line
            above = ""
        elif key is None or not line.strip() or line.startswith(" " * indent + "#"):
            above += line
        else:
            entries[key] += above + line
            above = ""
    return entries


def _body(text: str) -> str:
    """An entry's text below the line of its key."""
    lines = text.splitlines(keepends=True)
    key = next(number for number, line in enumerate(lines) if KEY.match(line))
    return "".join(lines[key + 1 :])


def _section(text: str, after: Rows, before: Rows, new: dict[str, str]) -> str:
    """A section's text with other rows; `new` has the text of a preset's."""
    if after == before:
        return text
    body = _body(text)
    head = text[: len(text) - len(body)]
    old = _entries(body, 2)
    rows = [
        old[row] if row in old and before[row] == value else _row(old.get(row), new.get(row), row, value)
        for row, value in after.items()
    ]
    line = head.rstrip("\n").rpartition("\n")[2]
    key = line.partition(":")[0]
    head = head.removesuffix(f"{line}\n") + (f"{key}:\n" if rows else f"{key}: {{}}\n")
    return head + "".join(rows)


def _row(old: str | None, new: str | None, row: str, value: Any) -> str:
    """The text of a row that changed or came."""
    if old is None and new is not None:
        return new
    entry = _yaml().load(textwrap.dedent(old or f"{row}:\n"))
    given = _yaml().load(textwrap.dedent(new))[row] if new else value
    if isinstance(entry[row], dict):
        _put(entry[row], given)
    else:
        entry[row] = given
    return textwrap.indent(_dumped(entry), "  ")


def _put(entry: Any, given: Any) -> None:
    """Merge into what was read with its comments and style."""
    for key, value in given.items():
        if isinstance(value, dict) and isinstance(entry.get(key), dict):
            _put(entry[key], value)
        else:
            entry[key] = value


def _yaml(safe: bool = False) -> Any:
    """As DVC reads and writes params.yaml."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe") if safe else YAML()
    yaml.default_flow_style = False
    return yaml


def _plain(text: str) -> Rows:
    return _yaml(safe=True).load(text)


def _dumped(data: Any) -> str:
    stream = io.StringIO()
    _yaml().dump(data, stream)
    return stream.getvalue()
