"""The linear probe: what it reads, what labels it takes."""

from pathlib import Path

import numpy as np
import pytest

from afterimage.core.errors import ParamsError
from afterimage.leak import utility


def test_labels_that_lie_apart_are_read_and_noise_is_not() -> None:
    labels = utility.of(["a"] * 30 + ["b"] * 20)
    assert labels is not None
    assert (labels.majority, labels.folds) == (0.6, 5)
    noise = np.random.default_rng(0).standard_normal((50, 6))
    assert 0.3 < utility.probed(noise, labels, 0).mean() < 0.75
    noise[:30, 2] += 9
    right = utility.probed(noise * 1e3, labels, 0)
    assert (len(right), right.mean()) == (50, 1)
    np.testing.assert_array_equal(right, utility.probed(noise * 1e3, labels, 0))


def test_a_label_of_one_photograph_is_left_out() -> None:
    labels = utility.of(["a", "", "b", "a", "c", "b", "a"])
    assert labels == ([0, 2, 3, 5, 6], ["a", "b", "a", "b", "a"], 2)
    features = np.array([[0.0], [9], [5], [0.1], [9], [5.1], [0.2]])
    assert utility.probed(features, labels, 0).mean() == 1
    assert utility.of(["a", "a", "b"]) is None
    assert utility.of(["", ""]) is None


def test_a_table_of_labels(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("path,label\na/1.jpg,yes\nb/2,no\n", encoding="utf-8")
    assert utility.read(path, ["a/1", "a/3", "b/2"]) == ["yes", "", "no"]
    with pytest.raises(ParamsError, match=r"labels\.csv: names none of the photographs, such as c/1"):
        utility.read(path, ["c/1"])
    path.write_text("path,label\na/1.jpg,yes\na/1.png,no\n", encoding="utf-8")
    with pytest.raises(ParamsError, match=r"labels\.csv: a/1\.png is listed twice"):
        utility.read(path, ["a/1"])
    path.write_text("file,label\n", encoding="utf-8")
    with pytest.raises(ParamsError, match="no column path"):
        utility.read(path, ["a/1"])
