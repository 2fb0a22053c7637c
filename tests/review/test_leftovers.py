"""What no stage writes any more is found and removed, and nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest
from toys import call

from afterimage.core.errors import AfterimageError
from afterimage.review import leftovers

STAGES = """
stages:
  train:
    cmd: python stages/train.py new
    deps: [data/raw/mine]
    outs: [data/models/new, data/reconstructions/new]
    metrics: [metrics/holes/new: {cache: false}]
"""
KEPT = (
    "data/models/new/model.safetensors",
    "data/models/.new.partial/log",
    "data/raw/mine/photo.png",  # the input of a stage, which somebody put there
    "data/photographs/photo.png",  # none of the places where results lie
    "data/README.md",
    "metrics/holes/new/test.json",
    ".afterimage/training/new/checkpoint.pt",
)
LEFT = (
    ".afterimage/training/old/checkpoint.pt",
    "data/models/.old.partial/log",
    "data/models/old/model.safetensors",
    "data/weights/old.safetensors",
    "metrics/features/old/test.json",
    "metrics/holes/old/test.json",
    "reports/measured/old/test/images.csv",
    "reports/validation/old.json",
)
FOUND = sorted(
    name if name.endswith(("old.safetensors", "old.json")) else "/".join(name.split("/")[:3]) for name in LEFT
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / "dvc.yaml").write_text(STAGES, encoding="utf-8")
    for name in (*KEPT, *LEFT):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("12345", encoding="utf-8")
    return tmp_path


def there(project: Path) -> list[str]:
    return [name for name in (*KEPT, *LEFT) if (project / name).exists()]


def test_lists_and_removes_what_no_stage_writes(project: Path) -> None:
    listed = leftovers.clean(project, dry=True)
    assert [each.path.as_posix() for each in listed] == FOUND
    assert [each.bytes for each in listed] == [5] * len(FOUND)
    assert there(project) == [*KEPT, *LEFT]
    assert leftovers.clean(project, dry=False) == listed
    assert there(project) == list(KEPT)
    assert leftovers.clean(project, dry=False) == []


def test_asks_before_it_removes(project: Path) -> None:
    code, said, _ = call("clean", "--dry-run", "--project", project)
    assert (code, said.splitlines()[-1]) == (0, "       0.0 MB  reports/validation/old.json")
    assert call("clean", "--project", project)[0] == 1  # nobody answers
    assert there(project) == [*KEPT, *LEFT]
    assert call("clean", "--yes", "--project", project)[1].endswith("removed 0.0 MB\n")
    assert call("clean", "--project", project) == (0, "nothing is left over\n", "")


def test_a_folder_without_a_project_is_named(tmp_path: Path) -> None:
    with pytest.raises(AfterimageError, match="DVC cannot work on it: "):
        leftovers.clean(tmp_path, dry=True)
