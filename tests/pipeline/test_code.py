"""dvc.yaml against the code: a stage depends on the folders of what it imports, and on no wider ones."""

import copy
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from imports import Names, direct, reached
from pipelines import found, load, paths, templates

from afterimage.observations import KINDS as OBSERVATIONS
from afterimage.reconstructors import KINDS as RECONSTRUCTORS

EVERYTHING = Names((), OBSERVATIONS, RECONSTRUCTORS)
"""What a stage may look up that is not of one row."""
CODE = ("src/", "stages/")


def names_of(item: dict[str, Any] | None, params: dict[str, Any]) -> Names:
    """The modules that the row of a stage names. A search goes on from what another row answers."""
    if item is None:
        return EVERYTHING
    source = [item["source"]] if "source" in item else []
    rebuilt = [item["kind"]] if "observes" in item else []
    rebuilt += [params["reconstructors"][item["decoder"]]["kind"]] if "decoder" in item else []
    observed = [item["observes"]] if "observes" in item else [item["kind"]] if "kind" in item else []
    return Names(tuple(source), tuple(observed), tuple(rebuilt))


def rows_of(pipeline: dict[str, Any], params: dict[str, Any], stage: str) -> list[dict[str, Any] | None]:
    """The rows that a stage is for; None for a stage without."""
    told = pipeline["stages"][stage].get("foreach")
    return list(found(told.strip("${}"), params).values()) if told else [None]


def wrong_code(pipeline: dict[str, Any], params: dict[str, Any], root: Path = ROOT) -> list[str]:
    """What the stages import and is in none of their deps, deps that they do not need, and folders that are too wide.

    What a path of a row is, such as a file of weights, is not looked at.
    """
    wrong: dict[str, None] = {}
    for stage, told in templates(pipeline).items():
        script = root / told["cmd"].split()[1]
        for item in rows_of(pipeline, params, stage):
            deps = [_filled(path, item or {}) for path in paths(told["deps"]) if path.startswith(CODE)]
            files = reached(script, names_of(item, params), root / "src")
            files[script] = script
            for file in sorted(files):
                if not any(file.is_relative_to(root / dep) for dep in deps):
                    by = files[file].relative_to(root)
                    wrong[f"{stage}: `{file.relative_to(root)}`, imported by `{by}`, is in no dependency"] = None
            for dep in deps:
                inside = [file for file in files if file.is_relative_to(root / dep)]
                if not inside:
                    wrong[f"{stage}: nothing of `{dep}` is imported"] = None
                elif (root / dep).is_dir() and (narrow := _folder(inside)) != root / dep:
                    wrong[f"{stage}: `{dep}` is wider than `{narrow.relative_to(root)}`"] = None
            wrong |= {f"{stage}: `{dep}` is there twice": None for dep in deps if deps.count(dep) > 1}
    return list(wrong)


def _filled(path: str, item: dict[str, Any]) -> str:
    for name in ("kind", "observes"):
        path = path.replace(f"${{item.{name}}}", str(item.get(name)))
    return path


def _folder(files: list[Path]) -> Path:
    """The narrowest folder with all these files."""
    common = files[0].parent
    while not all(file.is_relative_to(common) for file in files):
        common = common.parent
    return common


def test_a_stage_depends_on_the_folders_of_what_it_imports():
    assert wrong_code(*load()) == []


def test_a_kind_from_elsewhere_depends_on_no_kind_of_the_project():
    pipeline, params = load()
    params["reconstructors"] = {"toy": {**params["reconstructors"]["pix2pix"], "kind": "external"}}
    params["searches"] = {}
    assert wrong_code(pipeline, params) == []


