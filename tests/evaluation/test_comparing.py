"""Differences of two results: their intervals against closed forms, scipy and simulations, and many tests at once."""

import numpy as np
import pytest
from scipy import stats

from afterimage.core.errors import MetricError
from afterimage.evaluation.comparing import Difference, benjamini_hochberg, difference, differences

MANY = 100_000
"""Resamples after which the bootstrap's own error, 1 / sqrt(2 MANY) of a standard error, is 0.2 %."""
CLOSE = 0.01


def names(sizes: list[int]) -> list[str]:
    return [f"{number:03d}" for number, size in enumerate(sizes) for _ in range(size)]


def ends(found: Difference) -> np.ndarray:
    """Both ends of an interval, from its middle."""
    return np.array([found.low, found.high]) - found.mean


def test_of_single_images_it_is_the_paired_t_test() -> None:
    generator = np.random.default_rng(1)
    before = generator.normal(20, 3, size=25)
    after = before + generator.normal(0.3, 0.6, size=25)
    found = difference(before[None], after[None], names([1] * 25), MANY, seed=0)
    known, mean = stats.ttest_rel(after, before), (after - before).mean()
    assert found.mean == pytest.approx(mean, rel=1e-12)
    assert ends(found) == pytest.approx(known.confidence_interval(0.95) - mean, rel=CLOSE)
    assert found.p == pytest.approx(known.pvalue, rel=0.05)
    assert found.groups == 25
    wide = difference(before[None], after[None], names([1] * 25), MANY, seed=0, level=0.99)
    assert ends(wide) == pytest.approx(known.confidence_interval(0.99) - mean, rel=CLOSE)


@pytest.mark.parametrize("groups", [2, 3, 12])
def test_of_groups_of_one_size_it_is_the_t_test_of_their_means(groups: int) -> None:
    generator = np.random.default_rng(groups)
    change = np.repeat(generator.normal(0.5, 1, size=groups), 7) + generator.normal(0, 0.2, size=7 * groups)
    found = difference(np.zeros((1, 7 * groups)), change[None], names([7] * groups), MANY, seed=0)
    known = stats.ttest_1samp(change.reshape(groups, 7).mean(axis=1), 0)
    assert found.mean == pytest.approx(change.mean())
    assert ends(found) == pytest.approx(known.confidence_interval(0.95) - change.mean(), rel=CLOSE)
    assert found.p == pytest.approx(known.pvalue, rel=0.05)


def test_interval_and_p_agree() -> None:
    generator = np.random.default_rng(2)
    changes = generator.normal(0.3, 0.5, size=(300, 1, 12))
    found = differences(np.zeros_like(changes), changes, names([3, 1, 5, 3]), 200, seed=0)
    apart = [one.p < 0.05 for one in found]
    assert apart == [not one.low <= 0 <= one.high for one in found]
    assert 10 < sum(apart) < 290


def test_many_metrics_at_once_are_each_alone() -> None:
    generator = np.random.default_rng(3)
    before, after = generator.normal(size=(4, 1, 30)), generator.normal(size=(4, 3, 30))
    groups = names([10, 5, 15])
    together = differences(before, after, groups, 300, seed=5)
    for number, found in enumerate(together):
        alone = difference(before[number], after[number], groups, 300, seed=5)
        assert found == pytest.approx(alone, rel=1e-9)
    assert together != differences(before, after, groups, 300, seed=6)


def test_groups_are_drawn_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    change = np.random.default_rng(4).normal(size=(1, 40))
    whole = difference(np.zeros((1, 40)), change, names([4] * 10), 500, seed=0)
    monkeypatch.setattr("afterimage.evaluation.comparing.BLOCK", 70)
    assert difference(np.zeros((1, 40)), change, names([4] * 10), 500, seed=0) == pytest.approx(whole, rel=1e-9)


def test_seeds_of_images_that_are_all_alike_are_welchs_test() -> None:
    """Where every image has the same number, groups add nothing and training seeds are the only sample."""
    old, new = np.array([20.1, 20.4, 20.2]), np.array([20.9, 20.5, 21.3, 20.8, 20.7])
    before, after = (np.repeat(values[:, None], 6, axis=1) for values in (old, new))
    found = difference(before, after, names([2, 2, 2]), 200, seed=0)
    known = stats.ttest_ind(new, old, equal_var=False)
    low, high = known.confidence_interval(0.95)
    assert found[:4] == pytest.approx((new.mean() - old.mean(), low, high, known.pvalue), rel=1e-6)


def test_one_seed_beside_several_varies_as_they_do() -> None:
    new = np.array([20.9, 20.5, 21.3, 20.8])
    before, after = np.full((1, 6), 20.0), np.repeat(new[:, None], 6, axis=1)
    found = difference(before, after, names([3, 3]), 200, seed=0)
    half = stats.t.ppf(0.975, 3) * new.std(ddof=1) * np.sqrt(1 + 1 / 4)
    assert found.high - found.mean == pytest.approx(half, rel=1e-6)
    back = difference(after, before, names([3, 3]), 200, seed=0)
    assert (back.mean, back.p) == pytest.approx((-found.mean, found.p))


