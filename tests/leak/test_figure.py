"""The chart of leakage: its labels keep apart, and it is the same bytes twice."""

from pathlib import Path

import numpy as np
import pytest

from afterimage.evaluation.metrics import Interval
from afterimage.leak import figure
from afterimage.leak.figure import Mark


@pytest.mark.parametrize("values", [[0.9] * 7, [0.1, 0.11, 0.5, 0.99, 0.99, 1.0], [0.2] * 40, [0.5]])
def test_labels_keep_apart_and_within_the_chart(values: list[float]) -> None:
    places = np.array(figure.spaced(values, 0.0, 1.0))
    least = min(figure.LINE_SHARE, 1 / len(values))
    assert (np.diff(places) >= least - 1e-9).all()
    assert places.min() >= -1e-9 and places.max() <= 1
    if len(values) == 1:
        assert places.tolist() == values


def test_a_chart_of_many_stores_is_the_same_bytes_twice(tmp_path: Path) -> None:
    marks = [
        Mark(f"relu{n}, float16", Interval(0.3 + n / 50, 0.3, 0.9), Interval(0.99 - n / 100, 0.6, 1)) for n in range(9)
    ]
    for name in ("a.png", "b.png"):
        figure.leakage(tmp_path / name, marks, "labels", "told", True, {"originals": 0.99, "chance": 0.5}, 0.2)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
