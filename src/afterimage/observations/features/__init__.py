"""Observations of the kind `features`: what one or more layers of an encoder hold of an image.

`row.py` has the rows, `encoders.py` the networks; `writing.py` runs one over a data set, `store.py` reads what it
wrote.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from afterimage.observations import Observation

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Features(Observation):
    """Features `[N, C, h, w]` of each layer, in the order of the layers of a row."""

    layers: "list[Tensor]"
