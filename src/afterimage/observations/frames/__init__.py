"""Observations of the kind `frames`: what a bad camera left of an image: dark, blurred, small, noisy, compressed.

`row.py` has the rows, `cctv.py` the steps that degrade; `writing.py` keeps the frames of a data set at each level,
`store.py` reads them. `filters.py` has the filters that go before a network.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from afterimage.core.images import Uint8
from afterimage.observations import Observation

CARE = "A restored face is a guess and no evidence: never use it to identify anybody."
"""What everybody must know who sees what came of bad frames."""


@dataclass(frozen=True)
class Frames(Observation):
    """Frames, 8-bit `[h, w, 3]` each, of any sizes; `size` is that of the images to rebuild."""

    frames: Sequence[Uint8]