def test_seeds_and_images_add_up() -> None:
    generator = np.random.default_rng(6)
    groups, images = names([5] * 8), generator.normal(size=40)
    before = np.zeros((4, 40)) + np.array([-0.4, 0.2, 0.1, 0.5])[:, None]
    after = images + np.array([1.0, 1.4, 0.7])[:, None]
    found = difference(before, after, groups, MANY, seed=0)
    means = (after.mean(axis=0) - before.mean(axis=0)).reshape(8, 5).mean(axis=1)
    parts = [(means.var(ddof=1) / 8, 7), (before[:, 0].var(ddof=1) / 4, 3), (after[:, 0].var(ddof=1) / 3, 2)]
    variance = sum(part for part, _ in parts)
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
    assert found.high - found.mean == pytest.approx(stats.t.ppf(0.975, freedom) * np.sqrt(variance), rel=CLOSE)
    single = difference(before.mean(axis=0)[None], after.mean(axis=0)[None], groups, MANY, seed=0)
    assert single.high - single.mean < found.high - found.mean


def test_the_same_numbers_differ_by_nothing() -> None:
    same = np.random.default_rng(7).normal(size=(3, 12))
    assert difference(same, same, names([4, 4, 4]), 200, seed=0) == Difference(0.0, 0.0, 0.0, 1.0, 3)
    thirds = difference(np.full((1, 6), 0.1), np.full((3, 6), 0.1), names([3, 3]), 200, seed=0)
    assert thirds.p == 1  # though the mean of three is another in its last bit


def test_a_change_that_is_the_same_for_all_images_is_certain() -> None:
    before = np.arange(12.0)[None]
    found = difference(before, before + 0.5, names([4, 4, 4]), 200, seed=0)
    assert found == pytest.approx((0.5, 0.5, 0.5, 0, 3), abs=1e-12)


def test_without_a_second_group_images_are_drawn_and_without_a_second_image_nothing_is_known() -> None:
    change = np.random.default_rng(8).normal(size=(1, 30))
    zeros = np.zeros((1, 30))
    together = difference(zeros, change, ["one"] * 30, 300, seed=0)
    assert together == difference(zeros, change, names([1] * 30), 300, seed=0)
    assert together.groups == 30
    for seeds in (1, 3):
        alone = difference([[1.0]], np.full((seeds, 1), 3.0), ["a"], 200, seed=0)
        assert alone == Difference(2.0, -np.inf, np.inf, 1.0, 1)


def test_what_does_not_fit_is_refused() -> None:
    one = np.zeros((1, 4))
    for before, after, groups in (
        (one, np.zeros((1, 5)), names([4])),
        (one, one, names([3])),
        (np.zeros((0, 4)), one, names([4])),
        (np.zeros((1, 0)), np.zeros((1, 0)), []),
    ):
        with pytest.raises(MetricError, match="cannot be compared"):
            difference(before, after, groups, 200, seed=0)
    with pytest.raises(MetricError, match="1 resamples"):
        difference(one, one, names([4]), 1, seed=0)


@pytest.mark.parametrize(
    ("sizes", "percentile"),
    [
        ([24, 24, 12], 0.75),
        ([4, 4, 4, 6, 6, 8, 10, 12, 16], 0.87),
        ([1, 2, 3, 4, 5] * 8, 0.94),
    ],
    ids=["3", "9", "40"],
)
@pytest.mark.parametrize("correlation", [0.2, 0.8])
def test_coverage(sizes: list[int], percentile: float, correlation: float) -> None:
    """The interval holds the truth in 95 % of simulations, with few groups of unequal sizes whose images correlate.

    Percentiles of the same resamples hold it in about `percentile`, which is why they are not the interval.
    """
    simulations, generator = 3000, np.random.default_rng(len(sizes))
    group = np.repeat(np.arange(len(sizes)), sizes)
    shared = generator.normal(size=(simulations, len(sizes)))[:, group]
    own = generator.normal(size=(simulations, len(group)))
    changes = 0.3 + np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own
    found = differences(np.zeros((simulations, 1, len(group))), changes[:, None], names(sizes), 1000, seed=0)
    held = np.mean([one.low <= 0.3 <= one.high for one in found])
    assert 0.92 < held < 0.98

    drawn = np.random.default_rng(0).integers(len(sizes), size=(1000, len(sizes)))
    times = np.stack([np.bincount(each, minlength=len(sizes)) for each in drawn])[:, group]
    ends = np.quantile(times @ changes.T / times.sum(axis=1)[:, None], [0.025, 0.975], axis=0)
    assert np.mean((ends[0] <= 0.3) & (ends[1] >= 0.3)) == pytest.approx(percentile, abs=0.02)


def test_coverage_with_seeds() -> None:
    """Results of three training seeds a side, each of which shifts all images."""
    simulations, groups, generator = 3000, names([6] * 8), np.random.default_rng(9)

    def side(truth: float) -> np.ndarray:
        seeds, images = generator.normal(size=(simulations, 3, 1)), generator.normal(size=(simulations, 3, 48))
        return truth + 0.5 * seeds + 0.3 * images

    shared = np.repeat(generator.normal(size=(simulations, 1, 8)), 6, axis=2)
    found = differences(side(0), side(0.3) + shared, groups, 500, seed=0)
    assert 0.92 < np.mean([one.low <= 0.3 <= one.high for one in found]) < 0.98


def test_benjamini_hochberg_is_scipys() -> None:
    generator = np.random.default_rng(10)
    for p in (generator.random(50), generator.random(200) ** 4, np.array([0.01, 0.01, 1.0, 0.0]), np.array([0.3])):
        assert benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p), rel=1e-12)
    assert len(benjamini_hochberg([])) == 0
