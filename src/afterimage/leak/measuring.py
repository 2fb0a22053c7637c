"""What comes back of some photographs from the features of an encoder, row by row, and what else these are good for.

Everything is measured at the size that a row was trained at, on the 8-bit images that a user gets.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from afterimage.core import engine
from afterimage.core.images import Uint8
from afterimage.evaluation import rebuilding
from afterimage.evaluation.metrics import Floats, Interval, Lpips, MetricsRow, bootstrap
from afterimage.leak import identity, utility
from afterimage.leak.attackers import Attackers, Known
from afterimage.leak.identity import Network, Verified
from afterimage.leak.photographs import Seen
from afterimage.leak.utility import Labels

if TYPE_CHECKING:
    from afterimage.core import devices

BATCH = 32
PERSON, ITSELF = "person", "itself"


class Told(NamedTuple):
    """How well pairs of the same person are told from pairs of strangers."""

    auc: Interval
    """The share of pairs (one of each kind) of which the same person's is more alike."""
    accepted: Interval
    """The share of the same person's pairs that pass where a hundredth of the strangers' do."""
    pairs: int
    strangers: int


class Ends(NamedTuple):
    """Between what the results at a size lie: the most that can be had, and what there is without any features."""

    originals: Told | None
    """Originals in the place of what comes back; None where nobody is on two photographs."""
    mean: dict[str, Told]
    """The mean of all photographs in that place, by question."""


class Result(NamedTuple):
    """What an attacker gets back."""

    row: str
    attacker: str
    known: Known
    quality: dict[str, Interval]
    told: dict[str, Told]
    """By question: `person` (where somebody is on two photographs) and `itself`."""
    utility: Interval | None
    """How often a probe reads the label from these features; None without labels."""
    rebuilt: Uint8
    """`[N, H, W, 3]`."""


class Leak(NamedTuple):
    """All that was measured."""

    encoder: str
    seen: Seen
    network: Network
    labels: Labels | None
    ends: dict[int, Ends]
    """By size in px."""
    results: list[Result]


def measure(
    project: Path,
    encoder: str,
    rows: Sequence[str],
    seen: Seen,
    network: Network,
    labels: Labels | None,
    lpips: Lpips,
    metrics: MetricsRow,
    device: "devices.Name",
) -> Leak:
    """Let each row attack what would be stored of some photographs.

    Args:
        encoder: a row of `encoders`, for the page.
        rows: as `attackers.rows` gives them.

    Raises:
        AfterimageError: a row cannot be loaded, or the photographs do not go through it.
    """
    keys = [each.key for each in seen.photographs]
    ends: dict[int, Ends] = {}
    probes: dict[Known, Interval | None] = {}
    results = []
    for name in engine.progress(rows, "leak", len(rows), "row"):
        attackers = Attackers(project, name, device)
        known = attackers.known
        originals = seen.at(known.size)
        gallery = network.embed(originals)
        if known.size not in ends:
            ends[known.size] = _ends(gallery, network, originals, seen, metrics)
        if known not in probes:
            probes[known] = None
            if labels is not None:
                right = utility.probed(attackers.pooled(keys, originals), labels, metrics.seed)
                probes[known] = _mean(right, [keys[place] for place in labels.places], metrics)
        for case, reconstructor in attackers.cases().items():
            rebuilt = attackers.rebuilt(reconstructor, keys, originals)
            quality = _quality(originals, rebuilt, lpips)
            results.append(
                Result(
                    name,
                    case,
                    known,
                    {metric: _mean(values, seen.people, metrics) for metric, values in quality.items()},
                    _told(network.embed(rebuilt), gallery, seen, metrics),
                    probes[known],
                    rebuilt,
                )
            )
    return Leak(encoder, seen, network, labels, ends, results)


def _quality(originals: Uint8, rebuilt: Uint8, lpips: Lpips) -> Mapping[str, Floats]:
    starts = range(0, len(originals), BATCH)
    parts = [rebuilding.measure(originals[at : at + BATCH], rebuilt[at : at + BATCH], lpips) for at in starts]
    return {metric: np.concatenate([part[metric] for part in parts]) for metric in parts[0] if metric != "mse"}


def _ends(gallery: Floats, network: Network, originals: Uint8, seen: Seen, metrics: MetricsRow) -> Ends:
    mean = originals.mean(axis=0, keepdims=True).round().astype(np.uint8)
    constant = network.embed(mean).repeat(len(originals), axis=0)
    return Ends(
        _one(gallery, gallery, seen, metrics, itself=False) if seen.pairs else None,
        _told(constant, gallery, seen, metrics),
    )


def _told(queries: Floats, gallery: Floats, seen: Seen, metrics: MetricsRow) -> dict[str, Told]:
    found = {PERSON: _one(queries, gallery, seen, metrics, itself=False)} if seen.pairs else {}
    return {**found, ITSELF: _one(queries, gallery, seen, metrics, itself=True)}


def _one(queries: Floats, gallery: Floats, seen: Seen, metrics: MetricsRow, itself: bool) -> Told:
    found: Verified = identity.verify(queries, gallery, seen.people, itself)
    auc, accepted = (_mean(values, found.people, metrics) for values in (found.above, found.accepted))
    return Told(auc, accepted, len(found.people), found.strangers)


def _mean(values: Any, groups: Sequence[str], metrics: MetricsRow) -> Interval:
    return bootstrap(values, groups, metrics.bootstrap, metrics.seed)
