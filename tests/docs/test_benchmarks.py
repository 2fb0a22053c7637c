"""benchmarks/README.md: its tables are those of benchmarks/results.json, and every benchmark is in it."""

from pathlib import Path

import pytest
from benchmarks import __main__ as benches
from benchmarks import results
from benchmarks.measuring import Line, ratio
from conftest import ROOT

TEXT = (ROOT / "benchmarks/README.md").read_text(encoding="utf-8")


def test_the_tables_are_those_of_the_results() -> None:
    assert results.TABLE.findall(TEXT)
    assert results.written(TEXT, results.read()) == TEXT, "run `python -m benchmarks.results`"


@pytest.mark.parametrize("name", benches.NAMES)
def test_every_benchmark_is_described(name: str) -> None:
    assert (ROOT / f"benchmarks/{name}.py").is_file()
    assert f"| `{name}` |" in TEXT


def test_what_was_measured_is_kept_with_its_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- measured: steps extract -->\nold\n<!-- end -->\nafter\n")
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(results, "PAGES", (page,))
    monkeypatch.chdir(ROOT)
    fast = Line("extract a", "bare", ratio([(9, 10), (8, 10), (10, 10)]), "of its speed", 0.92, False, "", "hashing")
    none = Line("extract b", "bare", None, "of its speed", 0.9, False, "not here")
    results.keep("extract", [fast, none], 0.25)
    kept = results.read()
    assert kept["extract"]["machine"]["packages"]["torch"] and kept["extract"]["machine"]["load"] == 0.2
    first, second = results.lines(kept, "extract").values()
    assert [results.verdict(first), results.verdict(second)] == ["short", "not measured"]
    earlier = {"measured": {"median": 0.8}}
    assert results.shown(first, earlier)["before"] == "0.8"
    lines = page.read_text().splitlines()
    assert "| extract a | bare | 0.9 of its speed (0.85 to 0.95, 3 pairs) | at least 0.92 | short | hashing |" in lines
    assert "old" not in lines and (lines[0], lines[-1]) == ("before", "after")
    results.keep("extract", [fast._replace(measured=0.95)], 0.25)
    assert [line["measured"]["median"] for line in results.lines(results.read(), "extract").values()] == [0.95]
