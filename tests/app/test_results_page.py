"""The page Results: tables, curves and the difference to a revision."""

from pathlib import Path

import pytest
import standins
from conftest import Project
from visits import page, said

from afterimage.app import results, revisions
from afterimage.core import layout, outputs


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
    titles = [title.value for title in test.subheader]
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


def test_verdicts_follow_the_metric() -> None:
    change = revisions.Change("features/a/test", "psnr", 20.0, 21.0)
    assert results._verdict(change) == "▲ better"
    assert results._verdict(change._replace(metric="hole_rmse")) == "▼ worse"
    assert results._verdict(change._replace(metric="something")) == ""
    assert results._verdict(change._replace(metric="spread")) == ""
    assert results._verdict(change._replace(now=None)) == "gone"


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
