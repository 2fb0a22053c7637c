"""dvc.yaml against the code: a stage depends on all that it imports and on nothing else."""

import ast
import copy
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, load_yaml
from dvc.utils.serialize import modify_yaml
from ruamel.yaml import YAML
from ruamel.yaml.events import AliasEvent

from afterimage.core import layout

SOURCE = ROOT / "src"
PACKAGE = SOURCE / "afterimage"
WHOLE = {PACKAGE / "sources"}
"""Packages whose modules are imported by their names in params.yaml: a stage depends on the folder."""

PLACES = (
    layout.raw("*"),
    layout.shards("*"),
    layout.weights("*"),
    layout.features("*"),
    layout.holes("*"),
    layout.degradations("*"),
    layout.model("*", "*"),
    layout.reconstructions("*", "*"),
    layout.metrics("*", "*"),
    layout.validation("*"),
    layout.validation("features/*/*/result").parent,
)


def load() -> tuple[dict[str, Any], dict[str, Any]]:
    return load_yaml(ROOT / "dvc.yaml"), load_yaml(ROOT / "params.yaml")


def templates(pipeline: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The stages of dvc.yaml as they are written, those of a `foreach` as their `do`."""
    return {name: stage.get("do", stage) for name, stage in pipeline["stages"].items()}


def resolved(pipeline: dict[str, Any], params: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each stage with the values of its row; KeyError for a `${...}` that is not in params.yaml."""
    for name, stage in pipeline["stages"].items():
        if "foreach" not in stage:
            yield name, _filled(stage, params)
            continue
        rows = _filled(stage["foreach"], params)
        for key, item in rows.items():
            yield f"{name}@{key}", _filled(stage["do"], {**params, "key": key, "item": item})


def _filled(value: Any, known: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        return {_filled(key, known): _filled(item, known) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, known) for item in value]
    if not isinstance(value, str):
        return value
    if whole := re.fullmatch(r"\$\{([^}]+)\}", value):
        return _found(whole[1], known)
    return re.sub(r"\$\{([^}]+)\}", lambda match: str(_found(match[1], known)), value)


def _found(name: str, known: dict[str, Any]) -> Any:
    value: Any = known
    for part in name.split("."):
        if not isinstance(value, dict) or part not in value:
            raise KeyError(name)
        value = value[part]
    return value


def paths(entries: list[Any]) -> list[str]:
    """Paths of deps, outs or metrics, which are words or mappings of a word to its options."""
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def outs(stage: dict[str, Any]) -> list[str]:
    return [path for kind in ("outs", "metrics", "plots") for path in paths(stage.get(kind, []))]


# What a script imports


def imported(file: Path) -> set[Path]:
    """All files and folders of the package that a script needs, however far down, beside itself."""
    found: set[Path] = set()
    left = [file]
    while left:
        for path in direct(left.pop()):
            whole = next((folder for folder in WHOLE if path.is_relative_to(folder)), None)
            if (whole or path) in found:
                continue
            found.add(whole or path)
            left += sorted(whole.glob("*.py")) if whole else [path] if path.suffix == ".py" else []
    return found


def direct(file: Path) -> set[Path]:
    """Files of the package that a module imports or opens by its own place, imports inside functions too."""
    found: set[Path] = set()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in _run(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found |= _module(alias.name)
        elif isinstance(node, ast.ImportFrom):
            parents = file.parent.relative_to(SOURCE).parts if node.level else ()
            base = ".".join([*parents[: len(parents) + 1 - node.level], *([node.module] if node.module else [])])
            found |= _module(base)
            for alias in node.names:
                found |= _module(f"{base}.{alias.name}")
        elif isinstance(node, ast.BinOp) and "__file__" in ast.dump(node.left) and isinstance(node.right, ast.Constant):
            found.add(file.parent / str(node.right.value))  # data that lies beside the module
    return found


def _run(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only type checkers see."""
    for node in ast.iter_child_nodes(tree):
        yield node
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for other in node.orelse:
                yield from _run(other)
        else:
            yield from _run(node)


def _module(name: str) -> set[Path]:
    """The file of a module of the package, and those of the packages around it that hold more than a docstring."""
    parts = name.split(".")
    if parts[0] != "afterimage":
        return set()
    found = {SOURCE.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts) + 1)}
    found = {path for path in found if path.is_file() and len(ast.parse(path.read_text(encoding="utf-8")).body) > 1}
    file = SOURCE.joinpath(*parts).with_suffix(".py")
    return found | ({file} if file.is_file() else set())


def wrong_code(pipeline: dict[str, Any]) -> list[str]:
    """What the stages import and do not name among their deps, or the other way round."""
    wrong = []
    for name, stage in templates(pipeline).items():
        script = ROOT / stage["cmd"].split()[1]
        needed = {path.relative_to(ROOT).as_posix() for path in {script, *imported(script)}}
        named = [path for path in paths(stage["deps"]) if path.startswith(("src/", "stages/"))]
        wrong += [f"{name}: `{path}` is missing" for path in sorted(needed - set(named))]
        wrong += [f"{name}: `{path}` is superfluous" for path in sorted(set(named) - needed)]
        wrong += [f"{name}: `{path}` is there twice" for path in sorted(set(named)) if named.count(path) > 1]
    return wrong


def wrong_paths(pipeline: dict[str, Any], params: dict[str, Any]) -> list[str]:
    """Paths that are not where the code looks, and deps that no stage makes."""
    stages = dict(resolved(pipeline, params))
    made = {Path(path) for stage in stages.values() for path in outs(stage)}
    wrong = []
    for name, stage in stages.items():
        for dep, path in [*((True, path) for path in paths(stage["deps"])), *((False, path) for path in outs(stage))]:
            if path.startswith(("data/", "metrics/", "reports/validation/")) and not _placed(Path(path), dep):
                wrong.append(f"{name}: `{path}` is no place of afterimage.layout")
        for path in paths(stage["deps"]):
            if path.split("/")[0] in ("data", "metrics", "reports"):
                if not any(out == Path(path) or out in Path(path).parents or Path(path) in out.parents for out in made):
                    wrong.append(f"{name}: no stage makes `{path}`")
            elif not (ROOT / path).exists():
                wrong.append(f"{name}: there is no `{path}`")
    return wrong


def _placed(path: Path, dep: bool) -> bool:
    """A place of the layout or inside of one; a dep may also be the folder that holds some."""
    for place in PLACES:
        alike = all(fnmatch(part, pattern) for part, pattern in zip(path.parts, place.parts, strict=False))
        if alike and (dep or len(path.parts) >= len(place.parts) - (place == PLACES[-1])):
            return True
    return False


def test_a_stage_depends_on_what_it_imports_and_on_nothing_else():
    pipeline, _ = load()
    assert wrong_code(pipeline) == []


@pytest.mark.parametrize("kind", ["missing", "superfluous"])
def test_a_wrong_dependency_would_be_seen(kind: str):
    pipeline, _ = load()
    pipeline = copy.deepcopy(pipeline)
    deps = templates(pipeline)["extract"]["deps"]
    path = "src/afterimage/shards.py" if kind == "missing" else "src/afterimage/metrics.py"
    if kind == "missing":
        deps.remove(path)
    else:
        deps.append(path)
    assert wrong_code(pipeline) == [f"extract: `{path}` is {kind}"]


def test_imports_are_followed_wherever_they_stand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    package = tmp_path / "src/afterimage"
    (package / "deep").mkdir(parents=True)
    files = {
        "__init__.py": '"""Words only."""\n',
        "top.py": "from afterimage import plain\nfrom afterimage.deep import inner\n",
        "plain.py": "def later():\n    from afterimage.late import name\n",
        "late.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from afterimage import typed\nname = 1\n",
        "typed.py": "",
        "unused.py": "",
        "deep/__init__.py": '"""Code."""\nVALUE = 1\n',
        "deep/inner.py": "from .. import beside\nfrom pathlib import Path\nPAGES = Path(__file__).parent / 'pages'\n",
        "beside.py": "",
    }
    for name, text in files.items():
        (package / name).write_text(text, encoding="utf-8")
    monkeypatch.setitem(globals(), "SOURCE", tmp_path / "src")
    found = {path.relative_to(package).as_posix() for path in imported(package / "top.py")}
    assert found == {"plain.py", "late.py", "deep/__init__.py", "deep/inner.py", "deep/pages", "beside.py"}


def test_every_stage_says_what_it_does():
    pipeline, _ = load()
    silent = [name for name, stage in templates(pipeline).items() if not str(stage.get("desc", "")).strip()]
    assert silent == []


def test_every_command_runs_a_script_that_is_there():
    pipeline, params = load()
    for name, stage in resolved(pipeline, params):
        words = stage["cmd"].split()
        assert words[0] == "python", name
        assert (ROOT / words[1]).is_file(), f"{name}: there is no {words[1]}"


def test_every_script_is_a_stage_and_runs_by_one_rule():
    pipeline, _ = load()
    used = {stage["cmd"].split()[1] for stage in templates(pipeline).values()}
    scripts = {path.relative_to(ROOT).as_posix() for path in (ROOT / "stages").glob("*.py")}
    assert scripts == used
    for script in scripts:
        text = (ROOT / script).read_text(encoding="utf-8")
        assert text.endswith('if __name__ == "__main__":\n    stage.run(main)\n'), script


def test_every_parameter_that_dvc_yaml_names_is_there():
    pipeline, params = load()
    for name, stage in resolved(pipeline, params):  # raises KeyError with the name of what is missing
        for entry in stage.get("params", []):
            assert isinstance(entry, str), f"{name}: {entry} is of another file than params.yaml"
            _found(entry, params)


def test_a_row_is_tracked_and_never_its_whole_section():
    pipeline, _ = load()
    sections = {"datasets", "encoders", "decoders", "inversions", "baselines", "holes", "inpainters"}
    sections |= {"completers", "degradations", "restorers"}
    whole = {
        name: sections & set(stage.get("params", []))
        for name, stage in templates(pipeline).items()
        if "foreach" in pipeline["stages"][name]
    }
    assert {name: found for name, found in whole.items() if found} == {}


def test_every_path_is_where_the_code_looks():
    assert wrong_paths(*load()) == []


def test_a_wrong_path_would_be_seen():
    pipeline, params = load()
    pipeline = copy.deepcopy(pipeline)
    stage = templates(pipeline)["extract"]
    stage["outs"] = ["data/feature/${key}"]
    stage["deps"].append("data/shards/nothing")
    wrong = wrong_paths(pipeline, params)
    row = next(iter(params["encoders"]))
    assert f"extract@{row}: `data/feature/{row}` is no place of afterimage.layout" in wrong
    assert f"extract@{row}: no stage makes `data/shards/nothing`" in wrong
    assert any(line.startswith("train-decoder@") for line in wrong)


def test_gates_metrics_and_reports_are_in_git():
    """A pull request shows them, and `dvc metrics diff` compares them with another commit's."""
    pipeline, _ = load()
    for name, stage in templates(pipeline).items():
        for kind in ("outs", "metrics", "plots"):
            for entry in stage.get(kind, []):
                path = entry if isinstance(entry, str) else next(iter(entry))
                options = {} if isinstance(entry, str) else entry[path]
                assert (options.get("cache", True) is False) == path.startswith(("metrics/", "reports/")), (name, path)


def test_rows_of_params_share_nothing():
    """`dvc exp run -S decoders.<row>.training.epochs=20` on a YAML alias changes no row, or all of them."""
    events = YAML(typ="safe", pure=True).parse((ROOT / "params.yaml").read_text(encoding="utf-8"))
    shared = [event.anchor for event in events if isinstance(event, AliasEvent)]
    assert shared == []


def test_params_are_in_the_form_that_dvc_writes(tmp_path: Path):
    """An edit by DVC's tools, such as `dvc exp run -S`, then shows as one line."""
    path = tmp_path / "params.yaml"
    path.write_bytes((ROOT / "params.yaml").read_bytes())
    with modify_yaml(path) as params:
        params["report"]["images"] = 12345
    old, new = ((ROOT / "params.yaml").read_text(encoding="utf-8"), path.read_text(encoding="utf-8"))
    changed = set(old.splitlines()) ^ set(new.splitlines())
    assert {line.strip() for line in changed} == {f"images: {load()[1]['report']['images']}", "images: 12345"}
