"""Tables of results in the documents are those of committed results."""

import runpy

from conftest import ROOT


def test_the_tables_of_restoration_are_those_of_the_results():
    results = runpy.run_path(str(ROOT / "docs/results.py"))
    text = results["PAGE"].read_text(encoding="utf-8")
    assert len(results["TABLE"].findall(text)) >= 2
    assert results["written"](text) == text, "run `python docs/results.py`"
