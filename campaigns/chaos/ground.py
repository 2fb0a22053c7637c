"""Where luck strikes: copies of the tiny project in which one stage is still to be done, and what each must end as."""

import hashlib
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from ruamel.yaml import YAMLError

from campaigns.tiny import Project, build, dump_yaml, load_yaml

STAGES = (
    "fetch@photos",
    "shard@photos",
    "validate@photos",
    "weights@small",
    "observe@small",
    "observe@two-boxes",
    "observe@photos-cctv",
    "train@small-relu",
    "train@pix2pix",
    "train@photos-nafnet",
    "train@small-pixelrnn",
    "evaluate@small-relu",
    "evaluate@pix2pix",
    "evaluate@photos-nafnet",
    "evaluate@small-pixelrnn",
    "search@small-relu-search",
    "baseline@small",
    "baseline@two-boxes",
    "baseline@photos-cctv",
    "report",
)
"""A stage of every kind, for every kind of observation and reconstructor."""
RUN = Path(".afterimage/runs")
CACHE = Path(".dvc/cache/files/md5")
LOCK, RWLOCK = "dvc.lock", ".dvc/tmp/rwlock"
LIMIT = 300.0
"""Seconds that any one command may take."""
PASSING = (".git", ".dvc/tmp", ".dvc/cache/runs", ".dvc/config.local", "dvc.lock")
"""What git and DVC keep for themselves, and dvc.lock, which is compared as what it says."""


class Peace(NamedTuple):
    """The project as it is when nothing strikes."""

    project: Project
    files: Mapping[str, str]
    """The MD5 of each file."""
    inodes: Mapping[int, str]
    """The same by inode: a file that a copy still shares need not be read again."""
    lock: Mapping[str, Any]


class End(NamedTuple):
    """How a command ended that was given again until it came to its end."""

    times: int
    said: str
    by_hand: str
    """What had to be put right first, because DVC could not read what it had half written itself."""
    faults: list[str]


class Duration(NamedTuple):
    """Of a command in peace, in seconds: all of it, and when the stage's own process began and ended."""

    whole: float
    began: float
    ended: float


def prepare(folder: Path) -> Peace:
    """Build the tiny project in an empty folder."""
    return in_peace(build(folder))


def in_peace(project: Project) -> Peace:
    """Look at a project whose stages are all done."""
    files = snapshot(project.root, {})
    inodes = {(project.root / name).stat().st_ino: digest for name, digest in files.items()}
    return Peace(project, files, inodes, load_yaml(project.root / LOCK)["stages"])


def undone(peace: Peace, stage: str, root: Path, link: bool = True) -> Project:
    """A copy of the project that never ran one of its stages; neither DVC's cache nor its runs know of it."""
    project = peace.project.copy(root, without=(".dvc/tmp",), link=link)
    for run in files_of(project.root / ".dvc/cache/runs"):
        if f"cmd: {peace.lock[stage]['cmd']}\n" in run.read_text(encoding="utf-8"):
            shutil.rmtree(run.parent)
    for out in outs(peace, stage):
        for path in files_of(project.root / out):
            cached(project, peace.files[path.relative_to(project.root).as_posix()]).unlink(missing_ok=True)
            path.unlink()
        for folder in sorted((project.root / out).rglob("*"), reverse=True):
            folder.rmdir()
        if (project.root / out).is_dir():
            (project.root / out).rmdir()
    for out in peace.lock[stage]["outs"]:
        cached(project, out["md5"]).unlink(missing_ok=True)
    (project.root / RUN / f"{script(stage)}.json").unlink()
    lock = load_yaml(project.root / LOCK)
    del lock["stages"][stage]
    dump_yaml(lock, project.root / LOCK)
    return project


def outs(peace: Peace, stage: str) -> list[str]:
    return [out["path"] for out in peace.lock[stage]["outs"]]


def script(stage: str) -> str:
    """What a stage's run record and its messages are called: searches are evaluated by the script of `evaluate`."""
    return stage.replace("search@", "evaluate@")


