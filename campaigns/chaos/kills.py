"""Kills at random moments of every kind of stage, and what comes of going on."""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from campaigns.chaos.ground import LIMIT, STAGES, Duration, Peace, faults, go_on, half_made, quiet, undone
from campaigns.tiny import Project

WAYS = {
    "KILL all": signal.SIGKILL,
    "KILL stage": signal.SIGKILL,
    "KILL dvc": signal.SIGKILL,
    "TERM all": signal.SIGTERM,
    "INT all": signal.SIGINT,
}
"""A signal, and who gets it: the whole process group as from a terminal, the stage's process, or DVC's."""


class Kill(NamedTuple):
    """What is drawn: it follows from the seed and the number alone."""

    number: int
    stage: str
    way: str
    moment: float
    """The part of the command's duration after which it comes; of the stage's, where the stage alone is killed."""


class Outcome(NamedTuple):
    number: int
    stage: str
    way: str
    moment: float
    early: int
    """How often the command was quicker than the kill, and was run anew."""
    restarts: int
    waited: bool
    """Whether a new process had to wait for the stage that lived on."""
    by_hand: str
    """What a user had to remove before it went on."""
    faults: list[str]
    seconds: float


def draw(seed: int, number: int) -> Kill:
    """The kill of a number. Every so many numbers, each stage is killed once in each way."""
    pairs = [(stage, way) for stage in STAGES for way in WAYS]
    turn, place = divmod(number, len(pairs))
    random.Random(f"{seed}/{turn}").shuffle(pairs)
    stage, way = pairs[place]
    return Kill(number, stage, way, random.Random(f"{seed}/{number}").random())


def all_of(peace: Peace, seed: int, numbers: Iterable[int], work: Path) -> Iterator[Outcome]:
    """The kills of these numbers, one after the other."""
    durations: dict[str, Duration] = {}
    for kill in (draw(seed, number) for number in numbers):
        if kill.stage not in durations:
            durations[kill.stage] = measure(peace, kill.stage, work)
        outcome = strike(peace, kill, durations[kill.stage], work)
        if outcome.early:
            del durations[kill.stage]  # the machine has become quicker: kills would all come at the end, or too late
        yield outcome


def measure(peace: Peace, stage: str, work: Path) -> Duration:
    """How long a stage takes where nothing strikes. It must end as it did before.

    Raises:
        AssertionError: it does not.
    """
    project = undone(peace, stage, work)
    started = time.monotonic()
    began = ended = 0.0
    with (work / ".git/first.log").open("wb") as log:
        run = start(project, "-s", stage, log=log.fileno())
        while run.poll() is None:
            if stage_process(run):
                ended = time.monotonic() - started
                began = began or ended
            time.sleep(0.02)
    whole = time.monotonic() - started
    assert run.returncode == 0, (work / ".git/first.log").read_text(encoding="utf-8")
    assert not (found := faults(project, peace)), f"{stage} in peace: {found}"
    shutil.rmtree(work)
    return Duration(whole, began, ended)


def strike(peace: Peace, kill: Kill, duration: Duration, work: Path) -> Outcome:
    """Kill a stage once, go on until it is done, and compare."""
    started = time.monotonic()
    early, moment = 0, kill.moment
    while True:
        project = undone(peace, kill.stage, work)
        if killed(project, kill, duration, moment):
            break
        quiet(project)
        shutil.rmtree(work)
        early, moment = early + 1, moment * 0.9
    found: list[str] = []
    if kill.way != "KILL dvc":
        found += quiet(project, seconds=20)
        found += half_made(project, peace, kill.stage)
    end = go_on(project, peace, kill.stage)
    shutil.rmtree(work)
    waited = "waits for another process" in end.said
    return Outcome(
        *kill, early, end.times, waited, end.by_hand, [*found, *end.faults], round(time.monotonic() - started, 1)
    )


def start(project: Project, *words: str, log: int = subprocess.DEVNULL) -> "subprocess.Popen[bytes]":
    """`dvc repro` in a process group of its own, as a shell does it: one signal can end all of it."""
    return subprocess.Popen(
        ["dvc", "repro", *words],
        cwd=project.root,
        env=project.environment,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )


def killed(project: Project, kill: Kill, duration: Duration, moment: float) -> bool:
    """Start a stage and kill it; False if it ended before."""
    run = start(project, "-s", kill.stage)
    alone = kill.way == "KILL stage"
    if alone:
        while run.poll() is None and not stage_process(run):
            time.sleep(0.005)
    time.sleep(moment * (duration.ended - duration.began if alone else duration.whole))
    victim = stage_process(run) if alone else None
    if run.poll() is not None or (alone and victim is None):
        run.wait(LIMIT)
        return False
    if victim is not None:
        victim.kill()
    elif kill.way == "KILL dvc":
        run.kill()
    else:
        os.killpg(run.pid, WAYS[kill.way])
    run.wait(LIMIT)
    return True


def stage_process(run: "subprocess.Popen[bytes]") -> psutil.Process | None:
    """The process of the stage's script, while there is one."""
    try:
        for process in psutil.Process(run.pid).children(recursive=True):
            words = process.cmdline()
            if len(words) > 1 and "python" in words[0] and words[1].startswith("stages/"):
                return process
    except psutil.Error:
        pass
    return None
