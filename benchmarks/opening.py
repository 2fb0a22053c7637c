"""Shards of 10 thousand, 100 thousand and 1.28 million samples: `python -m benchmarks opening`.

The samples are images of 1 px, 1280 a tar. Each piece of work runs in a process of its own:
`python -m benchmarks.opening open FOLDER` prints its seconds and the most megabytes it held. What counts is the slope:
the exponent by which seconds, and megabytes beyond those of a process that does nothing, grow with the number of
samples. It is 1 where ten times as many take ten times as much.
"""

import math
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from afterimage.core import shards
from afterimage.core.images import encode_png
from benchmarks.measuring import Line
from benchmarks.memory import most_held

COUNTS = (10_000, 100_000, 1_280_000)
A_SHARD = 1280
WORK = ("open", "headers", "find")
SECONDS, MEGABYTES = 1.0, 100.0
"""Opening 1.28 million samples in a thousand tars takes less."""


def measure(work: Path) -> Iterator[Line]:
    """Lines of each piece of work; `work` is an empty folder."""
    if not Path("/proc/self/status").exists():
        yield Line("opening 1.28 million samples", "", None, "", 1, note="needs Linux")
        return
    for count in COUNTS:
        make(work / str(count), count)
    idle = run("nothing", work / str(COUNTS[0]))[1]
    for piece in WORK:
        found = [run(piece, work / str(count)) for count in COUNTS]
        seconds, held = ([each[place] for each in found] for place in (0, 1))
        if piece == "open":
            yield Line("opening 1.28 million samples", "", seconds[-1], "s", SECONDS)
            yield Line("memory of a process that opens them", "", held[-1], "MB", MEGABYTES, note=f"idle: {idle:.0f}")
        for what, values, unit in (("time", seconds, "s"), ("memory", [max(1, each - idle) for each in held], "MB")):
            note = ", ".join(f"{value:.3g}" for value in values) + f" {unit}"
            yield Line(
                f"{piece}: {what} at 10 thousand to 1.28 million", "samples", slope(values), "slope", 1.05, note=note
            )


def slope(values: list[float]) -> float:
    """The exponent by which values grow with COUNTS, from the least to the most."""
    return math.log(values[-1] / values[0]) / math.log(COUNTS[-1] / COUNTS[0])


def make(folder: Path, count: int) -> None:
    """Shards of so many images of 1 px, all of them test images."""
    folder.mkdir(parents=True)
    data = encode_png(np.zeros((1, 1, 3), dtype=np.uint8))
    entries = []
    for start in range(0, count, A_SHARD):
        with shards.writer(folder / f"test-{start // A_SHARD:06d}.tar") as put:
            for number in range(start, min(start + A_SHARD, count)):
                put(f"n{number % 1000:08d}--n{number % 1000:08d}_{number}.png", data)
        entries.append(put.described())
    shards.write_index(folder, {"dataset": "tiny", "size": 1}, {"test": entries})


def run(piece: str, folder: Path) -> tuple[float, float]:
    """Seconds and megabytes of a piece of work in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.opening", piece, str(folder)]
    seconds, held = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    return float(seconds), float(held)


def do(piece: str, folder: Path) -> None:
    if piece == "open":
        table = shards.Table(folder, "test")
        table.bytes(len(table) // 2)
    elif piece == "headers":
        sum(1 for path in sorted(folder.glob("*.tar")) for _ in shards.members(path))
    elif piece == "find":
        table = shards.Table(folder, "test")
        for place in range(0, len(table), 1000):
            table.of(table.keys[place])


if __name__ == "__main__":
    started = time.perf_counter()
    do(sys.argv[1], Path(sys.argv[2]))
    print(time.perf_counter() - started, most_held())
