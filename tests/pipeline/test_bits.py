"""What a stage computes is the same to the last bit, whatever machine and environment it runs in."""

import os
from pathlib import Path

import pytest
from benchmarks.reproducibility import HOSTILE
from conftest import Project

STAGES = (
    ("observe", "small", "data/observations/small"),
    ("observe", "photos-cctv", "data/observations/photos-cctv"),
    ("train", "pix2pix", "data/models/pix2pix"),
    ("train", "small-pixelrnn", "data/models/small-pixelrnn"),
    ("evaluate", "small-relu-search", "data/reconstructions/small-relu-search"),
    ("baseline", "photos-cctv", "reports/measured/photos-cctv"),
)


class Elsewhere(Project):
    """A project in a hostile environment."""

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, **HOSTILE}


@pytest.mark.parametrize(("script", "row", "out"), STAGES)
def test_one_core_and_a_hostile_environment_change_no_bit(
    project: Project, tmp_path: Path, script: str, row: str, out: str
) -> None:
    copy = project.copy(tmp_path / "copy", without=(".dvc/cache", ".git", "reports/figures"))
    core = {min(os.sched_getaffinity(0))}
    elsewhere = Elsewhere(copy.root, copy.home)
    elsewhere.stage(script, row, preexec_fn=lambda: os.sched_setaffinity(0, core))
    expected, found = files(project.root / out), files(copy.root / out)
    assert sorted(found) == sorted(expected)
    assert [name for name in expected if found[name].read_bytes() != expected[name].read_bytes()] == []
    assert any(not found[name].samefile(expected[name]) for name in expected)  # it was written anew


def files(root: Path) -> dict[str, Path]:
    return {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
