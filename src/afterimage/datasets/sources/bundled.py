"""The photographs that scikit-image, scikit-learn and matplotlib ship inside their packages.

`path` is a table with a line a photograph: where it lies, whom it shows thanks to, and its split, which is fixed
there as an official one is. A file whose SHA-256 is not the table's is an error: numbers measured on another
photograph must not pass for the same.
"""

import csv
import importlib.util
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal

from afterimage.core import outputs
from afterimage.core.errors import SourceError
from afterimage.datasets import sources
from afterimage.datasets.sources import Dataset, Item

COLUMNS = ("licence", "attribution", "page")
TABLE = ("name", "package", "path", "group", "split", *COLUMNS, "sha256")


class Row(Dataset):
    """`path`: the table, src/afterimage/datasets/sources/bundled.csv or one like it."""

    source: Literal["bundled"]


def items(row: Dataset) -> Iterator[Item]:
    """The photographs of the table.

    Raises:
        SourceError: the table is missing or lacks a column, a package is not installed, or a file is not the one
            that the table describes.
    """
    table = Path(row.path)
    try:
        with table.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            lines = list(reader)
    except FileNotFoundError:
        raise SourceError(f"{table}: there is no such table of bundled photographs") from None
    if missing := [column for column in TABLE if column not in (reader.fieldnames or ())]:
        raise SourceError(f"{table}: the columns {', '.join(missing)} are missing")
    for line in sorted(lines, key=lambda line: sources.key(line["name"])):
        if line["split"] not in sources.SPLITS:
            raise SourceError(f"{table}: {line['name']} has the split {line['split']!r}, expected train, val or test")
        file = _located(line, table)
        yield Item(
            name=line["name"],
            origin=f"{line['package']}/{line['path']}",
            group=line["group"],
            split=line["split"],
            open=partial(_open, file),
            extra=tuple(line[column] for column in COLUMNS),
        )


def _open(file: Path) -> BinaryIO:
    return file.open("rb")


def _located(line: dict[str, str], table: Path) -> Path:
    spec = importlib.util.find_spec(line["package"])  # finds the package without the seconds of importing it
    if spec is None or not spec.submodule_search_locations:
        raise SourceError(f"{table}: {line['name']} is part of the package {line['package']}, which is not installed")
    file = Path(spec.submodule_search_locations[0]) / line["path"]
    if not file.is_file():
        raise SourceError(f"{table}: the installed {line['package']} has no {line['path']}")
    if (found := outputs.sha256(file)) != line["sha256"]:
        raise SourceError(
            f"{line['package']}/{line['path']}: SHA-256 {found}, expected {line['sha256']} by {table}: the installed "
            f"version of {line['package']} ships another file; install the version in requirements.txt"
        )
    return file
