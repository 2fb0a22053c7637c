"""Write the tables of docs/chaos.md from what a campaign recorded: `python -m campaigns.chaos.tables`."""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from campaigns.chaos.kills import WAYS
from campaigns.tiny import ROOT

PAGE = ROOT / "docs/chaos.md"
RECORD = ROOT / "campaigns/results/chaos.json"
TABLE = re.compile(r"(<!-- chaos: (\S+) -->\n).*?(\n<!-- end -->)", re.DOTALL)
Strokes = list[dict[str, Any]]


def written(text: str) -> str:
    """The page with its tables as the record is."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    return TABLE.sub(lambda found: f"{found[1]}{TABLES[found[2]](record[found[2]])}{found[3]}", text)


def kills(part: dict[str, Any]) -> str:
    strokes: Strokes = part["strokes"]
    stages = list(dict.fromkeys(stroke["stage"].partition("@")[0] for stroke in strokes))
    counts = [
        [sum(s["way"] == way and s["stage"].partition("@")[0] == stage for s in strokes) for way in WAYS]
        for stage in sorted(stages)
    ]
    told = [
        f"{len(strokes)} kills from the seed {part['seed']} in {part['seconds'] / 60:.0f} minutes.\n"
        f"{sum(s['restarts'] == 1 for s in strokes)} needed one more `dvc repro`, "
        f"{sum(s['restarts'] > 1 for s in strokes)} more than one.\n"
        f"{sum(s['waited'] for s in strokes)} times it waited for a stage that lived on.\n"
        f"{sum(bool(s['by_hand']) for s in strokes)} times a user had to put a file right"
        f"{_files(strokes)}. {sum(bool(s['faults']) for s in strokes)} ended otherwise than in peace.",
        "",
        *_table(["kills", *WAYS], ([stage, *row] for stage, row in zip(sorted(stages), counts, strict=True))),
    ]
    return "\n".join(told)


def luck(part: dict[str, Any]) -> str:
    lines = [
        [
            stroke["what"],
            f"`{stroke['stage']}`",
            stroke["skipped"] or (f"`{stroke['said']}`" if stroke["said"] else "came to its end"),
            "no" if stroke["faults"] else f"yes, without `{stroke['by_hand']}`" if stroke["by_hand"] else "yes",
        ]
        for stroke in part["strokes"]
    ]
    told = f"From the seed {part['seed']}, in {part['seconds'] / 60:.0f} minutes."
    return "\n".join(
        [told, "", *_table(["what", "stage", "what it said", "the same command then ended as in peace"], lines)]
    )


def flips(part: dict[str, Any]) -> str:
    lines = [
        [stroke["kind"], stroke["where"], "yes" if stroke["named"] else "no", "yes" if stroke["mended"] else "no"]
        for stroke in part["strokes"]
    ]
    return "\n".join(
        [f"From the seed {part['seed']}.", "", *_table(["file", "where", "named, and nothing else", "mended"], lines)]
    )


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {"kills": kills, "luck": luck, "flips": flips}


def _files(strokes: Strokes) -> str:
    names = sorted({stroke["by_hand"] for stroke in strokes} - {""})
    return f" ({', '.join(f'`{name}`' for name in names)})" if names else ""


def _table(heads: list[str], lines: Iterable[list[Any]]) -> list[str]:
    shown = [[str(cell).replace("|", "\\|") for cell in line] for line in (heads, ["---"] * len(heads), *lines)]
    return [f"| {' | '.join(line)} |" for line in shown]


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
