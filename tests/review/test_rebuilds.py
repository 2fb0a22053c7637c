import json
from pathlib import Path
from typing import Any

import pytest
from locks import CPU, committed, lock
from results_folders import commit

from afterimage.core import compute
from afterimage.core.errors import AfterimageError
from afterimage.review import rebuilds, revisions


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A committed run of this kind of CPU."""
    monkeypatch.setattr(compute, "cpu", lambda: dict(CPU))
    return committed(tmp_path)


def compared(project: Path) -> rebuilds.Rebuild:
    return rebuilds.compare(revisions.revision(project, "HEAD"), revisions.side(project, None))


def test_the_same_bits(project: Path) -> None:
    found = compared(project)
    assert (found.stages, found.differences, found.first, found.of_other_code) == (4, [], None, [])
    assert found.same_kind


def test_a_stage_without_outputs(project: Path) -> None:
    path = project / "dvc.lock"
    stage = "\n  report:\n    cmd: python stages/report.py\n    outs:\n"
    path.write_text(path.read_text().rstrip() + stage)
    assert [each.inputs for each in compared(project).of_other_code] == [["only here"]]


def test_the_first_stage_that_went_another_way_is_named(project: Path) -> None:
    lock(project, model="other")
    found = compared(project)
    assert [each.stage for each in found.differences] == ["train@a", "evaluate@a"]
    assert found.first == rebuilds.Difference("train@a", [], ["data/models/a"], caused=False)
    assert found.of_other_code == []  # a stage that was given other data is no case of other code


def test_it_is_the_first_of_the_pipeline_and_not_of_the_file(project: Path) -> None:
    lock(project, shards="other", model="other")
    found = compared(project)
    assert found.first is not None
    assert [each.stage for each in found.differences] == ["shard@x", "train@a", "evaluate@a"]
    assert found.first.stage == "shard@x"


@pytest.mark.parametrize(("change", "inputs"), [({"code": "edited"}, ["src"]), ({"epochs": 6}, ["params.yaml"])])
def test_other_code_or_parameters_are_no_rebuild(project: Path, change: dict[str, Any], inputs: list[str]) -> None:
    lock(project, **change)
    found = compared(project).of_other_code
    assert "train@a" in {each.stage for each in found}
    assert all(each.inputs == inputs for each in found)


def test_a_row_that_came_or_went(project: Path) -> None:
    lock(project, row="c")
    assert {each.stage: each.inputs for each in compared(project).of_other_code} == {
        "train@b": ["only committed"],
        "train@c": ["only here"],
    }


@pytest.mark.parametrize(("key", "same"), [("name", True), ("model", False), ("vendor", False)])
def test_the_kind_of_a_cpu(project: Path, key: str, same: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "cpu", lambda: {**CPU, key: "another"})
    assert compared(project).same_kind == same


def test_a_run_without_its_cpu_is_of_no_kind(project: Path) -> None:
    (project / "built-on.json").unlink()
    commit(project, "Nobody knows")
    found = compared(project)
    assert (found.there, found.same_kind) == (None, False)
    assert rebuilds.shown(found.there) == "an unknown CPU"
    assert rebuilds.shown(CPU) == "AMD EPYC (x86_64/AuthenticAMD/25/17)"


def test_a_record_is_what_compare_reads(project: Path) -> None:
    assert rebuilds.record(project) == project / "built-on.json"
    written = json.loads((project / "built-on.json").read_text())
    assert written["cpu"] == CPU
    assert written["packages"]["torch"].count(".") >= 2
    commit(project, "Built again")
    assert compared(project).same_kind


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("dvc.lock", None, r"workspace: there is no dvc\.lock, so nothing was built"),
        ("dvc.lock", "stages: [", r"workspace: dvc\.lock, line 2: not valid YAML"),
        ("dvc.lock", "- a", r"workspace: dvc\.lock: expected a mapping, found list"),
        ("dvc.lock", "stages: {a: {params: {b: [[c, 1]]}}}", r"workspace: dvc\.lock: not as DVC writes it: Attribute"),
        ("dvc.lock", "stages: {1: {}}", r"workspace: dvc\.lock: not as DVC writes it: TypeError: expected a text"),
        ("dvc.yaml", "stages: 1", r"dvc.yaml: its stages are not as DVC reads them: TypeError"),
    ],
)
def test_what_cannot_be_read_is_one_line(project: Path, name: str, text: str | None, message: str) -> None:
    (project / name).unlink()
    if text is not None:
        (project / name).write_text(text)
    with pytest.raises(AfterimageError, match=message):
        compared(project)


def test_a_stage_has_all_of_its_parts_however_empty_they_are_written() -> None:
    stages = {"a": {"params": [], "deps": None}, "b": {"params": {"params.yaml": {"c": 1}}, "outs": [{"path": "d"}]}}
    assert rebuilds.checked(stages, "dvc.lock") == {
        "a": {"params": {}, "deps": [], "outs": []},
        "b": {"params": {"params.yaml": {"c": 1}}, "deps": [], "outs": [{"path": "d"}]},
    }
