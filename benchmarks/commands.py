"""How long one waits for DVC and for a command that has nothing to do: `python -m benchmarks commands`.

- A `dvc repro` with nothing to do, against `dvc status`, in the project of this folder, which must be up to date; and
  `dvc status` in seconds.
- `afterimage --help`, in seconds; the limit is nothing but patience.

`python -m benchmarks.commands --forced` forces the pipeline besides, which takes minutes and writes its outputs anew:
what a stage costs outside the stage is the wall time of the run less the seconds of the stages' run records
(.afterimage/runs), over the number of stages. It holds DVC's hashing, cache and dvc.lock, and the start of Python.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tabulate import tabulate

from afterimage.core import stage
from benchmarks.measuring import Line, in_turn, ratio, seconds

ROUNDS = 7
BIN = Path(sys.executable).parent


def measure(work: Path) -> Iterator[Line]:
    """Three lines."""
    if call("dvc", "status", "--quiet"):
        yield Line("dvc repro, nothing to do", "dvc status", None, "of its time", 1.2, note="first run `dvc repro`")
    else:
        pairs = in_turn(lambda: call("dvc", "repro"), lambda: call("dvc", "status"), ROUNDS)
        found = ratio(pairs)
        yield Line("dvc repro, nothing to do", "dvc status", found, "of its time", 1.2)
        status = [late for _, late in pairs]
        note = f"{min(status):.2f} to {max(status):.2f}"
        yield Line("dvc status, nothing to do", "", statistics.median(status), "s", 1.5, note=note)
    times = [seconds(lambda: call("afterimage", "--help")) for _ in range(11)]
    note = f"{min(times):.2f} to {max(times):.2f}"
    yield Line("afterimage --help", "", statistics.median(times), "s", 0.5, note=note)


def outside() -> Line:
    """Seconds a stage that a forced run spends outside the stages."""
    path = {"PATH": os.pathsep.join([str(BIN), os.environ.get("PATH", "")])}  # stages are run by `python`
    started = time.time()
    status = subprocess.run([str(BIN / "dvc"), "repro", "--force"], env=os.environ | path).returncode
    wall = time.time() - started
    if status:
        sys.exit(f"dvc repro --force ended with status {status}; there is nothing to measure")
    paths = [path for path in stage.RECORDS.glob("*.json") if path.stat().st_mtime >= started]
    inside = sum(json.loads(path.read_text(encoding="utf-8"))["seconds"] for path in paths)
    note = f"{len(paths)} stages, {wall:.0f} s, of which {inside:.0f} s in stages"
    return Line("dvc repro --force, outside the stages", "", (wall - inside) / len(paths), "s a stage", 2.0, note=note)


def call(command: str, *words: str) -> int:
    """Run a command of this environment in silence and return its status."""
    return subprocess.run([BIN / command, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode


def main() -> None:
    from benchmarks import results

    parser = argparse.ArgumentParser(prog="python -m benchmarks.commands", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--forced", action="store_true", help="force the pipeline too, which takes minutes")
    forced = [outside()] if parser.parse_args().forced else []
    print(tabulate([results.shown(results.entry(line)) for line in [*forced, *measure(Path())]], headers="keys"))


if __name__ == "__main__":
    main()
