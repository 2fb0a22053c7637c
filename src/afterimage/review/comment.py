"""What a pull request shows of its results: a comment in Markdown, and the figures that changed.

Figures are Markdown images with relative paths, for that is what `cml comment` uploads; it leaves HTML as it is.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from afterimage.core import outputs
from afterimage.core.parsing import from_yaml
from afterimage.review import differences, writing
from afterimage.review.revisions import RevisionError, Side

COMMENT = "comment.md"
PARAMS = "params.yaml"
FIGURES = 6
"""Figures that are shown; the others are named."""
PARAMETERS = 50
"""Parameters that are listed, of values of up to `LONGEST` characters: GitHub takes 65 536 in a comment."""
LONGEST = 60
ABSENT = "-"


def write(before: Side, after: Side, folder: Path) -> None:
    """Write `comment.md`, and the pictures that it shows under `figures/`; `folder` is replaced as a whole.

    Raises:
        RevisionError: neither side has results, or one of them cannot be read.
    """
    changed = writing.changed_figures(before, after)
    with outputs.folder(folder) as partial:
        parts = [
            "## Results",
            writing.markdown(differences.compare(before, after)).strip(),
            _parameters(before, after),
            *_figures(before, after, changed, partial),
        ]
        (partial / COMMENT).write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _figures(before: Side, after: Side, changed: list[str], folder: Path) -> Iterator[str]:
    """The first figures that changed, before and after; their bytes are written into the folder."""
    shown = changed[:FIGURES]
    sides = {"before": before.read_all(shown), "after": after.read_all(shown)}
    if shown:
        (folder / "figures").mkdir()
        yield "### Figures"
    for number, path in enumerate(shown, start=1):
        cells = []
        for side, found in sides.items():
            picture = f"figures/{number}-{side}{Path(path).suffix}"
            if path in found:
                (folder / picture).write_bytes(found[path])
            cells.append(f"![{side}]({picture})" if path in found else ABSENT)
        yield f"{writing.code(Path(path).name)}\n\n| before | after |\n| --- | --- |\n| {' | '.join(cells)} |"
    if rest := changed[FIGURES:]:
        yield f"Also changed: {', '.join(writing.code(Path(path).name) for path in rest)}."


def _parameters(before: Side, after: Side) -> str:
    """What `dvc params diff` says, folded away."""
    old, new = (dict(_flat(_loaded(side))) for side in (before, after))
    changed = [key for key in dict.fromkeys([*old, *new]) if old.get(key, ABSENT) != new.get(key, ABSENT)]
    if not changed:
        return "No parameter changed."
    lines = ["| parameter | before | after |", "| --- | --- | --- |"]
    for key in changed[:PARAMETERS]:
        lines.append(f"| {writing.code(key)} | {_value(old.get(key))} | {_value(new.get(key))} |")
    more = len(changed) - PARAMETERS
    rest = [f"{more} more: `dvc params diff` lists them."] if more > 0 else []
    count = f"{len(changed)} parameter{'' if len(changed) == 1 else 's'} changed"
    return "\n\n".join([f"<details><summary>{count}</summary>", "\n".join(lines), *rest, "</details>"])


def _loaded(side: Side) -> Any:
    """The parameters of a side; none where it has no such file, as a folder of results alone."""
    return from_yaml(side.read(PARAMS) or b"{}", f"{side.name}: {PARAMS}", RevisionError)


def _flat(data: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Values as JSON by dotted key; lists are values."""
    if isinstance(data, dict) and data:
        for key, value in data.items():
            yield from _flat(value, f"{place}.{key}" if place else str(key))
    elif place:
        yield place, json.dumps(data, ensure_ascii=False, default=str)


def _value(text: str | None) -> str:
    if text is None:
        return ABSENT
    return writing.code(text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…")