def cached(project: Project, md5: str) -> Path:
    return project.root / CACHE / md5[:2] / md5[2:]


def files_of(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())


def snapshot(root: Path, known: Mapping[int, str]) -> dict[str, str]:
    """The MD5 of each file of a project by its name, but for what may differ from run to run."""
    found = {}
    for folder, folders, names in os.walk(root):
        here = Path(folder).relative_to(root)
        folders[:] = [name for name in folders if name != "__pycache__" and (here / name).as_posix() not in PASSING]
        for name in names:
            inside, path = here / name, Path(folder, name)
            if inside.as_posix() not in PASSING:
                found[inside.as_posix()] = (
                    "" if inside.is_relative_to(RUN) else known.get(path.stat().st_ino) or md5(path)
                )
    return found


def md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()


def faults(project: Project, peace: Peace) -> list[str]:
    """How a project that was struck and went on to its end differs from one that was left in peace."""
    now = snapshot(project.root, peace.inodes)
    lock = _locked(project)
    return [
        *(f"{name}: left over" for name in now if name not in peace.files),
        *(f"{name}: missing" for name in peace.files if name not in now),
        *(f"{name}: other bits" for name in now if now[name] != peace.files.get(name, now[name])),
        *(
            f"dvc.lock: {name}: other hashes"
            for name in {**lock, **peace.lock}
            if lock.get(name) != peace.lock.get(name)
        ),
        *(f".dvc/tmp/{path.name}: left over" for path in (project.root / ".dvc/tmp").glob("*tmp*")),
    ]


def go_on(project: Project, peace: Peace, stage: str) -> End:
    """Give `dvc repro` of a stage until it ends well, as a user does; then compare.

    DVC writes `dvc.lock` and `.dvc/tmp/rwlock` in place, so they are cut short where it dies meanwhile. Then
    the first is taken from Git, and the second is removed.
    """
    found, said, by_hand, times = [], "", "", 0
    while times < 3:
        times += 1
        if any(name not in _locked(project) for name in peace.lock if name != stage):
            by_hand = LOCK
            project.git("checkout", LOCK)
        again = project.run("dvc", "repro", "-s", stage, status=None, timeout=LIMIT)
        said += again.stdout + again.stderr
        if again.returncode == 0:
            break
        if RWLOCK in again.stderr:
            by_hand = RWLOCK
            (project.root / RWLOCK).unlink()
        else:
            found.append(f"going on ended with {again.returncode}: {again.stderr.strip()[-200:]}")
    found += ["a traceback"] if "Traceback" in said else []
    return End(times, said, by_hand, [*found, *quiet(project), *faults(project, peace)])


def _locked(project: Project) -> Any:
    """The stages in dvc.lock; empty where it is no YAML any more."""
    try:
        return (load_yaml(project.root / LOCK) or {}).get("stages") or {}
    except YAMLError:
        return {}


def half_made(project: Project, peace: Peace, stage: str) -> list[str]:
    """Outputs that are neither whole nor absent, although the stage did not come to its end."""
    if (project.root / RUN / f"{script(stage)}.json").exists():
        return []  # DVC was at work on its outputs
    broken = []
    for out in outs(peace, stage):
        there = {path.relative_to(project.root).as_posix(): md5(path) for path in files_of(project.root / out)}
        whole = {name: digest for name, digest in peace.files.items() if name == out or name.startswith(f"{out}/")}
        if there not in ({}, whole):
            broken.append(f"{out}: half made under its own name")
    return broken


def processes(project: Project) -> list[psutil.Process]:
    """Those that run in a project."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()) == project.root.resolve():
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def quiet(project: Project, seconds: float = 60) -> list[str]:
    """Wait until no process runs in a project; those that do not end are a fault, and are ended."""
    end = time.monotonic() + seconds
    while left := processes(project):
        if time.monotonic() > end:
            for process in left:
                process.kill()
            return [f"{len(left)} processes lived on"]
        time.sleep(0.05)
    return []
