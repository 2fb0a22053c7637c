"""Measured rows as report and tables read them."""

from pathlib import Path

import measured
import pytest
from measured import KEYS

from afterimage.core import layout, outputs
from afterimage.core.errors import AfterimageError
from afterimage.evaluation import results
from afterimage.evaluation.metrics import MetricsRow
from afterimage.evaluation.results import Baseline, Result
from afterimage.observations import KINDS

METRICS = MetricsRow(seed=0, bootstrap=50)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_known_metrics_come_first_and_others_are_kept() -> None:
    measured.result("features", "row", "test", 30.0, energy=4.0, mse=0.1)
    found = Result("features", "row", "test")
    assert list(found.intervals) == ["psnr", "ssim", "mse", "energy"]
    assert (found.name, len(found.images), set(found.groups)) == ("row/test", 6, {"cup", "tea"})
    assert found.column("psnr", KEYS[:1]) == [29.5]


def test_a_result_on_the_images_of_another() -> None:
    measured.result("features", "net", "plain", 20.0)
    measured.result("features", "few", "test", 30.0, KEYS[:2])
    plain, few = Result("features", "net", "plain"), Result("features", "few", "test")
    assert plain.on(plain, METRICS) is plain
    part = plain.on(few, METRICS)
    assert list(part.images) == KEYS[:2]
    assert part.intervals["psnr"].mean == pytest.approx(19.6)  # its first images are the worse ones
    assert results.gain(few, part, METRICS).mean == pytest.approx(30.0 - 19.6)
    with pytest.raises(AfterimageError, match="net/plain and few/test: measured on different images"):
        results.gain(plain, few, METRICS)
    with pytest.raises(AfterimageError, match="net/plain and few/test: measured on different images"):
        few.on(plain, METRICS)


def test_the_best_of_several() -> None:
    for case, psnr, mse in (("a", 20.0, 0.3), ("b", 22.0, 0.4), ("c", 22.0, 0.2)):
        measured.result("features", "net", case, psnr, mse=mse)
    found = [Result("features", "net", case) for case in "abc"]
    baselines = [Baseline(each.case, each) for each in found]
    best = {metric: results.best_of(baselines, metric) for metric in ("psnr", "mse", "lpips")}
    assert [each and each.method for each in best.values()] == ["b", "c", None]
    assert results.best_result(found, "mse") is found[2]
    assert results.best_result([], "mse") is None
    assert results.beaten_by(found[0], found[1], "psnr") and not results.beaten_by(found[0], found[1], "mse")


def test_cases_come_in_order() -> None:
    for case in ("heavy", "light", "medium/twice", "medium/once"):
        measured.result("frames", "row", case, 20.0)
    assert results.cases("row", ("light", "medium", "heavy")) == ["light", "medium/once", "medium/twice", "heavy"]
    assert results.cases("row") == ["heavy", "light", "medium/once", "medium/twice"]
    outputs.write_json(layout.measured("row") / "provenance.json", {"cases": ["medium", "light", "heavy"]})
    assert results.cases("row") == ["medium/once", "medium/twice", "light", "heavy"]
    with pytest.raises(AfterimageError, match="reports/measured/none: nothing is measured there"):
        results.cases("none")


def test_every_kind_of_observation_says_what_its_baselines_are() -> None:
    assert set(results.MAIN) == set(KINDS)
    for kind in KINDS:
        assert all(about.endswith(".") for about in results.methods(kind).values())


def test_values_as_pages_print_them() -> None:
    shown = results.shown_value(results.Interval(-1.234, -2.0, 0.5), 2, signed=True)
    assert shown == {"mean": "−1.23", "low": "−2.00", "high": "+0.50"}
