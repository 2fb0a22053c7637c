"""The metrics of a Git revision beside those of the working tree, as `dvc metrics diff` compares them."""

import json
import math
import re
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from afterimage.core.errors import AfterimageError

Numbers = dict[str, dict[str, float]]
"""The numbers of each file of metrics, by `<kind of observation>/<row>/<case>`."""
REVISION = re.compile(r"[\w@][\w@./{}^~+-]*")
ROOT, SUFFIX = "metrics", ".json"
TOLERANCE = 1e-6
"""A relative difference up to which two numbers are the same."""


class RevisionError(AfterimageError):
    """A revision cannot be read."""


class Change(NamedTuple):
    """A number that is not the same, or only on one side."""

    row: str
    metric: str
    before: float | None
    now: float | None

    @property
    def change(self) -> float | None:
        return None if self.before is None or self.now is None else self.now - self.before


def recent(project: Path, count: int = 15) -> dict[str, str]:
    """The last commits, newest first: what each says, by its short hash.

    Raises:
        RevisionError: the project is not in a Git repository, or there is no git.
    """
    lines = _git(project, "log", f"--max-count={count}", "--format=%h%x09%s").splitlines()
    return dict(line.split("\t", 1) for line in lines)


def numbers_at(project: Path, revision: str) -> Numbers:
    """The numbers that a revision keeps in Git.

    Args:
        revision: a branch, a tag or a commit, as the visitor typed it.

    Raises:
        RevisionError: there is no such revision.
    """
    if not REVISION.fullmatch(revision):
        raise RevisionError(f"{revision[:60]!r} is no name of a revision; expected a branch, a tag or a commit.")
    try:
        commit = _git(project, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}").strip()
    except RevisionError:
        raise RevisionError(
            f"There is no revision {revision[:60]} here; expected a branch, a tag or a commit."
        ) from None
    names = _git(project, "ls-tree", "-r", "-z", "--name-only", commit, "--", ROOT).split("\0")
    names = [name for name in names if name.endswith(SUFFIX)]
    objects = "".join(f"{commit}:./{name}\n" for name in names)
    answer = _git(project, "cat-file", "--batch", given=objects).encode()
    found: Numbers = {}
    for name in names:
        head, _, answer = answer.partition(b"\n")
        size = int(head.split()[-1])
        found[_row(name)] = _numbers(answer[:size].decode())
        answer = answer[size + 1 :]
    return found


def numbers_now(project: Path) -> Numbers:
    """The numbers of the working tree."""
    files = sorted((project / ROOT).rglob(f"*{SUFFIX}"))
    return {_row(path.relative_to(project).as_posix()): _numbers(path.read_text(encoding="utf-8")) for path in files}


def changes(before: Numbers, now: Numbers) -> list[Change]:
    """Every number that differs between two sides by more than `TOLERANCE`, in the order of rows and metrics."""
    found = []
    for row in sorted(before | now):
        old, new = before.get(row, {}), now.get(row, {})
        names = list(dict.fromkeys([*new, *old]))
        found += [
            Change(row, name, old.get(name), new.get(name))
            for name in names
            if name not in old or name not in new or not math.isclose(old[name], new[name], rel_tol=TOLERANCE)
        ]
    return found


def _row(path: str) -> str:
    return path.removeprefix(f"{ROOT}/").removesuffix(SUFFIX)


def _numbers(text: str) -> dict[str, float]:
    try:
        data: Any = json.loads(text)
    except ValueError:
        return {}
    numbers = data.items() if isinstance(data, dict) else ()
    return {name: value for name, value in numbers if isinstance(value, int | float) and not isinstance(value, bool)}


def _git(project: Path, *words: str, given: str = "") -> str:
    command = ["git", "--no-optional-locks", *words]
    try:
        done = subprocess.run(
            command, cwd=project, input=given, capture_output=True, text=True, check=False, timeout=20
        )
    except FileNotFoundError:
        raise RevisionError("Revisions need git, which is not installed here.") from None
    except subprocess.TimeoutExpired:
        raise RevisionError("Git did not answer within 20 s.") from None
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no reason given"]
        raise RevisionError(f"Git cannot read this project's history: {said[0].removeprefix('fatal: ')}.")
    return done.stdout
