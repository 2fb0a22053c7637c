"""The one door through which bytes from outside reach a parser.

Parsers are other people's, and each raises what it likes on damaged bytes, today and after its next version. So no
reader lists their exceptions: it parses within `parsing`, and whatever they raise comes out as one fault of one line.
"""

import csv
import errno
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from afterimage.core.errors import AfterimageError, one_line, shortened

LONGEST = 300
"""Letters of a parser's own words; some quote all that they were given."""
ADDRESS = re.compile(" at 0x[0-9a-f]+")
"""Of an object in memory: another in each run."""
DEEPEST, MOST = 100, 1_000_000
"""Levels and values of YAML and JSON: an alias of an alias makes billions of a few bytes, or goes round for ever."""
SYSTEM = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EROFS)
"""What an open file may meet that says nothing about its bytes."""


@contextmanager
def parsing(fault: type[AfterimageError], what: str) -> Iterator[None]:
    """Turn whatever a parser raises within the block into `fault`, with the text `<what>: <the parser's words>`.

    What is not about the bytes keeps its sense: faults of this project, which say it better; an OSError about a path
    or the disk; a lack of memory; an interruption. So a reader checks what its bytes claim before it asks for room.
    """
    try:
        yield
    except AfterimageError:
        raise
    except Exception as error:
        if _is_of_the_system(error):
            raise
        raise fault(f"{what}: {reason(error)}") from None


def _is_of_the_system(error: Exception) -> bool:
    """Whether it is a lack of memory, or about a path or the disk; a package's own kind of OSError is its word about
    the bytes, as FFmpeg's ENOMEM is, of headers that claim more than there can be."""
    if isinstance(error, MemoryError):
        return not hasattr(error, "errno")
    if not isinstance(error, OSError) or type(error).__module__ != "builtins":
        return False
    return error.filename is not None or error.errno in SYSTEM


def reason(error: Exception) -> str:
    """What an exception says, on one line of bounded length."""
    text = ADDRESS.sub("", one_line(str(getattr(error, "strerror", None) or error)))
    if isinstance(error, LookupError | TypeError | AttributeError | AssertionError) or not text:
        text = f"{type(error).__name__}: {text}".removesuffix(": ")  # their words alone say little
    return shortened(text, LONGEST)


def from_yaml(data: bytes, where: str, fault: type[AfterimageError]) -> Any:
    """What a YAML file says, as DVC reads it.

    Args:
        where: names the file in messages.

    Raises:
        fault: it is not YAML.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError
    from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent

    with parsing(fault, f"{where}: not valid YAML"):
        try:
            text = data.decode("utf-8-sig")
            depth = 0
            for event in YAML(typ="safe").parse(text):  # deep ones overflow the stack of what loads them, in C
                depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
                if depth > DEEPEST:
                    raise ValueError(f"more than {DEEPEST} levels deep")
            found = YAML(typ="safe").load(text)
            _check_size(found, {})
            return found
        except MarkedYAMLError as error:
            line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
            raise fault(f"{where}{line}: not valid YAML: {error.problem}") from None


def from_json(data: bytes, where: str, fault: type[AfterimageError]) -> dict[str, Any]:
    """The object that a JSON file holds.

    Args:
        where: names the file in messages.

    Raises:
        fault: it is not JSON, or holds something else.
    """
    with parsing(fault, f"{where}: not JSON"):
        found = json.loads(data)
        _check_size(found, {})
    if not isinstance(found, dict):
        raise fault(f"{where}: expected an object, found {type(found).__name__}")
    return found


def _check_size(value: Any, known: dict[int, int], depth: int = 0) -> int:
    """How many values there are in one; ValueError for too many, or too many levels."""
    if not isinstance(value, dict | list | set):
        return 1
    if depth > DEEPEST:
        raise ValueError(f"more than {DEEPEST} levels deep, or within itself")
    if id(value) not in known:
        inner = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_check_size(each, known, depth + 1) for each in inner)
    if known[id(value)] > MOST:
        raise ValueError(f"aliases make more than {MOST} values of it")
    return known[id(value)]


def from_csv(
    lines: Iterable[str], where: str, fault: type[AfterimageError], columns: Sequence[str] = ()
) -> Iterator[dict[str, str]]:
    """The lines of a table by column, one at a time.

    Args:
        lines: of the file, opened with `newline=""`.
        where: names the file in messages.
        columns: that it must have.

    Raises:
        fault: it is no such table, or a line has more or fewer cells than the first.
    """
    with parsing(fault, f"{where}: not a table that can be read"):
        reader = csv.reader(lines, strict=True)
        head = next(reader, [])
        if absent := [column for column in columns if column not in head]:
            raise fault(f"{where}: no column {absent[0]}; there are {', '.join(head) or 'none'}")
        for cells in reader:
            if cells and len(cells) != len(head):
                raise fault(f"{where}, line {reader.line_num}: {len(cells)} cells, expected {len(head)}")
            if cells:
                yield dict(zip(head, cells, strict=True))
