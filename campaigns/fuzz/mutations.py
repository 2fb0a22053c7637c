"""Ways to damage a file. Each is drawn from a `Random` alone, so that a seed and a number give one input."""

import csv
import io
import json
import struct
from collections.abc import Callable
from random import Random
from typing import Any

from afterimage.core.errors import AfterimageError
from afterimage.core.parsing import from_yaml

TEXTS = (
    *(
        "",
        " ",
        "\x00",
        "\x07",
        "\x1b[2J",
        "\u2028",
        "\ufeff",
        "\ud83d",
        "é" * 40,
        "a\nb",
        "a\r\nb",
        "\t",
        "'",
        '"',
        "#",
    ),
    *("../../x", "/etc/passwd", "C:\\x", "~", "{}", "[]", "null", "NaN", "-inf", "1e999", "9" * 5000, "x" * 200_000),
    *("0x10", "-1", "1.5", "1_000", "٣", "true", "no", "2026-13-45", "!!python/object/apply:os.system [touch x]"),
    *("*a", "&a [*a]", "? x", "<<<<<<< HEAD", "%s%n", "{{ 7 * 7 }}", "=1+1", "__class__", ",,,", ";", "|", ">"),
)
NUMBERS = (0, -1, 1, 2**31 - 1, 2**31, 2**32, 2**63, -(2**63), 10**30, 0.5, -0.0, 1e308, float("nan"), float("inf"))
WORDS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutated(name: str, data: bytes, random: Random) -> bytes:
    """A file with one to four faults, of the kinds that its name calls for; one in five is damaged as plain bytes."""
    ways = WAYS.get(name.rpartition(".")[2], [of_bytes])
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        way = of_bytes if random.random() < 0.2 else random.choice(ways)
        data = way(data, random)
    return data


def of_bytes(data: bytes, random: Random) -> bytes:
    """Bits, numbers, lengths: what damages any format."""
    found = bytearray(data)
    place = random.randrange(len(found) + 1)
    if random.random() < 0.3:
        place = min(place, random.randrange(64))  # headers lie there
    size = random.choice((1, 2, 4, 8, 16, random.randrange(1, 2 + len(found) // 4)))
    way = random.randrange(8)
    if way == 0:
        return bytes(found[:place])
    if way == 1:
        del found[place : place + size]
    elif way == 2:
        found[place:place] = found[place : place + size]
    elif way == 3:
        found[place : place + size] = random.randbytes(size)
    elif way == 4:
        found[place : place + size] = bytes([random.choice((0, 0xFF))]) * size
    elif way == 5:
        other = random.randrange(len(found) + 1)
        found[place : place + size] = found[other : other + size]
    elif way == 6:
        found[place : place + 4] = struct.pack(random.choice("<>") + "I", random.choice(WORDS))
    else:
        for _ in range(random.choice((1, 3, 30))):
            if found:
                found[random.randrange(len(found))] ^= 1 << random.randrange(8)
    return bytes(found)


def of_text(data: bytes, random: Random) -> bytes:
    """Lines and words, and letters that text files should not have."""
    text = data.decode("utf-8", "surrogateescape")
    lines = text.splitlines(keepends=True) or [""]
    line = random.randrange(len(lines))
    way = random.randrange(7)
    if way == 0:
        del lines[line]
    elif way == 1:
        lines.insert(line, random.choice(lines))
    elif way == 2:
        other = random.randrange(len(lines))
        lines[line], lines[other] = lines[other], lines[line]
    elif way == 3:
        lines[line] = random.choice(("  ", "\t", "- ", "? ", "# ")) + lines[line]
    elif way == 4:
        deep = random.choice((50, 3000, 100_000))
        lines[line] = random.choice(("[", "{", '{"a":', "- ", "a: ", "(")) * deep
    else:
        where = random.randrange(len(lines[line]) + 1)
        end = where + random.choice((0, 0, 1, 5, 30))
        lines[line] = lines[line][:where] + random.choice(TEXTS) + lines[line][end:]
    return _encoded("".join(lines), random)


def of_json(data: bytes, random: Random) -> bytes:
    """One value of a tree, or one key, in the place of another."""
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return of_text(data, random)
    return _encoded(json.dumps(of_tree(tree, random)), random)


def of_yaml(data: bytes, random: Random) -> bytes:
    """The same; what comes out is JSON, which is YAML."""
    try:
        tree = from_yaml(data, "", AfterimageError)
        return _encoded(json.dumps(of_tree(tree, random)), random)
    except (AfterimageError, ValueError, TypeError):
        return of_text(data, random)


def of_tree(tree: Any, random: Random) -> Any:
    """A tree with one value replaced, removed, moved or wrapped."""
    places: list[tuple[Any, Any]] = []

    def walk(here: Any) -> None:
        pairs = here.items() if isinstance(here, dict) else enumerate(here) if isinstance(here, list) else ()
        for key, value in pairs:
            places.append((here, key))
            walk(value)

    walk(tree)
    if not places or random.random() < 0.05:
        return _value(random)
    here, key = random.choice(places)
    way = random.randrange(6)
    if way == 0:
        del here[key]
    elif way == 1:
        other, name = random.choice(places)
        here[key] = json.loads(json.dumps(other[name])) if name in other or isinstance(other, list) else None
    elif way == 2:
        here[key] = random.choice(([here[key]], {"x": here[key]}, [here[key]] * 3))
    elif way == 3 and isinstance(here, dict):
        here[random.choice(TEXTS)] = here.pop(key)
    else:
        here[key] = _value(random)
    return tree


def of_csv(data: bytes, random: Random) -> bytes:
    """Cells, columns and lines of a table."""
    try:
        rows = list(csv.reader(io.StringIO(data.decode(), newline="")))
    except (ValueError, csv.Error):
        return of_text(data, random)
    if not any(rows):
        return of_text(data, random)
    row = random.choice([row for row in rows if row])
    cell = random.randrange(len(row))
    way = random.randrange(6)
    if way == 0:
        del row[cell]
    elif way == 1:
        row.insert(cell, row[cell])
    elif way == 2:
        column = random.randrange(len(rows[0]) or 1)
        rows = [[*each[:column], *each[column + 1 :]] for each in rows]
    elif way == 3:
        rows.insert(random.randrange(len(rows) + 1), list(row))
    else:
        row[cell] = random.choice((*TEXTS, *(str(number) for number in NUMBERS)))
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator=random.choice(("\n", "\n", "\r\n", "\r"))).writerows(rows)
    return _encoded(stream.getvalue(), random)


def _value(random: Random) -> Any:
    nested: Any = []
    for _ in range(random.choice((1, 200))):  # deeper than a reader takes, and what encodes several of them still can
        nested = [nested]
    return random.choice((random.choice(TEXTS), random.choice(NUMBERS), None, True, [], {}, [None], {"": {}}, nested))


def _encoded(text: str, random: Random) -> bytes:
    if random.random() < 0.03:
        return text.encode(random.choice(("utf-16", "utf-8-sig", "utf-32", "latin-1")), "replace")
    return text.encode("utf-8", random.choice(("surrogateescape", "replace")) if "\ud83d" not in text else "replace")


WAYS: dict[str, list[Callable[[bytes, Random], bytes]]] = {
    "json": [of_json, of_json, of_text],
    "csv": [of_csv, of_csv, of_text],
    "yaml": [of_yaml, of_yaml, of_text],
    "lock": [of_yaml, of_text],
    "txt": [of_text],
}
"""By the ending of a file's name."""
