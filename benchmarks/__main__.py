"""Measure everything, or only what is named, and print one table: `python -m benchmarks [NAME ...]`.

Run it in the project's root on a machine that does nothing else. Nothing here is a test: the exit status is 0 and the
table says what falls short.
"""

import argparse
import importlib
import tempfile
from pathlib import Path

from tabulate import tabulate

from afterimage.core.errors import AfterimageError
from benchmarks.measuring import Line

NAMES = (
    "extract",
    "steps",
    "writing",
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
    lines: list[Line] = []
    for name in names:
        with tempfile.TemporaryDirectory(prefix="afterimage-bench-") as work:
            try:
                lines += importlib.import_module(f"benchmarks.{name}").measure(Path(work))
            except AfterimageError as error:
                parser.exit(2, f"{name}: {error}\n")
    print(tabulate([shown(line) for line in lines], headers="keys"))
    short = [line.what for line in lines if line.verdict == "short"]
    print(f"\n{len(short)} of {len(lines)} fall short{': ' if short else '.'}{', '.join(short)}")


def shown(line: Line) -> dict[str, str]:
    return {
        "what": line.what,
        "limit": line.limit,
        "measured": "-" if line.measured is None else f"{line.measured:.3g}",
        "unit": line.unit,
        "target": f"{'<=' if line.at_most else '>='} {line.target:.3g}",
        "": line.verdict,
        "middle half, and more": line.note,
    }


if __name__ == "__main__":
    main()
