"""The figures of docs/fuzz.md are those of the recorded campaign, which found nothing."""

import json

from campaigns.fuzz import tables
from campaigns.fuzz.__main__ import RECORD
from campaigns.fuzz.targets import TARGETS


def test_the_figures_are_those_of_the_record() -> None:
    text = tables.PAGE.read_text(encoding="utf-8")
    assert tables.written(text) == text, "run `python -m campaigns.fuzz.tables`"
    record = json.loads((tables.ROOT / RECORD).read_text(encoding="utf-8"))
    assert set(record["inputs"]) == set(TARGETS)
    assert all(f"`{name}`" in text for name in TARGETS)
