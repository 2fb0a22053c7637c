"""What a module of the package imports, read from its text: imports inside functions too, those for type checkers not.

Modules that are looked up by a name of params.yaml are found by what a row says, see `Names`.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from conftest import ROOT

SOURCE = ROOT / "src"


@dataclass(frozen=True)
class Names:
    """The names of modules that a row gives: of its source, its kind of observation, its kind of reconstructor."""

    sources: tuple[str, ...] = ()
    observations: tuple[str, ...] = ()
    reconstructors: tuple[str, ...] = ()

    def of(self, package: str) -> tuple[str, ...]:
        """What `import_module(f"<package>.{name}")` may import; KeyError for a package that nobody knows here."""
        return {
            "afterimage.datasets.sources": self.sources,
            "afterimage.evaluation": self.observations,
            "afterimage.report": self.observations,
            "afterimage.reconstructors": self.reconstructors,
            "afterimage.observations": (),  # by the calls of `observations.module`, which say the module as well
        }[package]


def reached(script: Path, names: Names, source: Path = SOURCE) -> dict[Path, Path]:
    """All files of the package that a script needs, however far down, each with a file that imports it."""
    found: dict[Path, Path] = {}
    left = [script]
    while left:
        file = left.pop()
        for path in sorted(direct(file, names, source) - found.keys() - {script}):
            found[path] = file
            left += [path] if path.suffix == ".py" else []
    return found


@cache
def direct(file: Path, names: Names, source: Path = SOURCE) -> set[Path]:
    """Files of the package that a module imports, looks up by a name, or opens by its own place."""
    found: set[Path] = set()
    package = _package(file, source)
    for node in _run(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found |= _module(alias.name, source)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            found |= _module(base, source)
            for alias in node.names:
                found |= _module(f"{base}.{alias.name}", source)
        elif isinstance(node, ast.Call):
            for name in _looked_up(node, package, names):
                found |= _module(name, source)
        elif isinstance(node, ast.BinOp) and "__file__" in ast.dump(node.left) and isinstance(node.right, ast.Constant):
            found.add(file.parent / str(node.right.value))  # data that lies beside the module
    return found - {file}


def _looked_up(call: ast.Call, package: str, names: Names) -> list[str]:
    """Modules that a call imports by a name: `import_module(f"a.{name}")`, `observations.module(kind, "store")`."""
    said = ast.unparse(call.func)
    if said.endswith("import_module"):
        text = call.args[0]
        assert isinstance(text, ast.JoinedStr), f"{package}: {ast.unparse(call)}"
        prefix, *_ = ast.unparse(text)[2:-1].replace("{__name__}", package).split(".{")
        return [f"{prefix}.{name}" for name in names.of(prefix)]
    if said == "observations.module" or (said == "module" and package == "afterimage.observations"):
        module = ast.literal_eval(call.args[1])
        return [f"afterimage.observations.{kind}.{module}" for kind in names.observations]
    return []


def _package(file: Path, source: Path) -> str:
    """The package of a module by its dotted name; of a script, nothing."""
    return ".".join(file.parent.relative_to(source).parts) if file.is_relative_to(source) else ""


def _run(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only type checkers see."""
    for node in ast.iter_child_nodes(tree):
        yield node
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for other in node.orelse:
                yield from _run(other)
        else:
            yield from _run(node)


@cache
def _module(name: str, source: Path) -> set[Path]:
    """The file of a module of the package, and those of the packages around it that hold more than a docstring."""
    parts = name.split(".")
    if parts[0] != "afterimage":
        return set()
    found = {source.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts) + 1)}
    found = {path for path in found if path.is_file() and len(ast.parse(path.read_text(encoding="utf-8")).body) > 1}
    file = source.joinpath(*parts).with_suffix(".py")
    return found | ({file} if file.is_file() else set())
