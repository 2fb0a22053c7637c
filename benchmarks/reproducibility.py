"""Force the pipeline twice and compare every result bit for bit: `python -m benchmarks.reproducibility`.

Runs `dvc repro --force` two times in the project, and nothing is taken from the run cache. Then says for each stage
whether the hashes of its outputs in dvc.lock are the same, and for each file of metrics/ and reports/ whether its bytes
are. The exit status is 1 if anything differs.

The second run has all that may change bits against it: one core, and an environment in which every variable that picks
instructions or threads says something else. It takes about twice as long as the first.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import NamedTuple

from ruamel.yaml import YAML
from tabulate import tabulate

from afterimage.core import compute, outputs

HOSTILE = {
    **dict.fromkeys((*compute.UNSET, *compute.THREADS, "OPENBLAS_NUM_THREADS"), "5"),
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "DNNL_MAX_CPU_ISA": "SSE41",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "MKL_CBWR": "AUTO",
    "NPY_DISABLE_CPU_FEATURES": "X86_V3",
    "OPENBLAS_CORETYPE": "Nehalem",
    "OPENCV_IPP": "sse42",
    "OPENCV_CPU_DISABLE": "AVX2",
    "OMP_DYNAMIC": "TRUE",
    "OMP_PROC_BIND": "TRUE",
    "OMP_PLACES": "cores",
}
"""What a caller may have set, and no result may depend on."""
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
    first = force(project, "first")
    second = force(project, "second", HOSTILE, cores={min(os.sched_getaffinity(0))})
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


def force(project: Path, which: str, environment: Mapping[str, str] = {}, cores: Set[int] | None = None) -> Run:
    """Run the whole pipeline and take stock of what it left.

    Args:
        environment: goes over this process's own.
        cores: those that the run may use; None: all.
    """
    print(f"The {which} of two runs of `dvc repro --force`", flush=True)
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores or mine)  # the run inherits it
    try:
        status = subprocess.run([DVC, "repro", "--force"], cwd=project, env={**os.environ, **environment}).returncode
    finally:
        os.sched_setaffinity(0, mine)
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
