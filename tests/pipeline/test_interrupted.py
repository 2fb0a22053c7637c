"""The whole pipeline, killed and started again; tests/campaigns/test_chaos.py kills single stages."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from campaigns.chaos.kills import stage_process, start
from conftest import RESULTS, Project, load_yaml, ran

DATA = ("data", ".dvc/cache", ".dvc/tmp", ".afterimage")
"""What a clone does not have."""
ROWS = {"train@small-relu", "train@small-layer1"}


def test_a_build_from_nothing_that_was_killed_twice_ends_with_the_same_bits(project: Project, tmp_path: Path):
    """Twice the whole pipeline: once in peace, once killed with -9 while it trains, dvc with it and alone."""
    log = (project.root / ".git/first-run.log").read_text(encoding="utf-8")
    first, second = (stage.partition("@")[2] for stage in ran(log) if stage in ROWS)  # in the order that DVC picks
    again = project.copy(tmp_path / "again", without=(*DATA, *RESULTS))
    assert again.results() == {}

    with start(again) as run:
        wait_for(checkpoint(again, first).is_file, run)
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    interrupted(again, first)

    with start(again) as run:
        wait_for(checkpoint(again, second).is_file, run)
        stage_process(run).kill()  # type: ignore[union-attr]
        assert run.wait() != 0
    interrupted(again, second)
    assert (again.root / f"data/models/{first}/model.safetensors").is_file()

    said = again.dvc("repro")
    assert ran(said)[0] == f"train@{second}"
    assert again.dvc("status").strip() == "Data and pipelines are up to date."
    in_peace, killed = project.results(), again.results()
    assert sorted(killed) == sorted(in_peace)
    assert [name for name in in_peace if in_peace[name] != killed[name]] == []
    assert [str(path) for path in again.root.rglob(".*.partial")] == []


def checkpoint(project: Project, row: str) -> Path:
    return project.root / f".afterimage/training/{row}/checkpoint.pt"


def wait_for(there: Callable[[], bool], run: "subprocess.Popen[bytes]", seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not there():
        assert run.poll() is None, f"dvc repro ended with {run.returncode} before it could be killed"
        assert time.monotonic() < end
        time.sleep(0.002)


def interrupted(project: Project, row: str) -> None:
    """Training was under way: it had a checkpoint and no model."""
    assert checkpoint(project, row).is_file()
    assert not (project.root / f"data/models/{row}").exists()
    assert f"train@{row}" not in load_yaml(project.root / "dvc.lock")["stages"]
