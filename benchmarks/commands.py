"""How long one waits for a command that has nothing to do: `python -m benchmarks commands`.

- A `dvc repro` with nothing to do, against `dvc status`, in the project of this folder, which must be up to date.
- `afterimage --help`, in seconds; the limit is nothing but patience.
"""

import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measuring import Line, in_turn, ratio, seconds

ROUNDS = 7
BIN = Path(sys.executable).parent


def measure(work: Path) -> Iterator[Line]:
    """A line a command."""
    if call("dvc", "status", "--quiet"):
        yield Line("dvc repro, nothing to do", "dvc status", None, "of its time", 1.3, note="first run `dvc repro`")
    else:
        pairs = in_turn(lambda: call("dvc", "repro"), lambda: call("dvc", "status"), ROUNDS)
        found = ratio(pairs)
        note = f"{found.spread}; dvc status {min(status for _, status in pairs):.1f} s at best"
        yield Line("dvc repro, nothing to do", "dvc status", found.median, "of its time", 1.3, note=note)
    times = [seconds(lambda: call("afterimage", "--help")) for _ in range(11)]
    note = f"{min(times):.2f} to {max(times):.2f}"
    yield Line("afterimage --help", "", statistics.median(times), "s", 0.5, note=note)


def call(command: str, *words: str) -> int:
    """Run a command of this environment in silence and return its status."""
    return subprocess.run([BIN / command, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
