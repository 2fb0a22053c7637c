"""What was measured, kept in `results.json`, and its tables: the lines of each benchmark, and the machine they are of.

`python -m benchmarks` keeps what it measured and writes the tables of the pages that have some, and so does
`python -m benchmarks.results` alone:

    <!-- measured: extract writing -->
    <!-- end -->
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from math import isinf
from pathlib import Path
from typing import Any

from afterimage.core import outputs, params, stage
from afterimage.core.compute import SECTION, ComputeRow
from benchmarks.measuring import Line, Ratio

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results.json"
PAGES = (ROOT / "benchmarks/README.md",)
TABLE = re.compile(r"(<!-- measured: (\w+(?: \w+)*) -->\n).*?(<!-- end -->)", re.DOTALL)

Kept = Mapping[str, Any]
"""By benchmark: `machine`, and `lines`, each a line as it was measured."""


def read() -> dict[str, Any]:
    return dict(json.loads(RESULTS.read_text(encoding="utf-8"))) if RESULTS.is_file() else {}


def keep(name: str, lines: Sequence[Line], load: float) -> None:
    """Put what a benchmark measured in the place of what it measured before, and write the tables.

    Args:
        load: of the machine before, as `os.getloadavg` has it.
    """
    compute = params.table(stage.PARAMS, SECTION, ComputeRow)
    cores = len(os.sched_getaffinity(0))
    machine = {**stage.machine(), "cores": cores, "threads": compute.threads, "load": round(load, 1)}
    outputs.write_json(RESULTS, read() | {name: {"machine": machine, "lines": [entry(line) for line in lines]}})
    write()


def write() -> None:
    """Write the tables of all pages."""
    for page in PAGES:
        page.write_text(written(page.read_text(encoding="utf-8"), read()), encoding="utf-8")


def entry(line: Line) -> dict[str, Any]:
    """A line as JSON takes it; numbers have four digits."""
    found = line.measured._asdict() if isinstance(line.measured, Ratio) else {"median": line.measured}
    measured = {key: _rounded(value) for key, value in found.items()}
    return {**line._asdict(), "measured": measured, "target": _rounded(line.target)}


def verdict(line: Mapping[str, Any]) -> str:
    value, target = line["measured"]["median"], line["target"]
    if value is None:
        return "not measured"
    return "ok" if target is None or value == target or (value < target) == line["at_most"] else "short"


def shown(line: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> dict[str, str]:
    """A line in words, by the heads of the table.

    Args:
        before: the same line of an earlier run.
    """
    found = line["measured"]
    value = "-" if found["median"] is None else f"{found['median']:.3g}"
    spread = f" ({found['low']:.2f} to {found['high']:.2f}, {found['pairs']} pairs)" if "pairs" in found else ""
    target = "" if line["target"] is None else f"at {'most' if line['at_most'] else 'least'} {line['target']:.3g}"
    words = {
        "what": line["what"],
        "against": line["limit"],
        "measured": f"{value} {line['unit']}".strip() + spread,
        "target": target,
        "": verdict(line),
        "note": "; ".join(filter(None, (line["note"], line["because"] if verdict(line) == "short" else ""))),
    }
    if before is not None:
        earlier = before["measured"]["median"]
        words["before"] = "-" if earlier is None else f"{earlier:.3g}"
    return words


def lines(kept: Kept, name: str) -> dict[str, Mapping[str, Any]]:
    """What a benchmark measured, by what it is of."""
    return {f"{line['what']}, {line['limit']}": line for line in kept.get(name, {"lines": []})["lines"]}


def table(kept: Kept, *names: str) -> str:
    """The lines of benchmarks as Markdown, and the machines that they are of."""
    rows = [shown(line) for name in names for line in lines(kept, name).values()]
    heads = list(rows[0])
    text = [f"| {' | '.join(heads)} |", f"| {' | '.join('---' for _ in heads)} |"]
    text += [f"| {' | '.join(row.values())} |" for row in rows]
    machines = {_machine(kept[name]["machine"]): None for name in names}
    return "\n".join([*text, "", *machines])


def written(text: str, kept: Kept) -> str:
    """A page with its tables as the results are; those of benchmarks that were not run stay empty."""
    return TABLE.sub(lambda found: found[1] + _table_or_nothing(kept, found[2].split()) + found[3], text)


def _table_or_nothing(kept: Kept, names: Sequence[str]) -> str:
    there = [name for name in names if name in kept]
    return f"{table(kept, *there)}\n" if there else ""


def _machine(about: Mapping[str, Any]) -> str:
    cpu, packages = about["cpu"], about["packages"]
    cores = f"cores: {about['cores']}, threads of torch: {about['threads']}, load before: {about['load']}"
    versions = ", ".join(f"{name} {packages[name]}" for name in ("torch", "numpy", "pillow"))
    return f"Measured on: {cpu.get('name', cpu['machine'])}; {cores}; Python {about['python']}, {versions}."


def _rounded(value: float | None) -> float | None:
    return value if value is None or isinstance(value, int) else None if isinf(value) else float(f"{value:.4g}")


if __name__ == "__main__":
    write()
