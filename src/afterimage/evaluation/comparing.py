"""Whether two results differ by more than their test images, and their training seeds, vary: paired differences.

The images are the same on both sides, so what varies is the difference of each image. Images of one group (a person, a
photograph cut into tiles) are not independent, so the groups are the sample.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from afterimage.core.errors import MetricError
from afterimage.evaluation.metrics import Floats

BLOCK = 4_000_000
"""Numbers in memory at once while groups are drawn."""
ROUNDING = 1e-12
"""A difference below this share of the values is one of the last bits of sums."""


class Difference(NamedTuple):
    """The mean of after - before, with the interval that holds it."""

    mean: float
    low: float
    high: float
    p: float
    """Two-sided, of no difference; the interval of a level leaves zero out where it is below 1 - level."""
    groups: int
    """How many were drawn from: groups of images, or images where all are of one group."""


def difference(
    before: npt.ArrayLike,
    after: npt.ArrayLike,
    groups: Sequence[str],
    samples: int,
    seed: int,
    level: float = 0.95,
) -> Difference:
    """The difference of two results `[S, N]` of S training seeds, of as many on either side or not, over N images.

    Raises:
        MetricError: as for `differences`.
    """
    old, new = (np.asarray(values, dtype=np.float64)[None] for values in (before, after))
    return differences(old, new, groups, samples, seed, level)[0]


def differences(
    before: npt.ArrayLike,
    after: npt.ArrayLike,
    groups: Sequence[str],
    samples: int,
    seed: int,
    level: float = 0.95,
) -> list[Difference]:
    """The difference of each of M metrics, `[M, S, N]` before and `[M, T, N]` after, from groups that are drawn once.

    The interval is the mean -+ Student's t quantile x standard error. That of the images is the bootstrap's: whole
    groups are drawn with replacement and their images pooled, as in `evaluation.metrics.bootstrap` (Efron & Tibshirani,
    "An Introduction to the Bootstrap", 1993, chapter 6), times sqrt(G / (G - 1)), by which the bootstrap of G groups is
    too narrow, and t has G - 1 degrees of freedom. Percentiles of the same resamples would cover far less than they say
    where there are few groups (Hesterberg, "What Teachers Should Know About the Bootstrap", The American Statistician
    2015, section 3.2): 75 % instead of 95 % with three. This one covers 92 to 98 % with 3 to 40 groups of unequal size,
    and 87 % where one of 40 holds a third of the images. Without a second group images are drawn, since nothing else is
    left to vary; without a second image the interval is all numbers.

    Several training seeds on both sides add s^2 / S + t^2 / T, the variances of the seeds' means over the images, with
    the degrees of freedom of Welch ("The generalization of `Student's' problem", Biometrika 1947) for all parts. A side
    of one seed beside one of several is taken to vary as that does. One seed on both sides adds nothing: what another
    seed would give is then not in the interval.

    Raises:
        MetricError: the shapes do not fit one another, or fewer than two resamples were asked for.
    """
    from scipy.special import stdtr, stdtrit

    old, new = (np.asarray(values, dtype=np.float64) for values in (before, after))
    fit = old.ndim == new.ndim == 3 and len(old) == len(new) and old.shape[2] == new.shape[2] == len(groups)
    if not fit or 0 in (*old.shape[1:], *new.shape[1:]):
        raise MetricError(f"values of shapes {old.shape} and {new.shape} over {len(groups)} images cannot be compared")
    if samples < 2:
        raise MetricError(f"{samples} resamples; a standard error needs 2")
    changes = new.mean(axis=1) - old.mean(axis=1)  # [M, N], of the seeds' means
    between_groups, drawn = _between_groups(changes, groups, samples, seed)
    parts = [(between_groups, max(drawn - 1, 1)), *_between_seeds(old.mean(axis=2), new.mean(axis=2))]
    means, error, freedom = changes.mean(axis=1), *_error(parts)
    half = np.where(_same(old, new), 0, stdtrit(freedom, (1 + level) / 2) * error)
    nothing = np.abs(means) <= ROUNDING * (np.abs(old).max(axis=(1, 2)) + np.abs(new).max(axis=(1, 2)))
    t = np.divide(np.abs(means), error, out=np.full_like(means, np.inf), where=error > 0)
    p = np.where(nothing, 1, 2 * stdtr(freedom, -t))
    columns = (means.tolist(), (means - half).tolist(), (means + half).tolist(), p.tolist())
    return [Difference(*values, drawn) for values in zip(*columns, strict=True)]


def benjamini_hochberg(p: npt.ArrayLike) -> Floats:
    """The q value of each of many tests `[K]`: the smallest share of false discoveries at which it is one.

    Benjamini & Hochberg, "Controlling the false discovery rate", Journal of the Royal Statistical Society B 1995.
    Whoever takes the tests with q <= 0.05 for differences is wrong in 5 % of them on average, where tests are
    independent or depend on one another positively, as the metrics of a row do.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values)
    scaled = values[order] * len(values) / np.arange(1, len(values) + 1)
    found = np.empty_like(values)
    found[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1)
    return found


def _between_groups(changes: Floats, groups: Sequence[str], samples: int, seed: int) -> tuple[Floats, int]:
    """The variance of each mean of changes `[M, N]` over groups of images, and how many were drawn from."""
    unique, group = np.unique(np.asarray(groups), return_inverse=True)
    if len(unique) == 1:
        group = np.arange(changes.shape[1])
    sizes = np.bincount(group)
    count = len(sizes)
    if count == 1:
        return np.full(len(changes), np.inf), count
    sums = np.stack([np.bincount(group, weights=line) for line in changes], axis=1)  # [G, M]
    generator = np.random.default_rng(seed)
    means = np.empty((samples, len(changes)))
    block = max(1, BLOCK // count)
    for start in range(0, samples, block):
        stop = min(start + block, samples)
        drawn = generator.integers(count, size=(stop - start, count))
        places = drawn + count * np.arange(stop - start)[:, None]
        times = np.bincount(places.ravel(), minlength=places.size).reshape(places.shape).astype(np.float64)
        means[start:stop] = (times @ sums) / (times @ sizes)[:, None]
    return means.var(axis=0, ddof=1) * count / (count - 1), count


def _between_seeds(old: Floats, new: Floats) -> list[tuple[Floats, int]]:
    """What seeds add to the variance of a difference, from their means `[M, S]` and `[M, T]`, with what it is worth."""
    several = [side for side in (old, new) if side.shape[1] > 1]
    if len(several) == 1:
        shares = 1 / old.shape[1] + 1 / new.shape[1]
        return [(side.var(axis=1, ddof=1) * shares, side.shape[1] - 1) for side in several]
    return [(side.var(axis=1, ddof=1) / side.shape[1], side.shape[1] - 1) for side in several]


def _error(parts: Sequence[tuple[Floats, int]]) -> tuple[Floats, Floats]:
    """The standard error `[M]` of a sum of parts, each with its variance and degrees of freedom, and those of the sum.

    These are Welch's, by Satterthwaite's formula.
    """
    variance = np.sum([part for part, _ in parts], axis=0)
    first = np.full_like(variance, parts[0][1])
    usual = np.isfinite(variance) & (variance > 0)
    below = np.sum([np.square(part) / degrees for part, degrees in parts], axis=0)
    return np.sqrt(variance), np.divide(np.square(variance), below, out=first, where=usual)


def _same(old: Floats, new: Floats) -> Any:
    """Which metrics have the same numbers on both sides."""
    return (old == new).all(axis=(1, 2)) if old.shape == new.shape else np.zeros(len(old), dtype=bool)
