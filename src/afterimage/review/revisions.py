"""A side of a comparison: a Git revision, the folder of a project, or the working tree.

A project may be a folder of its repository; paths are relative to the project either way.
"""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from afterimage.core.errors import AfterimageError

REVISION = re.compile(r"[\w@][\w@./{}^~+-]*")
PROJECT = ("params.yaml", "metrics", "reports/measured")
"""A folder with one of these is a project, or the results of one."""
WORKSPACE = "workspace"


class RevisionError(AfterimageError):
    """A side of a comparison cannot be read."""


class Side(Protocol):
    """The files of a project, as they are or were."""

    @property
    def name(self) -> str:
        """For headings: a short hash, a folder, or `WORKSPACE`."""
        ...

    def files(self, under: str) -> list[str]:
        """The files below a folder, sorted; none where there is no such folder."""
        ...

    def read_all(self, paths: Sequence[str]) -> dict[str, bytes]:
        """The contents of those of these files that are there.

        Raises:
            RevisionError: one is there, but cannot be read.
        """
        ...

    def read(self, path: str) -> bytes | None:
        """The content of a file; None where there is none.

        Raises:
            RevisionError: it is there, but cannot be read.
        """
        ...


def side(project: Path, words: str | None) -> Side:
    """What a user means by the words for a side.

    Args:
        words: the folder of a project, or else a branch, a tag or a commit; None: the working tree of the project.

    Raises:
        RevisionError: there is neither.
    """
    if words is None:
        return Folder(project, WORKSPACE)
    folder = Path(words)
    if words and any((folder / name).exists() for name in PROJECT):
        return Folder(folder, words)
    try:
        return revision(project, words)
    except RevisionError:
        if not folder.exists() and REVISION.fullmatch(words):
            raise
        raise RevisionError(f"{words[:60]!r} is neither a revision nor a folder with {' or '.join(PROJECT)}.") from None


def revision(project: Path, words: str) -> "Revision":
    """A branch, a tag or a commit, as it was typed.

    Raises:
        RevisionError: there is no such revision, no repository, or no git.
    """
    if not REVISION.fullmatch(words):
        raise RevisionError(f"{words[:60]!r} is no name of a revision; expected a branch, a tag or a commit.")
    try:
        said = git(project, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{words}^{{commit}}")
    except RevisionError:
        git(project, "rev-parse", "--git-dir")  # where there is no repository, this says so
        raise RevisionError(f"There is no revision {words[:60]} here; expected a branch, a tag or a commit.") from None
    commit = said.decode().strip()
    return Revision(project, commit, git(project, "rev-parse", "--short", commit).decode().strip())


def recent(project: Path, count: int = 15) -> dict[str, str]:
    """The last commits, newest first: what each says, by its short hash.

    Raises:
        RevisionError: the project is not in a Git repository, or there is no git.
    """
    said = git(project, "log", f"--max-count={count}", "--no-show-signature", "--format=%h%x09%s")
    return dict(line.split("\t", 1) for line in said.decode(errors="replace").splitlines())


@dataclass(frozen=True)
class Folder:
    """A project as it lies on the disk."""

    root: Path
    name: str

    def files(self, under: str) -> list[str]:
        found = [path.relative_to(self.root) for path in (self.root / under).rglob("*") if path.is_file()]
        whole = [path for path in found if not any(part.startswith(".") for part in path.parts)]  # not being written
        return sorted(path.as_posix() for path in whole)

    def read_all(self, paths: Sequence[str]) -> dict[str, bytes]:
        found = {path: self.read(path) for path in paths}
        return {path: data for path, data in found.items() if data is not None}

    def read(self, path: str) -> bytes | None:
        try:
            return (self.root / path).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None
        except OSError as error:
            raise RevisionError(f"{self.name}: {path}: {error.strerror}") from None


@dataclass(frozen=True)
class Revision:
    """A project as a commit keeps it, whatever lies in the working tree."""

    project: Path
    commit: str
    name: str

    @cached_property
    def _blobs(self) -> dict[str, str]:
        """The object of each file of the project."""
        lines = git(self.project, "ls-tree", "-r", "-z", self.commit).decode(errors="surrogateescape").split("\0")
        found = (line.partition("\t") for line in lines if line)
        return {path: about.split()[2] for about, _, path in found if about.split()[1] == "blob"}

    def files(self, under: str) -> list[str]:
        return sorted(path for path in self._blobs if path.startswith(f"{under}/"))

    def read_all(self, paths: Sequence[str]) -> dict[str, bytes]:
        there = [path for path in paths if path in self._blobs]
        if not there:
            return {}
        asked = "".join(f"{self._blobs[path]}\n" for path in there).encode()
        answer = memoryview(git(self.project, "cat-file", "--batch", given=asked))
        found, place = {}, 0
        for path in there:
            line = bytes(answer[place : place + 200]).partition(b"\n")[0]
            start = place + len(line) + 1
            try:
                place = start + int(line.split()[2]) + 1
            except (IndexError, ValueError):  # "<object> missing", where a clone was made without the files
                raise RevisionError(f"{self.name}: {path}: Git does not have this file here.") from None
            found[path] = bytes(answer[start : place - 1])
        return found

    def read(self, path: str) -> bytes | None:
        return self.read_all([path]).get(path)


def git(project: Path, *words: str, given: bytes = b"") -> bytes:
    command = ["git", "--no-optional-locks", *words]
    try:
        done = subprocess.run(command, cwd=project, input=given, capture_output=True, check=False, timeout=20)
    except FileNotFoundError:
        raise RevisionError("Revisions need git, which is not installed here.") from None
    except subprocess.TimeoutExpired:
        raise RevisionError("Git did not answer within 20 s.") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise RevisionError(f"Git cannot read this project's history: {said[0].removeprefix('fatal: ')}.")
    return done.stdout
