"""Other bad luck: a disk that fills, a read-only folder, a clock that jumps, inputs that go away, two runs at once.

A full disk is a small tmpfs, and a read-only folder a mount, since permissions do not count for root; where mounts are
not allowed both are skipped, with the reason.
"""

import os
import random
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from campaigns.chaos.ground import LIMIT, STAGES, Peace, faults, files_of, go_on, half_made, outs, script, undone
from campaigns.chaos.kills import start
from campaigns.tiny import Project, ran

GB = 1 << 30


class Stroke(NamedTuple):
    """What happened to a stage."""

    what: str
    stage: str
    said: str
    """The line that it ended with; empty where it came to its end all the same."""
    by_hand: str
    """What a user had to remove before it went on."""
    skipped: str
    faults: list[str]


def all_of(peace: Peace, seed: int, work: Path) -> Iterator[Stroke]:
    draw = random.Random(f"luck/{seed}")
    work.mkdir()
    reason = _no_mounts(work)
    for stage in STAGES:
        part = draw.random()
        if reason:
            yield Stroke("full disk", stage, "", "", reason, [])
        else:
            yield full_disk(peace, stage, part, work)
    for stage in ("observe@small", "train@small-relu"):
        yield Stroke("read-only data/", stage, "", "", reason, []) if reason else read_only(peace, stage, work)
    work.rmdir()
    for years in (-10, 10):
        yield clock(peace, years, work)
    for stage in ("train@pix2pix", "evaluate@small-relu", "report"):
        yield renamed(peace, stage, draw.random(), work)
    for stage in ("observe@small", "train@small-pixelrnn", "report"):
        yield twice(peace, stage, draw.random(), work)


def full_disk(peace: Peace, stage: str, part: float, work: Path) -> Stroke:
    """The disk has room for a part of what the stage writes; then it has more."""
    with _mounted(work, "-t", "tmpfs", "-o", f"size={4 * GB}", "tmpfs"):
        project = undone(peace, stage, work, link=False)
        disk = os.statvfs(work)
        needed = sum(path.stat().st_size for out in outs(peace, stage) for path in files_of(peace.project.root / out))
        used = (disk.f_blocks - disk.f_bfree) * disk.f_frsize
        _remount(work, f"size={used + int(part * needed) // 4096 * 4096}")
        said, found = _told(project, peace, stage)
        _remount(work, f"size={4 * GB}")
        return _ended(Stroke("full disk", stage, said, "", "", found), project, peace)


def read_only(peace: Peace, stage: str, work: Path) -> Stroke:
    with _mounted(work, "-t", "tmpfs", "-o", f"size={4 * GB}", "tmpfs"):
        project = undone(peace, stage, work, link=False)
        with _mounted(work / "data", "--bind", str(work / "data")):
            _remount(work / "data", "ro,bind")
            said, found = _told(project, peace, stage)
        return _ended(Stroke("read-only data/", stage, said, "", "", found), project, peace)


def clock(peace: Peace, years: int, work: Path) -> Stroke:
    """All files of data/ are from another time: nothing may run for that."""
    project = peace.project.copy(work, link=False)
    when = time.time() + years * 365 * 86400
    for path in files_of(work / "data"):
        os.utime(path, (when, when))
    done = project.run("dvc", "repro", status=None, timeout=LIMIT)
    found = [f"{stage} ran" for stage in ran(done.stdout + done.stderr)] + ([done.stderr] if done.returncode else [])
    found += faults(project, peace)
    shutil.rmtree(work)
    return Stroke(f"times of data/ {years:+} years", "all", "", "", "", found)


def renamed(peace: Peace, stage: str, seconds: float, work: Path) -> Stroke:
    """The shards go away while a stage that reads them runs, and come back."""
    project = undone(peace, stage, work)
    here, away = work / "data/shards", work / "data/away"
    with (work / ".git/run.log").open("wb") as log:
        run = start(project, "-s", stage, log=log.fileno())
        time.sleep(2 + 3 * seconds)
        here.rename(away)
        run.wait(LIMIT)
        away.rename(here)
    text = (work / ".git/run.log").read_text(encoding="utf-8")
    found = ["a traceback"] if "Traceback" in text else []
    return _ended(Stroke("shards renamed", stage, _line(text, stage, work), "", "", found), project, peace)


def twice(peace: Peace, stage: str, seconds: float, work: Path) -> Stroke:
    """Two people give the same command."""
    project = undone(peace, stage, work)
    with (work / ".git/one.log").open("wb") as one, (work / ".git/two.log").open("wb") as two:
        runs = [start(project, "-s", stage, log=one.fileno())]
        time.sleep(3 * seconds)
        runs.append(start(project, "-s", stage, log=two.fileno()))
        ends = [run.wait(LIMIT) for run in runs]
    texts = [(work / ".git" / name).read_text(encoding="utf-8") for name in ("one.log", "two.log")]
    found = ["a traceback" for text in texts if "Traceback" in text]
    found += [] if 0 in ends else ["neither came to its end"]
    said = " ".join(line for text in texts for line in text.splitlines() if line.startswith("ERROR"))
    return _ended(Stroke("two at once", stage, said.replace(str(work), "."), "", "", found), project, peace)


def _ended(stroke: Stroke, project: Project, peace: Peace) -> Stroke:
    """The same command again, now that nothing is in its way."""
    end = go_on(project, peace, stroke.stage)
    if not project.root.is_mount():
        shutil.rmtree(project.root)
    return stroke._replace(by_hand=end.by_hand, faults=[*stroke.faults, *end.faults])


def _told(project: Project, peace: Peace, stage: str) -> tuple[str, list[str]]:
    """Run a stage that cannot end well: the line that it says, and what is wrong with how it ends."""
    done = project.run("dvc", "repro", "-s", stage, status=None, timeout=LIMIT)
    text = done.stdout + done.stderr
    said = _line(text, stage, project.root)
    found = ["a traceback"] if "Traceback" in text else []
    if done.returncode and not said:
        found.append(f"no line of its own: {text.strip().splitlines()[-1]}")
    return said, [*found, *half_made(project, peace, stage)]


def _line(text: str, stage: str, root: Path) -> str:
    """What a stage, or else DVC, says where it ends."""
    lines = [part.strip() for line in text.splitlines() for part in line.split("\r")]
    own = [line for line in lines if line.startswith(f"{script(stage)}: ") and "waits for" not in line]
    line = (own or [line for line in lines if line.startswith("ERROR: ")] or [""])[0]
    return line.replace(str(root), ".")


@contextmanager
def _mounted(place: Path, *words: str) -> Iterator[None]:
    subprocess.run(["mount", *words, str(place)], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def _remount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)


def _no_mounts(work: Path) -> str:
    """Why nothing can be mounted here; empty where it can."""
    try:
        with _mounted(work, "-t", "tmpfs", "tmpfs"):
            return ""
    except FileNotFoundError:
        return "there is no `mount` here"
    except subprocess.CalledProcessError as error:
        return re.sub(
            r"^mount: [^:]*: ", "mounts are not allowed here: ", error.stderr.decode().strip().splitlines()[0]
        )
