"""Observations of the kind `holes`: images of which a part is missing.

`row.py` has the rows, which draw masks; `writing.py` keeps those of a data set, `store.py` reads them. `masks.py` reads
files of masks, `occlusions.py` finds what covers an image, `smooth.py` fills holes quickly.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from afterimage.observations import Observation

if TYPE_CHECKING:
    from torch import Tensor


class Draws(NamedTuple):
    """How a reconstructor that draws its answers should do so; None: as its row says."""

    samples: int | None = None
    temperature: float | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Holes(Observation):
    """Images `[N, 3, H, W]` in [0, 1], 0 where they are missing, and masks `[N, 1, H, W]`, 1 where they are."""

    images: "Tensor"
    masks: "Tensor"
    draws: Draws = field(default_factory=Draws)
