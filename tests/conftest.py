"""The tiny project, built once and shared by all tests that need one."""

import fcntl
import os
from pathlib import Path

import pytest
from campaigns.tiny import RESULTS, ROOT, Project, build, dump_yaml, load_yaml, ran, stale

__all__ = ["RESULTS", "ROOT", "Project", "dump_yaml", "load_yaml", "ran", "stale"]
os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in the tiny project


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files so that no process idles: one begins with the tiny project while another has tests that do not
    need it, and the last files are those of short tests."""
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    needing = [tests for tests in files.values() if any(map(_needs_the_project, tests))]
    others = [tests for tests in files.values() if tests not in needing]
    middle = len(others) // 2
    ordered = [*needing[:1], *others[:middle], *needing[1:], *others[middle:]]
    items[:] = [item for tests in ordered for item in tests]


def _needs_the_project(item: pytest.Item) -> bool:
    known = getattr(item, "_fixtureinfo", None)  # a test may have a fixture of this name of its own
    return known is not None and any(each.scope == "session" for each in known.name2fixturedefs.get("project", ()))


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
