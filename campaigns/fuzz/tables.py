"""Write the table of docs/fuzz.md from what a campaign recorded: `python -m campaigns.fuzz.tables`."""

import json
import re

from campaigns.fuzz.__main__ import RECORD
from campaigns.tiny import ROOT

PAGE = ROOT / "docs/fuzz.md"
TABLE = re.compile(r"(<!-- fuzz -->\n).*?(<!-- end -->)", re.DOTALL)


def written(text: str) -> str:
    """The page with its table as the record is."""
    record = json.loads((ROOT / RECORD).read_text(encoding="utf-8"))
    total, outcomes = sum(record["inputs"].values()), record["outcomes"]
    found = len(record["findings"])
    processes = f"{record['processes']} process{'es' if record['processes'] > 1 else ''}"
    told = (
        f"Seed {record['seed']}: {total:,} inputs in {record['seconds']:,} s with {processes} of at most "
        f"{record['peak_mb']} MB, Python {record['python']}. Findings: {found or 'none'}."
    )
    kinds = ", ".join(f"`{name}` {count:,}" for name, count in sorted(outcomes.items(), key=lambda each: -each[1]))
    return TABLE.sub(lambda match: f"{match[1]}{told}\n\nHow they ended: {kinds}.\n{match[2]}", text)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