@pytest.mark.parametrize(
    ("stage", "change", "line"),
    [
        ("observe", {"src/afterimage/validation": None}, "`src/afterimage/validation/checks.py`, imported by"),
        ("train", {"src/afterimage/reconstructors/${item.kind}": None}, "learner.py`, imported by"),
        ("train", {"src/afterimage/evaluation": "src/afterimage/evaluation"}, "nothing of `src/afterimage/evaluation`"),
        (
            "validate",
            {"src/afterimage/datasets/sources": "src/afterimage/datasets"},
            "`src/afterimage/datasets` is wider than `src/afterimage/datasets/sources`",
        ),
        ("baseline", {"stages/baseline.py": None}, "`stages/baseline.py`, imported by `stages/baseline.py`"),
    ],
)
def test_a_wrong_dependency_would_be_seen(stage: str, change: dict[str, str | None], line: str):
    pipeline, params = load()
    pipeline = copy.deepcopy(pipeline)
    deps = templates(pipeline)[stage]["deps"]
    for old, new in change.items():
        if old in deps:
            deps.remove(old)
        deps += [new] if new else []
    wrong = wrong_code(pipeline, params)
    assert any(said.startswith(stage) and line in said for said in wrong), wrong


def test_report_and_baselines_reach_no_training():
    """What is drawn, and what is measured without learning, does not change with how anything is trained."""
    _, params = load()
    cases = {"report": [EVERYTHING], "baseline": [names_of(row, params) for row in params["observations"].values()]}
    for stage, given in cases.items():
        for names in given:
            files = reached(ROOT / "stages" / f"{stage}.py", names)
            rooms = {file.relative_to(ROOT / "src/afterimage").parts[0] for file in files}
            assert not rooms & {"training", "reconstructors", "apply", "cli", "app"}, (stage, rooms)


def test_what_is_looked_up_by_a_name_is_known_to_this_test():
    """A further `import_module` would hide a dependency."""
    from ast import Call, parse, unparse, walk

    heavy = ("apply", "cli", "app", "video")  # of no stage, see the test above
    for file in sorted((ROOT / "src/afterimage").rglob("*.py")):
        if file.relative_to(ROOT / "src/afterimage").parts[0] in heavy:
            continue
        calls = [node for node in walk(parse(file.read_text(encoding="utf-8"))) if isinstance(node, Call)]
        if any(unparse(call.func).endswith(("import_module", "__import__")) for call in calls):
            direct(file, EVERYTHING)  # KeyError where the package is not known


FILES = {
    "__init__.py": '"""Words only."""\n',
    "top.py": "from afterimage import plain\nfrom afterimage.deep import inner\n",
    "plain.py": "def later():\n    from afterimage.late import name\n",
    "late.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from afterimage import typed\nname = 1\n",
    "typed.py": "",
    "unused.py": "",
    "deep/__init__.py": '"""Code."""\nVALUE = 1\n',
    "deep/inner.py": "from .. import beside\nfrom pathlib import Path\nPAGES = Path(__file__).parent / 'pages'\n",
    "beside.py": "from afterimage import observations\n",
    "observations/__init__.py": "import importlib\ndef module(kind, name):\n"
    '    return importlib.import_module(f"{__name__}.{kind}.{name}")\nROW = lambda kind: module(kind, "row")\n',
    "observations/holes/row.py": "",
    "observations/holes/store.py": "",
    "observations/holes/writing.py": "",
    "observations/frames/store.py": "",
    "evaluation/evaluating.py": "from importlib import import_module\n"
    'OF = lambda kind: import_module(f"afterimage.evaluation.{kind}")\n',
    "evaluation/holes.py": "",
    "evaluation/frames.py": "",
}


@pytest.mark.parametrize(
    ("text", "kinds", "expected"),
    [
        (
            "from afterimage import top\n",
            (),
            {"top.py", "plain.py", "late.py", "deep/__init__.py", "deep/inner.py", "deep/pages", "beside.py"}
            | {"observations/__init__.py"},
        ),
        (
            'from afterimage import observations\nstore = observations.module(row.kind, "store")\n',
            ("holes",),
            {"observations/__init__.py", "observations/holes/row.py", "observations/holes/store.py"},
        ),
        (
            "def main():\n    from afterimage.evaluation import evaluating\n",
            ("frames",),
            {"evaluation/evaluating.py", "evaluation/frames.py"},
        ),
    ],
)
def test_imports_are_followed_wherever_they_stand(
    tmp_path: Path, text: str, kinds: tuple[str, ...], expected: set[str]
):
    package, script = tmp_path / "src/afterimage", tmp_path / "stages/script.py"
    for path, content in {**{package / name: text for name, text in FILES.items()}, script: text}.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    files = reached(script, Names(observations=kinds), tmp_path / "src")
    assert {path.relative_to(package).as_posix() for path in files} == expected
