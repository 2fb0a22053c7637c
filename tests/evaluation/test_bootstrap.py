"""The intervals around means."""

import numpy as np
import pytest

from afterimage.core.errors import MetricError
from afterimage.evaluation.metrics import bootstrap


def test_bootstrap_is_the_plain_loop():
    values = np.random.default_rng(1).normal(size=23)
    groups = [f"g{i % 5}" for i in range(23)]
    found = bootstrap(values, groups, samples=300, seed=4)

    generator = np.random.default_rng(4)
    means = []
    for _ in range(300):
        drawn = generator.integers(5, size=5)
        means.append(np.mean(np.concatenate([values[np.arange(23) % 5 == group] for group in drawn])))
    assert found.mean == pytest.approx(values.mean(), rel=1e-12)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), rel=1e-12)


def test_bootstrap_does_not_depend_on_its_blocks():
    """Past a million draws it works in blocks; the loop above must still hold."""
    values = np.random.default_rng(2).normal(size=1500)
    found = bootstrap(values, [f"{i:04d}" for i in range(1500)], samples=1000, seed=0)
    drawn = np.random.default_rng(0).integers(1500, size=(1000, 1500))
    assert (found.low, found.high) == pytest.approx(
        tuple(np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])), rel=1e-9
    )


def test_bootstrap_covers_the_true_mean_as_often_as_it_says():
    generator = np.random.default_rng(3)
    groups = [str(i) for i in range(60)]
    hits = 0
    for trial in range(300):
        interval = bootstrap(generator.exponential(size=60), groups, samples=400, seed=trial, level=0.9)
        hits += interval.low <= 1 <= interval.high
    assert 0.84 < hits / 300 < 0.94  # 0.9 less the percentile interval's known shortfall on skewed data


def test_groups_widen_the_interval_of_clustered_data():
    centres = np.random.default_rng(5).normal(size=12)
    values = np.repeat(centres, 50) + np.random.default_rng(6).normal(scale=0.1, size=600)
    clustered = bootstrap(values, [str(i // 50) for i in range(600)], samples=500, seed=0)
    single = bootstrap(values, [str(i) for i in range(600)], samples=500, seed=0)
    assert clustered.mean == single.mean
    assert clustered.high - clustered.low > 4 * (single.high - single.low)  # sqrt(50) = 7 in the limit


def test_bootstrap_is_reproducible_and_seeded():
    values = np.arange(30.0)
    groups = [str(i) for i in range(30)]
    assert bootstrap(values, groups, 200, seed=1) == bootstrap(values, groups, 200, seed=1)
    assert bootstrap(values, groups, 200, seed=1) != bootstrap(values, groups, 200, seed=2)


def test_one_group_falls_back_to_images():
    values = np.arange(30.0)
    assert bootstrap(values, ["one"] * 30, 200, seed=1) == bootstrap(values, [f"{i:02d}" for i in range(30)], 200, 1)
    assert bootstrap([3.0], ["one"], 200, seed=1) == (3, 3, 3)


def test_bootstrap_wants_a_group_a_value():
    for values, groups in (([], []), ([1.0, 2.0], ["a"]), ([[[1.0]]], ["a"]), ([[1.0, 2.0]], ["a"])):
        with pytest.raises(MetricError, match="one group a value"):
            bootstrap(values, groups, 10, seed=0)


def test_trainings_vary_beside_images():
    """With many groups the variance of the mean is that of groups plus that of trainings, both drawn apart."""
    random = np.random.default_rng(0)
    images, trainings = random.normal(0, 1, 200), np.array([-1.0, 0.0, 1.0])
    groups = [str(number) for number in range(200)]
    found = bootstrap(images + trainings[:, None], groups, 4000, seed=0)
    assert found.mean == pytest.approx(images.mean())
    spread = np.sqrt(images.var() / 200 + trainings.var() / 3)
    assert found.high - found.low == pytest.approx(2 * 1.96 * spread, rel=0.1)
    alone = bootstrap(images, groups, 4000, seed=0)
    assert alone.high - alone.low == pytest.approx(2 * 1.96 * np.sqrt(images.var() / 200), rel=0.1)


def test_a_single_training_is_a_plain_list():
    values, groups = np.arange(12.0), ["a", "b", "c"] * 4
    assert bootstrap(values[None], groups, 300, seed=0) == bootstrap(values, groups, 300, seed=0)
    assert bootstrap(np.stack([values, values]), groups, 300, seed=0) == bootstrap(values, groups, 300, seed=0)
