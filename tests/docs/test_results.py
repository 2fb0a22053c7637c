"""Tables of results in the documents are those of committed results."""

import json
import runpy
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, dump_yaml, load_yaml

from afterimage.core import outputs


@pytest.mark.parametrize("page", ["restoration", "inpainting", "default-run"])
def test_the_tables_are_those_of_the_results(page: str):
    results = runpy.run_path(str(ROOT / "docs/results.py"))
    text = (ROOT / f"docs/{page}.md").read_text(encoding="utf-8")
    assert len(results["TABLE"].findall(text)) >= 2
    assert results["written"](text) == text, "run `python docs/results.py`"


def test_results_of_any_preset_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    results = runpy.run_path(str(ROOT / "docs/results.py"))
    take, asked = results["take"], []
    monkeypatch.setitem(take.__globals__, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(subprocess, "run", lambda words, **_: asked.append(words))
    project = tmp_path / "project"
    found: dict[str, Any] = {"images": 2, "metrics": {"hole_psnr": {"mean": 17.0, "low": 16.0, "high": 18.0}}}
    for name in ("filler/test/intervals.json", "filler/provenance.json", "filler/test/other.json"):
        outputs.write_json(project / "reports/measured" / name, found)
    for name, column in (("filler", "hole_rmse"), ("frames", "psnr")):
        (project / f"reports/measured/{name}/test").mkdir(parents=True, exist_ok=True)
        (project / f"reports/measured/{name}/test/images.csv").write_text(f"key,{column}\na,0.1\n")
    dump_yaml({"reconstructors": {"filler": {"kind": "pix2pix"}}}, project / "params.yaml")
    dump_yaml({"schema": "2.0", "stages": {"train@filler": {}, "train@gone": {}}}, project / "dvc.lock")
    take(project, "fill")
    run = tmp_path / "results/fill"
    files = {path.relative_to(run).as_posix() for path in run.rglob("*.*")}
    fills = {"filler/test/intervals.json", "filler/test/images.csv", "filler/provenance.json"}
    assert files == {*fills, "params.yaml", "dvc.lock"}
    assert json.loads((run / "filler/test/intervals.json").read_text()) == found
    assert list(load_yaml(run / "dvc.lock")["stages"]) == ["train@filler"]
    assert [list(map(str, words[1:])) for words in asked] == [
        [str(ROOT / "docs/zoo.py"), "fill", str(project / "data/models")]
    ]
