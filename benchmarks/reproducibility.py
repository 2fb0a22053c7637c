"""Force the pipeline twice and compare every result bit for bit: `python -m benchmarks.reproducibility`.

Runs `dvc repro --force` two times in the project (twice the time of the whole pipeline, and nothing is taken from the
run cache), then says for each stage whether the hashes of its outputs in dvc.lock are the same, and for each file of
metrics/ and reports/ whether its bytes are. The exit status is 1 if anything differs.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ruamel.yaml import YAML
from tabulate import tabulate

from afterimage.core import outputs

DVC = Path(sys.executable).with_name("dvc")


class Run(NamedTuple):
    """What a run left: hashes by path, for the outputs of each stage, and for files."""

    stages: dict[str, dict[str, str]]
    files: dict[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reproducibility", description=__doc__.splitlines()[0])
    parser.add_argument("--project", type=Path, default=Path(), help="the folder with dvc.yaml; default: this one")
    project = parser.parse_args().project
    if not (project / "dvc.yaml").is_file():
        parser.error(f"{project}: there is no dvc.yaml here")
    first, second = force(project, "first"), force(project, "second")
    stages = list(compared(first.stages, second.stages))
    files = list(compared(first.files, second.files))
    counts = [len(first.stages.get(name, {})) for name, _ in stages]
    print(
        tabulate([(*line, count) for line, count in zip(stages, counts, strict=True)], ("stage", "two runs", "outputs"))
    )
    print()
    print(tabulate(files, ("file", "two runs")))
    differing = [name for name, verdict in stages + files if verdict != "same"]
    print(f"\n{len(stages)} stages and {len(files)} files: ", end="")
    if differing:
        print(f"{len(differing)} not the same: {', '.join(differing)}")
        sys.exit(1)
    print("all the same, bit for bit")


def force(project: Path, which: str) -> Run:
    """Run the whole pipeline and take stock of what it left."""
    print(f"The {which} of two runs of `dvc repro --force`", flush=True)
    status = subprocess.run([DVC, "repro", "--force"], cwd=project).returncode
    if status:
        sys.exit(f"dvc repro --force ended with status {status}; there is nothing to compare")
    lock = YAML(typ="safe").load((project / "dvc.lock").read_text(encoding="utf-8"))
    stages = {
        name: {out["path"]: out.get("md5", "") for out in stage.get("outs", [])}
        for name, stage in lock["stages"].items()
    }
    kept = [project / "dvc.lock"]
    for folder in ("metrics", "reports"):
        kept += (path for path in sorted((project / folder).rglob("*")) if path.is_file())
    return Run(stages, {path.relative_to(project).as_posix(): outputs.sha256(path) for path in kept})


def compared(first: dict, second: dict) -> Iterator[tuple[str, str]]:
    """Each name of either run and whether both runs have the same under it."""
    for name in sorted({**first, **second}):
        if name not in first or name not in second:
            yield name, f"only in the {'first' if name in first else 'second'} run"
            continue
        one, other = first[name], second[name]
        if isinstance(one, dict):
            paths = [path for path, verdict in compared(one, other) if verdict != "same"]
            yield name, f"differ: {', '.join(paths)}" if paths else "same"
        else:
            yield name, "same" if one == other else "differ"


if __name__ == "__main__":
    main()
