"""A flipped byte in every kind of file: found and named by `afterimage verify --files`, and mended as that says."""

import os
import random
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from campaigns.chaos.ground import CACHE, Peace, faults

REMOTE = "store"


class Flip(NamedTuple):
    """A byte that was turned over where DVC does not look: the file keeps its inode, size and time."""

    kind: str
    path: str
    where: str
    """`output`: in the workspace alone; `linked`: in the cache too, which shares the file; `cache` or `remote`."""
    named: bool
    """Whether the file was named, and nothing else."""
    mended: bool
    """Whether the command that was said brought the same bits back."""
    faults: list[str]


def all_of(peace: Peace, seed: int, work: Path) -> Iterator[Flip]:
    """One of each kind of file under data/, by turns with the cache that shares it, then in the cache and a remote."""
    draw = random.Random(f"flips/{seed}")
    for number, (kind, names) in enumerate(sorted(kinds(peace).items())):
        yield flip(peace, kind, draw.choice(names), ("output", "linked")[number % 2], draw, work)
    objects = [name for name in peace.files if name.startswith(f"{CACHE.as_posix()}/")]
    for kind, chosen in (
        ("object", [name for name in objects if not name.endswith(".dir")]),
        ("list of a folder", [name for name in objects if name.endswith(".dir")]),
    ):
        for where in ("cache", "remote"):
            yield flip(peace, kind, draw.choice(chosen), where, draw, work)


def kinds(peace: Peace) -> dict[str, list[str]]:
    """The files of data/ by folder and name, numbers and names of rows apart."""
    found: dict[str, list[str]] = {}
    for name in peace.files:
        parts = Path(name).parts
        if parts[0] == "data" and len(parts) > 2 and (Path(peace.project.root) / name).stat().st_size:
            last = re.sub(r"\d+|^(train|val|test)(?=-)", "N", parts[-1]) if len(parts) > 3 else f"*{Path(name).suffix}"
            found.setdefault(f"{parts[1]}/{last}", []).append(name)
    return found


def flip(peace: Peace, kind: str, name: str, where: str, draw: random.Random, work: Path) -> Flip:
    project = peace.project.copy(work, without=(".dvc/tmp", "src"))
    shutil.copytree(peace.project.root / "src", work / "src", symlinks=True)
    if where == "remote":
        project.dvc("remote", "add", "--default", REMOTE, str(work / ".git" / REMOTE))
        project.dvc("push", "--quiet")
        name = f".git/{REMOTE}/{Path(name).relative_to(CACHE.parents[1]).as_posix()}"
    path = project.root / name
    whole = path.read_bytes()
    struck = [path]
    if where == "linked":
        struck.append(project.root / CACHE / peace.files[name][:2] / peace.files[name][2:])
    turn(struck, draw)
    done = project.run("afterimage", "verify", "--files", status=None)
    lines = done.stderr.splitlines()
    named = done.returncode == 1 and len(lines) == 1 and lines[0].startswith(f"afterimage: {name}: ")
    for command in re.findall(r"`([^`]+)`", lines[0].partition("mends it")[0]) if named else []:
        project.run(*shlex.split(command), status=None)
    mended = named and path.is_file() and path.read_bytes() == whole
    found = [] if named else [f"{name} was not named: {done.returncode}, {done.stdout.strip()} {done.stderr.strip()}"]
    found += [] if mended else [f"{name} was not mended: {done.stderr.strip()}"]
    if where == "remote":
        project.dvc("remote", "remove", REMOTE)
    found += faults(project, peace)
    shutil.rmtree(work)
    return Flip(kind, name, where, named, mended, found)


def turn(paths: list[Path], draw: random.Random) -> None:
    """Turn a byte over, in a file of its own that all names then share; the time stays."""
    before = paths[0].stat()
    data = bytearray(paths[0].read_bytes())
    place = draw.randrange(len(data))
    data[place] ^= 1 << draw.randrange(8)
    paths[0].unlink()
    paths[0].write_bytes(data)
    for other in paths[1:]:
        other.unlink()
        other.hardlink_to(paths[0])
    paths[0].chmod(before.st_mode)
    os.utime(paths[0], ns=(before.st_atime_ns, before.st_mtime_ns))
