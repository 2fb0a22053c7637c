"""What rows and presets of before left behind: results that no stage of dvc.yaml writes any more.

DVC removes an output when its stage runs again, and so never that of a row which was taken out of params.yaml. `dvc
metrics show` lists such numbers for ever, beside those that hold.
"""

import shutil
from pathlib import Path
from typing import Any, NamedTuple

from afterimage.core import layout
from afterimage.core.errors import AfterimageError

ROW = "row"
PLACES = (
    layout.raw(ROW),
    layout.shards(ROW),
    layout.weights(ROW),
    layout.observation(ROW),
    layout.model(ROW),
    layout.reconstructions(ROW),
    layout.metrics("kind", ROW),
    layout.measured(ROW),
    layout.validation(ROW),
    layout.training_state(ROW),
)
"""Where results of rows lie: only these are looked at, and what somebody keeps beside them is not."""


class Leftover(NamedTuple):
    """A file or folder that no stage writes."""

    path: Path
    """Relative to the project."""
    bytes: int


def clean(project: Path, dry: bool) -> list[Leftover]:
    """What is left over in a project, which is removed unless the run is `dry`.

    DVC's cache is left as it is. The project is locked meanwhile, since a stage that runs has files that no finished
    one has.

    Raises:
        AfterimageError: DVC cannot read the project, or a stage runs.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(project)) as repo, repo.lock:
            found = _find(repo)
            for each in () if dry else found:
                path = Path(repo.root_dir) / each.path
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    except DvcException as error:
        raise AfterimageError(f"{project}: DVC cannot work on it: {error}") from None
    return found


def _find(repo: Any) -> list[Leftover]:
    root = Path(repo.root_dir)
    used = [Path(each.fs_path) for each in (*repo.index.outs, *repo.index.deps) if each.is_in_repo]
    rows = {path.stem for path in used}
    training = layout.training_state(ROW).parent
    found = []
    for folder in sorted({parent for place in PLACES for parent in _folders(root, place)}):
        for path in sorted(folder.iterdir()):
            name = path.relative_to(root)
            if path.name.startswith(".git") or path.suffix in (".dvc", ".md"):
                continue
            whole = path.with_name(path.name.removeprefix(".").removesuffix(".partial"))  # of a run that was killed
            known = path.name in rows if name.parent == training else any(_touch(whole, each) for each in used)
            if not known:
                found.append(Leftover(name, _size(path)))
    return found


def _folders(root: Path, place: Path) -> list[Path]:
    """The folders whose entries are results of rows."""
    pattern = place.parent.as_posix().replace("kind", "*")
    return [path for path in root.glob(pattern) if path.is_dir()]


def _touch(path: Path, other: Path) -> bool:
    return path == other or path in other.parents or other in path.parents


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(each.stat().st_size for each in files)
