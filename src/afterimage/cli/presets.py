"""Presets: overlays of params.yaml that set up one of the seeds at its full size, or another use.

A preset is a file `presets/<name>.yaml` with `about`, which is for people, and `params`, which goes over params.yaml:

- mappings merge, key by key; any other value takes the place of the one that was there;
- a row that is `null` goes, and with it every row that names it, as `dataset: photos` names the row `photos` of
  `datasets`, and every encoder that no observation reads any more.

Comments stay with the section or the row that they stand above, in both files. What was measured with the parameters
before is moved out of the way, so that no table shows it beside rows that it is not of.
"""

import io
import re
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from afterimage.core import layout, outputs, params
from afterimage.core.errors import ParamsError
from afterimage.core.parsing import parsing
from afterimage.observations import KINDS, row_of

Rows = dict[str, Any]

NAMES = {"dataset": "datasets", "observation": "observations", "decoder": "reconstructors"}
"""Keys of rows that name a row of another section, or a part of one."""
RESULTS = (
    "metrics",
    "reports/measured",
    "reports/tables",
    "reports/figures",
    "reports/index.html",
    "reports/validation.html",
    "reports/validation",
)
"""What a run writes of its rows beside data/."""
ASIDE = Path(".afterimage/before-preset")
"""Where the results of the parameters before a preset are kept."""


class Needs(params.Row):
    """What a preset takes, in words; the figures of `disk` in GB (10^9 bytes) follow from the shapes."""

    download: str
    disk: dict[str, float]
    """By what takes it: `raw`, `shards`, `features`, `weights`."""
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
    with parsing(ParamsError, f"{preset} cannot be laid over {path}; both need rows of keys and values in block style"):
        after = _overlaid(before, overlay, preset, path)
        tidy = _written(path, preset, before, after)
    with outputs.file(path) as partial:
        partial.write_text(tidy, encoding="utf-8")
    return list(_changes(before, after))


def _written(path: Path, preset: Path, before: Rows, after: Rows) -> str:
    """The text of the parameter file with a preset over it."""
    parts = _entries(textwrap.dedent(_body(_entries(preset.read_text(encoding="utf-8"), 0)["params"])), 0)
    sections = {section: _entries(_body(text), 2) for section, text in parts.items()}
    text = path.read_text(encoding="utf-8")
    end = re.search(r"(^(#.*)?\n)*\Z", text, re.MULTILINE)
    assert end is not None
    written = [
        _section(section_text, after[section], before[section], sections.get(section, {}))
        for section, section_text in _entries(text[: end.start()], 0).items()
    ]
    tidy = _dumped(_yaml().load("".join(written) + end[0]))
    if (found := _plain(tidy)) != after:
        raise AssertionError(f"it came out as {found}, expected {after}")
    return tidy


def set_aside(project: Path) -> list[str]:
    """Move what was measured out of a project, so that nothing shows numbers of other rows; returns what was moved.

    It replaces what an earlier call moved. Each row of params.yaml gets an empty folder for its metrics, and so do the
    plots of dvc.yaml that are folders: DVC warns of files that are not there, but not of folders without any.
    """
    moved = [name for name in RESULTS if (project / name).exists() and not _hollow(project / name)]
    if moved:
        if (project / ASIDE).exists():
            shutil.rmtree(project / ASIDE)
        for name in moved:
            (project / ASIDE / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(project / name, project / ASIDE / name)
    shutil.rmtree(project / "metrics", ignore_errors=True)
    data = params.load(project / "params.yaml")
    for section in params.MEASURED:
        for name, row in (data.get(section) or {}).items():
            with parsing(ParamsError, f"params.yaml: `{section}.{name}`"):
                kind = row["kind"] if section == "observations" else row["observes"]
                if kind not in KINDS:
                    raise ValueError(f"{kind!r} is no kind of observation")
                (project / layout.metrics(kind, name)).mkdir(parents=True)
    for folder in _plots(project / "dvc.yaml"):
        (project / folder).mkdir(parents=True, exist_ok=True)
    return moved


def _plots(pipeline: Path) -> Iterator[str]:
    """The folders that dvc.yaml plots the files of."""
    found = _plain(pipeline.read_text(encoding="utf-8")).get("plots") if pipeline.is_file() else None
    for plot in found or []:
        name = plot if isinstance(plot, str) else next(iter(plot))
        if name.startswith("reports/") and not Path(name).suffix:
            yield name


def _hollow(path: Path) -> bool:
    """Whether there are only folders in a folder."""
    return path.is_dir() and all(inside.is_dir() for inside in path.rglob("*"))


def described(name: str, about: About, changes: list[Change], moved: list[str]) -> str:
    """What a preset is, takes and did, for people.

    Args:
        moved: what `set_aside` returned.
    """
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
    if moved:
        said.append(
            f"{', '.join(moved)} are of the parameters before and were moved to {ASIDE}; "
            "`git checkout params.yaml metrics reports` brings them back where they are in Git."
        )
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
        if section in params.RENAMED:
            raise ParamsError(f"{preset}: rows of `{section}` are now rows of {params.RENAMED[section]}")
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
        after[section] = params.merged(before[section], rows)
    while gone:
        for section, row in gone:
            del after[section][row]
        gone = {
            (section, row)
            for section, rows in after.items()
            for row, value in rows.items()
            if section in params.MEASURED and _missing(value, after, before)
        }
    kept = _encoders(after) | set(overlay.get("encoders", {}))
    for row in _encoders(before) - kept:
        after["encoders"].pop(row, None)
    return after


def _missing(row: Rows, after: Rows, before: Rows) -> bool:
    """Whether a row names a row that was there and is no more."""
    named = [(section, row_of(row[key])) for key, section in NAMES.items() if isinstance(row.get(key), str)]
    named += [("encoders", name) for name in _encoder(row)]
    return any(name in before.get(section, {}) and name not in after[section] for section, name in named)


def _encoders(data: Rows) -> set[str]:
    """The encoders whose weights some observation reads."""
    return {name for row in data.get("observations", {}).values() for name in _encoder(row)}


def _encoder(row: Rows) -> list[str]:
    """The encoder whose weights a row reads, if it does."""
    path = Path(str(row.get("path")))
    return [path.stem] if path == layout.weights(path.stem) else []


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
    if key is not None:
        entries[key] += above
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
    line = head.rstrip("\n").rpartition("\n")[2]
    key, _, rest = line.partition(":")
    if rest.strip().startswith("{") and before:
        return head.removesuffix(f"{line}\n") + _flow(f"{line}\n{body}", key, after)
    old = _entries(body, 2)
    rows = [
        old[row] if row in old and before[row] == value else _row(old.get(row), new.get(row), row, value)
        for row, value in after.items()
    ]
    head = head.removesuffix(f"{line}\n") + (f"{key}:\n" if rows else f"{key}: {{}}\n")
    return head + "".join(rows)


def _flow(text: str, section: str, after: Rows) -> str:
    """The text of a section in one `{...}` with other values."""
    entry = _yaml().load(text)
    for row in [row for row in entry[section] if row not in after]:
        del entry[section][row]
    _put(entry[section], after)
    return _dumped(entry)


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
