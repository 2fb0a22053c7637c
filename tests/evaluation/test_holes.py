"""What several answers and likelihoods say of holes."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pictures import shards_of

from afterimage.core import images, shards
from afterimage.evaluation import holes
from afterimage.observations import Given
from afterimage.observations.holes import Holes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shards_of(tmp_path_factory.mktemp("images"), {"train": [24], "val": [1], "test": [2]}, size=16)


def given(count: int = 2) -> Given:
    random = np.random.default_rng(0)
    truth = random.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    masks = torch.zeros(count, 1, 16, 16)
    masks[:, :, 3:8, 4:12] = 1
    keys = [str(number) for number in range(count)]
    return Given(keys, Holes(keys, (16, 16), images.to_tensor(truth), masks), truth)


def test_the_histogram_is_a_distribution_at_each_place(folder: Path) -> None:
    histogram = holes.Histogram(folder)
    np.testing.assert_allclose((2.0**-histogram.table).sum(1), 1)
    seen = np.asarray(images.decode(next(shards.read(folder, "train"))[1]))
    assert histogram(seen).shape == (16, 16, 3)
    assert histogram(seen).mean() < histogram(255 - seen).mean()


def test_coverage_and_spread_are_those_of_the_hole() -> None:
    batch = given()
    samples = np.random.default_rng(1).integers(0, 256, (2, 3, 16, 16, 3), dtype=np.uint8)
    found = holes.answer_metrics(SimpleNamespace(), batch, batch.originals, samples, {})  # type: ignore[arg-type]
    assert found.keys() == {"coverage", "spread"}
    for number in range(2):
        drawn, truth = samples[number][:, 3:8, 4:12], batch.originals[number][3:8, 4:12]
        inside = (drawn.min(0) <= truth) & (truth <= drawn.max(0))
        assert found["coverage"][number] == pytest.approx(inside.mean())
        assert found["spread"][number] == pytest.approx(np.sqrt((drawn / 255).var(0).mean()))


def test_bits_are_set_beside_those_of_a_histogram(folder: Path) -> None:
    batch, histogram = given(), holes.Histogram(folder)
    stored = SimpleNamespace(shards_dir=folder)
    found = holes.answer_metrics(stored, batch, batch.originals, None, {"bits": np.ones(2)})  # type: ignore[arg-type]
    assert found.keys() == {"histogram_bits", "histogram_bits_whole"}
    for number, truth in enumerate(batch.originals):
        assert found["histogram_bits"][number] == pytest.approx(histogram(truth)[3:8, 4:12].mean())
        assert found["histogram_bits_whole"][number] == pytest.approx(histogram(truth).mean())
    assert holes.answer_metrics(stored, batch, batch.originals, None, {}) == {}  # type: ignore[arg-type]
