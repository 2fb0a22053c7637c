"""The tiny project, built once and shared by all tests that need one."""

import fcntl
import os

import pytest
from campaigns.tiny import RESULTS, ROOT, Project, build, dump_yaml, load_yaml, ran, stale

__all__ = ["RESULTS", "ROOT", "Project", "dump_yaml", "load_yaml", "ran", "stale"]
os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in the tiny project


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Project:
    """A tiny project after `dvc repro`, committed. Tests only look at it; those that change something copy it.

    The processes that share the tests share it as well: the first one builds it, the others wait.
    """
    if worker_id == "master":
        return build(tmp_path_factory.mktemp("tiny"))
    root = tmp_path_factory.getbasetemp().parent / "tiny"
    with (root.with_suffix(".lock")).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "built").exists():
            root.mkdir()
            build(root)
            (root / "built").touch()
    return Project(root / "project", root / "home")
