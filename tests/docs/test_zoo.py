"""The zoo: what is committed is what `python docs/zoo.py` writes, and its numbers are those of committed results."""

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT, load_yaml
from pictures import shards_of
from rows import observed, row, trained, written

from afterimage import apply
from afterimage.cli.main import COMMANDS
from afterimage.core import layout, outputs, weights, zoo
from afterimage.core.params import merged
from afterimage.evaluation.results import METRICS

NAMES = [name.removeprefix(layout.ZOO) for name in zoo.names(ROOT)]
BYTES = 30_000_000
"""Of all rows together."""


def command() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_zoo", ROOT / "docs/zoo.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


DOCS = command()


def card(name: str) -> dict[str, Any]:
    return zoo.card(ROOT, f"{layout.ZOO}{name}")


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_every_row_is_whole_and_the_zoo_is_small() -> None:
    assert NAMES and DOCS.rows() == NAMES
    files = [path for path in (ROOT / "zoo").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= BYTES
    assert {path.parent.parent for path in files} == {ROOT / "zoo"}


@pytest.mark.parametrize("name", NAMES)
def test_card_and_readme_are_what_the_command_writes(name: str) -> None:
    for file, text in DOCS.written(name).items():
        assert (ROOT / "zoo" / name / file).read_text(encoding="utf-8") == text, "run `python docs/zoo.py`"


@pytest.mark.parametrize("name", NAMES)
def test_every_file_is_the_one_of_its_hash_and_in_half_precision(name: str) -> None:
    folder = ROOT / "zoo" / name
    told = {path.name for path in folder.iterdir()} - {"card.json", "README.md", "about.yaml"}
    assert card(name)["sha256"] == {file: outputs.sha256(folder / file) for file in told}
    for path in folder.glob("*.safetensors"):
        state = weights.load(path)[1]
        assert {value.dtype for value in state.values() if value.is_floating_point()} == {torch.float16}


@pytest.mark.parametrize("name", NAMES)
def test_the_numbers_of_a_card_are_those_of_the_results(name: str) -> None:
    found = card(name)
    preset = ROOT / "presets/results" / found["preset"]
    data = load_yaml(preset / "params.yaml")
    given = {**data["reconstructors"], **data["searches"]}
    told = {(case["row"], case["case"]) for case in found["results"]}
    there = {
        (each, path.parent.name)
        for each, values in given.items()
        if name in (each, values.get("decoder"))
        for path in (preset / each).rglob("intervals.json")
    }
    assert told == there and told
    for case in found["results"]:
        own = read(preset / case["row"] / case["case"] / "intervals.json")
        folder = preset / given[case["row"]]["observation"].partition("/")[0]
        of_level = [*(folder / case["case"]).glob("*/intervals.json")]  # else the baselines know no levels
        rivals = {path.parent.name: read(path) for path in of_level or folder.glob("*/intervals.json")}
        assert case["images"] == own["images"]
        for metric, each in case["metrics"].items():
            better = max if METRICS[metric].higher_is_better else min
            best = better(rival["metrics"][metric]["mean"] for rival in rivals.values())
            assert {key: each[key] for key in ("mean", "low", "high")} == own["metrics"][metric]
            method = each["best"].pop("method")
            assert each["best"] == rivals[method]["metrics"][metric] and each["best"]["mean"] == best
            wins = each["mean"] != best and better(each["mean"], best) == each["mean"]
            assert each["verdict"] == ("better" if wins else "equal" if each["mean"] == best else "worse")


@pytest.mark.parametrize("name", NAMES)
def test_a_row_beats_its_baselines_or_says_where_it_does_not(name: str) -> None:
    found = card(name)
    text = (ROOT / "zoo" / name / "README.md").read_text(encoding="utf-8")
    for each in {case["row"] for case in found["results"]}:
        cases = [case for case in found["results"] if case["row"] == each]
        lost = {case["case"] for case in cases if "worse" in {one["verdict"] for one in case["metrics"].values()}}
        (said,) = (line for line in text.splitlines() if line.startswith(f"- `{each}` loses"))
        assert lost == {case["case"] for case in cases if f"{case['case']} (" in said}
    assert any(each["verdict"] == "better" for case in found["results"] for each in case["metrics"].values())


@pytest.mark.parametrize("name", NAMES)
def test_parameters_and_stages_are_those_of_the_run(name: str) -> None:
    found = card(name)
    preset = ROOT / "presets/results" / found["preset"]
    data, lock = load_yaml(preset / "params.yaml"), load_yaml(preset / "dvc.lock")["stages"]
    own = data["reconstructors"][name]
    whole = merged(data["shared"][own["kind"]], own)
    whole["training"] = {**data["training"], **whole["training"]}
    assert found["settings"].items() >= whole.items()
    dataset = own["dataset"]
    assert {f"fetch@{dataset}", f"shard@{dataset}", f"train@{name}"} <= set(found["lock"])
    assert all(found["lock"][stage] == lock[stage] for stage in found["lock"])
    assert [out["path"] for out in found["lock"][f"train@{name}"]["outs"]] == [f"data/models/{name}"]


@pytest.mark.parametrize("name", NAMES)
def test_people_are_told_what_they_have_to_know(name: str) -> None:
    about = card(name)["about"]
    text = (ROOT / "zoo" / name / "README.md").read_text(encoding="utf-8")
    for words in (about["licence"], about["time"], *about["limits"], *about["use"], *about["data"]):
        assert words in text
    program, verb, own, *_ = about["command"].split()
    assert (program, own) == ("afterimage", f"{layout.ZOO}{name}") and verb in COMMANDS


def test_dvc_knows_nothing_of_the_zoo() -> None:
    for file in ("dvc.yaml", "dvc.lock"):
        assert "zoo" not in (ROOT / file).read_text(encoding="utf-8")


# The command, on results that are made up


@pytest.fixture
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The command with a zoo and results of its own: those of the first row."""
    name = NAMES[0]
    shutil.copytree(ROOT / "zoo" / name, tmp_path / "zoo" / name)
    shutil.copytree(ROOT / "presets/results" / card(name)["preset"], tmp_path / "results" / card(name)["preset"])
    monkeypatch.setattr(DOCS, "ZOO", tmp_path / "zoo")
    monkeypatch.setattr(DOCS, "RESULTS", tmp_path / "results")
    return DOCS


def test_another_result_is_another_card(docs: ModuleType) -> None:
    name = NAMES[0]
    before = docs.written(name)
    case = card(name)["results"][0]
    path = docs.RESULTS / card(name)["preset"] / case["row"] / case["case"] / "intervals.json"
    found = read(path)
    found["metrics"]["ssim"] = {"mean": 1.5, "low": 1.4, "high": 1.6}
    outputs.write_json(path, found)
    after = docs.written(name)
    assert after.keys() == before.keys() and all(after[file] != before[file] for file in after)
    changed = next(iter(json.loads(after["card.json"])["results"]))["metrics"]["ssim"]
    assert (changed["verdict"], changed["overlap"]) == ("better", False)


def test_results_on_other_images_than_the_baselines_are_refused(docs: ModuleType) -> None:
    name = NAMES[0]
    case = card(name)["results"][0]
    path = docs.RESULTS / card(name)["preset"] / case["row"] / "provenance.json"
    outputs.write_json(path, {**read(path), "images": "0" * 64})
    with pytest.raises(SystemExit, match="measured on other images"):
        docs.written(name)


def test_what_a_person_left_out_is_named(docs: ModuleType) -> None:
    path = docs.ZOO / NAMES[0] / "about.yaml"
    path.write_text(path.read_text().replace("licence:", "license:"))
    with pytest.raises(SystemExit, match=r"about\.yaml: expected the keys title, .*license"):
        docs.written(NAMES[0])


def test_a_row_that_fills_holes_is_taken(docs: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in the command is about restorers: another kind of observation, one case, no level, another preset."""
    originals = shards_of(tmp_path / layout.shards("mine"), {"train": [4], "val": [2], "test": [2]})
    holes = written(observed("holes"), "two", originals, tmp_path / layout.observation("two"))
    model = trained(row("pix2pix", observation="two"), holes, originals, tmp_path, "filler")
    run = docs.RESULTS / "fill"
    own = {"hole_psnr": 17.5, "hole_rmse": 0.13, "psnr": 25.0}
    for place, values in {
        "filler/test": own,
        "two/black": {"hole_psnr": 6.0, "hole_rmse": 0.5, "psnr": 15.0},
        "two/telea": {"hole_psnr": 17.0, "hole_rmse": 0.14, "psnr": 25.5},
    }.items():
        metrics = {name: {"mean": value, "low": 0.9 * value, "high": 1.1 * value} for name, value in values.items()}
        outputs.write_json(run / place / "intervals.json", {"images": 2, "metrics": metrics})
    for name, cases in {"filler": ["test"], "two": ["black", "telea"]}.items():
        outputs.write_json(run / name / "provenance.json", {"images": "1" * 64, "cases": cases})
    given = {"dataset": "mine", "observes": "holes", "observation": "two"}
    outputs.write_json(run / "params.yaml", {"reconstructors": {"filler": given}, "searches": {}})
    outputs.write_json(run / "dvc.lock", {"stages": {"train@filler": {"outs": [{"path": "a", "md5": "b"}]}}})
    about = load_yaml(docs.ZOO / NAMES[0] / "about.yaml")
    outputs.write_json(docs.ZOO / "filler/about.yaml", {**about, "headline": "filler/test"})
    shutil.copytree(model, tmp_path / "models/filler")
    shutil.copytree(model, tmp_path / "models/other")  # that nobody has written about
    monkeypatch.setattr(docs, "photographs", lambda: {"grey": np.full((40, 50, 3), 90, np.uint8)})

    docs.take("fill", tmp_path / "models")
    assert not (docs.ZOO / "other").exists()
    files = docs.written("filler")
    found = json.loads(files["card.json"])
    assert (found["preset"], found["rounding"]["answers"]) == ("fill", 1)
    assert found["rounding"]["sha256"] == outputs.sha256(model / "model.safetensors")
    (case,) = found["results"]
    verdicts = {name: (each["verdict"], each["best"]["method"]) for name, each in case["metrics"].items()}
    assert verdicts == {
        "hole_psnr": ("better", "telea"),
        "hole_rmse": ("better", "telea"),
        "psnr": ("worse", "telea"),
    }
    said = "hole PSNR 17.50 on test images of mine; untouched 6.00, best baseline 17.00 (telea): better. "
    assert found["headline"].startswith(said)
    assert "- `filler` loses to the best baseline at test (PSNR in dB)." in files["README.md"]
    for file, text in files.items():
        (docs.ZOO / "filler" / file).write_text(text, encoding="utf-8")
    assert apply.load(tmp_path, "zoo/filler", "cpu").kind == "holes"
