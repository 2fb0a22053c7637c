"""Measure everything, or only what is named, and print one table: `python -m benchmarks [NAME ...]`.

Run it in the project's root on a machine that does nothing else. Both sides of a ratio have the instructions and the
threads of a stage (`core.compute`). What was measured goes to `results.json`, the table says what was there before.
Nothing here is a test: the exit status is 0 and the table says what falls short.
"""

import argparse
import importlib
import os
import tempfile
from pathlib import Path

from tabulate import tabulate

from afterimage.core import compute, stage
from afterimage.core.errors import AfterimageError

NAMES = (
    "extract",
    "steps",
    "writing",
    "data",
    "scoring",
    "answer",
    "memory",
    "opening",
    "commands",
    "quality",
    "inversion",
    "inpainting",
    "completion",
    "video",
    "page",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(NAMES)}; none: all")
    names = parser.parse_args().names or NAMES
    if unknown := [name for name in names if name not in NAMES]:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
    compute.pin(stage.PARAMS)
    from benchmarks import results

    before, rows, short = results.read(), [], []
    for name in names:
        load = os.getloadavg()[0]
        with tempfile.TemporaryDirectory(prefix="afterimage-bench-") as work:
            try:
                measured = list(importlib.import_module(f"benchmarks.{name}").measure(Path(work)))
            except AfterimageError as error:
                parser.exit(2, f"{name}: {error}\n")
        results.keep(name, measured, load)
        earlier = results.lines(before, name)
        nothing = {"measured": {"median": None}}
        for what, line in results.lines(results.read(), name).items():
            rows.append(results.shown(line, earlier.get(what, nothing)))
            short += [line["what"]] if results.verdict(line) == "short" else []
    print(tabulate(rows, headers="keys"))
    print(f"\n{len(short)} of {len(rows)} fall short{': ' if short else '.'}{', '.join(short)}")


if __name__ == "__main__":
    main()
