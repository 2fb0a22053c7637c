"""Damaged files are found where DVC does not look; tests/campaigns mends a flipped byte in each place."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from campaigns.chaos.flips import turn
from campaigns.chaos.ground import cached
from conftest import Project, load_yaml

from afterimage.core.errors import AfterimageError
from afterimage.review import integrity

OUT = "data/observations/two-boxes"


@pytest.fixture
def copy(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    for name, value in project.environment.items():
        if name.startswith("DVC_"):
            monkeypatch.setenv(name, value)
    return project.copy(tmp_path / "copy")


def test_nothing_is_wrong_with_what_was_just_built(copy: Project) -> None:
    found = integrity.examine(copy.root)
    assert found.damages == []
    assert found.absent == []
    outs = {out["path"] for stage in load_yaml(copy.root / "dvc.lock")["stages"].values() for out in stage["outs"]}
    assert found.outputs == len(outs)
    assert found.objects == sum(path.is_file() for path in (copy.root / ".dvc/cache/files/md5").rglob("*"))


def test_outputs_that_are_not_here_are_no_damage(copy: Project) -> None:
    copy.run("rm", "-r", OUT, "metrics/holes/pix2pix")
    found = integrity.examine(copy.root)
    assert found.damages == []
    assert found.absent == [OUT, "metrics/holes/pix2pix"]


def test_missing_and_strange_files_of_an_output_are_named(copy: Project) -> None:
    (copy.root / OUT / "gates.json").unlink()
    (copy.root / OUT / "notes.txt").write_text("mine", encoding="utf-8")
    (missing, strange) = integrity.examine(copy.root).damages
    assert (missing.path, missing.what) == (f"{OUT}/gates.json", "is missing")
    assert missing.mend == f"rm -f {OUT}/gates.json` and `dvc checkout {OUT}"
    assert (strange.path, strange.what) == (f"{OUT}/notes.txt", f"is no part of {OUT}")


def test_without_the_list_of_a_folder_its_index_tells_the_file(copy: Project) -> None:
    outs = load_yaml(copy.root / "dvc.lock")["stages"]["observe@two-boxes"]["outs"]
    cached(copy, outs[0]["md5"]).unlink()
    assert integrity.examine(copy.root).damages == []
    turn([copy.root / OUT / "val-000000.tar"], random.Random(0))
    (damage,) = integrity.examine(copy.root).damages
    assert (damage.path, damage.what) == (f"{OUT}/val-000000.tar", "its SHA-256 is not that in index.json")


def test_a_committed_result_comes_back_from_git(copy: Project) -> None:
    turn([copy.root / "reports/validation/photos.json"], random.Random(0))
    (damage,) = integrity.examine(copy.root).damages
    assert damage.path == "reports/validation/photos.json"
    assert damage.mend == "git checkout reports/validation/photos.json"


def test_a_folder_without_dvc_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(AfterimageError, match="DVC cannot read it"):
        integrity.examine(tmp_path)
