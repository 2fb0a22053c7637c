"""docs/architecture.md against the code: the rooms, and that imports only go upwards in its table."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from conftest import ROOT

PACKAGE = ROOT / "src/afterimage"
PAGE = ROOT / "docs/architecture.md"
TEXT = PAGE.read_text(encoding="utf-8")


def listed() -> dict[str, list[str]]:
    """The table of rooms in its order: what each imports."""
    _, _, table = TEXT.partition("## Rooms")
    lines = re.findall(r"^\| `(\w+)` \|.*\| ([^|]*) \|$", table.partition("\n## ")[0], re.MULTILINE)
    empty = re.findall(r"^\| `(\w+)` \|[^|]*\| \|$", table.partition("\n## ")[0], re.MULTILINE)
    return {**{room: [] for room in empty}, **{room: imports.split(", ") for room, imports in lines}}


def rooms() -> set[str]:
    """The packages of the source tree."""
    return {path.parent.name for path in PACKAGE.glob("*/__init__.py")}


def imported(room: str) -> dict[str, str]:
    """The other rooms that a room imports, each with one place that does; imports for type checkers do not count."""
    found: dict[str, str] = {}
    for file in sorted((PACKAGE / room).rglob("*.py")):
        for node in run(ast.parse(file.read_text(encoding="utf-8"))):
            for name in names(node):
                first, *rest = name.split(".")
                if first == "afterimage" and rest and rest[0] in rooms() - {room}:
                    found.setdefault(rest[0], f"{file.relative_to(ROOT)}:{node.lineno}")  # type: ignore[attr-defined]
    return found


def run(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        yield node
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for other in node.orelse:
                yield from run(other)
        else:
            yield from run(node)


def names(node: ast.AST) -> list[str]:
    """Dotted names that an import statement may load."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"line {node.lineno}: rooms are imported by their full names"
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def test_every_room_is_in_the_table_and_in_the_picture() -> None:
    assert set(listed()) == rooms()
    (picture,) = re.findall(r"^```mermaid\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    nodes = set(re.findall(r"^  (\w+)[\[ ]", picture, re.MULTILINE)) | set(re.findall(r"> ?(\w+)$", picture, re.M))
    nodes |= set(re.findall(r"\| (\w+)$", picture, re.MULTILINE))
    assert rooms() <= nodes, rooms() - nodes
    assert not nodes & {path.name for path in PACKAGE.iterdir()} - rooms()


def test_a_room_imports_what_the_table_says_and_only_rooms_above_it() -> None:
    table = listed()
    for place, (room, said) in enumerate(table.items()):
        found = imported(room)
        below = {name: where for name, where in found.items() if name not in list(table)[:place]}
        assert not below, f"{room} imports a room below it: {below}"
        assert sorted(said) == sorted(found), f"{room} imports {found}"


def test_no_room_imports_a_stage() -> None:
    for file in PACKAGE.rglob("*.py"):
        loaded = [name for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) for name in names(node)]
        assert not [name for name in loaded if name.partition(".")[0] == "stages"], file


def test_files_that_the_page_names_are_there() -> None:
    _, _, walk = TEXT.partition("## One photograph, ten files")
    named = re.findall(r"`([\w/]+\.py)`", walk.partition("\n## ")[0])
    assert len(named) == 10
    assert [name for name in named if not (PACKAGE / name).is_file()] == []
    links = re.findall(r"\]\(([\w./-]+)\)", TEXT)
    assert [link for link in links if not (PAGE.parent / link).exists()] == []


def test_stages_of_the_picture_are_those_of_the_pipeline() -> None:
    (picture,) = re.findall(r"^```mermaid\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    stages = {path.stem for path in Path(ROOT / "stages").glob("*.py")} | {"search"}
    labels = set(re.findall(r"\w+", " ".join(re.findall(r"\|([^|]*)\|", picture))))
    assert stages - {"report"} <= labels
