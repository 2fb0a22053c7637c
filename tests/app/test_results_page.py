"""The page Results: tables, curves and the difference to a revision."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import standins
from conftest import Project
from results_folders import PSNR, commit, result
from visits import page, said

from afterimage.core import layout, outputs
from afterimage.review import revisions


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with numbers of some rows, of baselines, and of a row that params.yaml has no more."""
    root = standins.project(tmp_path, monkeypatch)
    written = {
        ("features", "a-layer1", "test"): {"psnr": 21.0, "ssim": 0.5},
        ("features", "a-relu", "test"): {"psnr": 20.0, "ssim": 0.4},
        ("features", standins.SEARCH, "hybrid"): {"psnr": 22.0, "ssim": 0.6},
        ("features", "small", "mean_colour"): {"psnr": 11.0, "ssim": 0.1},
        ("features", "removed", "test"): {"psnr": 1.0},
        ("frames", "dark", "heavy"): {"psnr": 12.0},
        ("frames", "dark", "light"): {"psnr": 15.0},
        ("frames", "photos-cctv", "heavy/bicubic"): {"psnr": 10.0},
        ("holes", "red", "test"): {"hole_psnr": 9.0, "hole_rmse": 0.2},
    }
    for (kind, row, case), numbers in written.items():
        outputs.write_json(root / layout.metrics(kind, row) / f"{case}.json", numbers)
        metrics = {name: {"mean": mean, "low": mean - 1, "high": mean + 1} for name, mean in numbers.items()}
        outputs.write_json(root / layout.measured(row) / case / "intervals.json", {"images": 5, "metrics": metrics})
    return root


def test_a_table_of_each_kind_of_observation(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test = page("Results", monkeypatch, root)
    assert not test.exception
    titles = [title.value for title in test.header]
    tables = {title: table.value for title, table in zip(titles, test.dataframe, strict=False)}
    assert titles == ["Features", "Holes", "Frames"]
    shown = tables["Features"]
    assert list(shown["row"]) == ["a-relu", "a-layer1", f"{standins.SEARCH}/hybrid", "small/mean_colour"]
    assert list(shown["observation"]) == ["small/relu", "small/layer1", "small/relu", "small"]
    assert list(shown["psnr"]) == [20.0, 21.0, 22.0, 11.0]
    assert next(iter(shown["95 %"])) == "19.00 to 21.00"
    assert set(shown["images"]) == {5}
    assert list(tables["Frames"]["row"]) == ["dark/light", "dark/heavy", "photos-cctv/heavy/bicubic"]
    assert list(tables["Holes"]["95 %"]) == ["8.00 to 10.00"]


def test_curves_of_every_trained_row(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test = page("Results", monkeypatch, root)
    assert not test.get("vega_lite_chart")
    for row, column in (("a-relu", "val_psnr"), ("other", "val_psnr"), ("dark", "val_loss")):
        lines = [(epoch, 0.1, 0.5 + epoch) for epoch in range(3)]
        outputs.write_csv(root / layout.model(row) / "curves.csv", ("epoch", "learning_rate", column), lines)
    test.run()
    assert test.segmented_control(key="curves-kind").options == ["Features", "Holes", "Frames"]
    (chart,) = test.get("vega_lite_chart")
    assert "a-relu" in str(chart.proto)
    assert test.selectbox(key="curve-features").value == "val_psnr"
    test.segmented_control(key="curves-kind").set_value("frames").run()
    assert test.selectbox(key="curve-frames").value == "val_loss"
    assert not test.exception


def test_what_changed_since_a_revision(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows over five photographs: one is better by half a decibel, the other differs in the last bits."""
    noise = np.random.default_rng(1).normal(size=len(PSNR))
    rows = {"a-relu": PSNR, "a-layer1": PSNR, "removed": PSNR, "same": PSNR}
    for row, psnr in rows.items():
        result(root, f"{row}/test", {"psnr": psnr, "spread": psnr})
    before = commit(root, "Before <b>")
    result(root, "a-relu/test", {"psnr": PSNR + 0.5 + 0.01 * noise, "spread": PSNR + 1})
    result(root, "a-layer1/test", {"psnr": PSNR - 1e-4 * noise, "spread": PSNR})
    result(root, "dark/heavy", {"psnr": PSNR}, kind="frames")
    shutil.rmtree(root / "reports/measured/removed")
    commit(root, "After")
    test = page("Results", monkeypatch, root)
    assert test.selectbox(key="revision").value == before
    assert not test.exception
    shown = test.dataframe[-1].value
    lines = {(line["row"], line["metric"]): line for line in shown.to_dict("records")}
    assert {name: line["verdict"] for name, line in lines.items()} == {
        ("features/a-relu/test", "psnr"): "▲ better",
        ("features/a-relu/test", "spread"): "changed",
        ("features/a-layer1/test", "psnr"): "no difference shown",
        ("features/removed/test", "psnr"): "gone",
        ("features/removed/test", "spread"): "gone",
        ("frames/dark/heavy", "psnr"): "new",
    }
    better = lines["features/a-relu/test", "psnr"]
    assert [better[name] for name in ("before", "now", "change")] == pytest.approx([20, 20.5, 0.5], abs=0.01)
    low, high = (float(end) for end in better["interval"].split(" to "))
    assert low < better["change"] < high < low + 0.1
    assert "2 tests at 5 % false discoveries" in test.caption[-1].value


def test_only_revisions_are_compared_with(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A visitor may type what there is no revision of; a folder of this machine is none of their business."""
    commit(root, "Only")
    typed = ["nobody", "--output=x", str(root)]
    monkeypatch.setattr(revisions, "recent", lambda project: dict.fromkeys(typed, ""))
    for words in typed:
        test = page("Results", monkeypatch, root)
        test.selectbox(key="revision").set_value(words).run()
        assert not test.exception
        assert "expected a branch, a tag or a commit." in " ".join(said([*test.warning, *test.error]))


def test_the_run_and_what_changed(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    test = page("Results", monkeypatch, project.root)
    assert not test.exception
    tables = [table.value for table in test.dataframe]
    rows = list(tables[0]["row"])
    assert rows[:2] == ["small-relu", "small-layer1"]
    assert {row for row in rows if row.startswith("small-relu-search/")}
    assert {row for row in rows if row.startswith("small/")}  # baselines
    last, first = revisions.recent(project.root)
    test.selectbox(key="revision").set_value(last).run()
    assert said(test.success) == [f"Every number is the same as at {last}."]
    test.selectbox(key="revision").set_value(first).run()
    changed = test.dataframe[-1].value
    assert set(changed["verdict"]) == {"new"}
    assert "features/small-relu/test" in set(changed["row"])
