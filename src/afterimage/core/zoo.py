"""The zoo: rows that were trained on real photographs and lie in Git, each a folder `zoo/<name>` of the project.

`zoo/NAME` stands wherever the name of a row of params.yaml does. Its folder is a model folder (see `training.models`)
with weights in half precision, and a card that says more: what it was trained on and measured by, and the hash of each
file beside it. `docs/zoo.py` writes it from committed results.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from afterimage.core import layout, outputs
from afterimage.core.errors import ParamsError, WeightsError
from afterimage.core.parsing import from_json

CASE = "/"
"""Between the name of a row and that of one of its reconstructors, where it has several."""
CARD, README = "card.json", "README.md"
"""The card, and the same in words."""
SAYS = {"row": str, "kind": str, "observes": str, "observation": str, "settings": dict, "given": list, "sha256": dict}
SAYS |= {"about": dict, "headline": str}
"""What a card must say, with types."""


def holds(row: str) -> bool:
    """Whether a name is of a row of the zoo, there or not."""
    return row.startswith(layout.ZOO)


def parted(row: str) -> tuple[str, str]:
    """The name of a row, and the case after it, which may be empty: of `NAME`, `NAME/CASE` and `zoo/NAME/CASE`."""
    if not holds(row):
        name, _, case = row.partition(CASE)
        return name, case
    name, _, case = row.removeprefix(layout.ZOO).partition(CASE)
    return f"{layout.ZOO}{name}", case


def names(project: Path) -> list[str]:
    """The rows of a project's zoo, as `zoo/NAME`."""
    return sorted(f"{layout.ZOO}{path.parent.name}" for path in (project / layout.ZOO).glob(f"*/{CARD}"))


def card(project: Path, row: str) -> dict[str, Any]:
    """The card of a row `zoo/NAME`.

    Raises:
        ParamsError: there is no such row; the text lists those that there are.
        WeightsError: its card is damaged.
    """
    known = names(project)
    if row not in known:
        raise ParamsError(f"{project / layout.ZOO}: there is no row `{row}`; there are {', '.join(known) or 'none'}")
    path = project / layout.model(row) / CARD
    found = from_json(path.read_bytes(), str(path), WeightsError)
    for key, kind in SAYS.items():
        if not isinstance(found.get(key), kind):
            raise WeightsError(f"{path}: `{key}` should be a {kind.__name__}; `git checkout {path.parent}` mends it")
    return found


def check(folder: Path, hashes: Mapping[str, str]) -> None:
    """Compare the files beside a card with the hashes in it.

    Raises:
        WeightsError: one is missing or another.
    """
    for name, expected in hashes.items():
        path = folder / name
        found = outputs.sha256(path) if path.is_file() else "that of no file, it is missing"
        if found != expected:
            raise WeightsError(f"{path}: its sha256 is {found}, its card says {expected}; `git checkout` mends it")
