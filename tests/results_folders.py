"""Folders with results that are written by hand, so that tests of comparisons know every number."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from afterimage.core import layout, outputs

GROUPS = [f"g{number // 4}" for number in range(20)]
"""Five photographs of four tiles."""
KEYS = [f"{group}_y{number:04d}" for number, group in enumerate(GROUPS)]
PSNR = 20 + np.linspace(-3, 3, len(KEYS))
PROVENANCE: dict[str, Any] = {
    "dataset": "photos",
    "images": "1a",
    "observations": {"test": "2b", "heavy": "3c", "light": "4d"},
    "lpips": "5e",
    "seeds": [0],
    "metrics": {"psnr": "RGB", "lpips": "AlexNet", "hole_psnr": "inside"},
}


def result(
    root: Path,
    place: str,
    columns: Mapping[str, npt.ArrayLike],
    kind: str = "features",
    provenance: Mapping[str, Any] | None = PROVENANCE,
    keys: Sequence[str] = KEYS,
    groups: Sequence[str] = GROUPS,
) -> None:
    """What `evaluate` leaves of `<row>/<case>`: values `[N]` of each metric, or `[S, N]` of several training seeds."""
    row, _, case = place.partition("/")
    values = {name: np.atleast_2d(np.asarray(each, dtype=np.float64)) for name, each in columns.items()}
    lines = zip(keys, keys, groups, *_shown(each.mean(axis=0) for each in values.values()), strict=True)
    folder = root / layout.measured(row)
    outputs.write_csv(folder / case / "images.csv", ["key", "image", "group", *columns], lines)
    count = max(len(each) for each in values.values())
    if count > 1:
        several = [
            line
            for seed in range(count)
            for line in zip([seed] * len(keys), keys, *_shown(each[seed] for each in values.values()), strict=True)
        ]
        outputs.write_csv(folder / case / "seeds.csv", ["seed", "key", *columns], several)
    means = {name: float(each.mean()) for name, each in values.items()}
    outputs.write_json(root / layout.metrics(kind, row) / f"{case}.json", means)
    if provenance is not None:
        cases = sorted(path.parent.relative_to(folder).as_posix() for path in folder.rglob("images.csv"))
        outputs.write_json(folder / "provenance.json", {"kind": kind, "cases": cases, **provenance})


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    return subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True).stdout


def commit(folder: Path, text: str) -> str:
    """Commit all that lies in a folder, in a repository that is made if need be; returns the short hash."""
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", text)
    return git(folder, "rev-parse", "--short", "HEAD").strip()


def _shown(columns: Any) -> list[list[str]]:
    return [[f"{value:.6g}" for value in column] for column in columns]
