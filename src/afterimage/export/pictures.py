"""Photographs to show and to check rows with: those that scikit-image brings along and that are free of conditions."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from afterimage.core.images import Uint8, decode
from afterimage.datasets import sources
from afterimage.datasets.sources import bundled

NAMES = ("chelsea", "coffee", "rocket")
"""In the test split of the default run."""


class Photograph(NamedTuple):
    pixels: Uint8
    """`[H, W, 3]`."""
    credit: str


@cache
def photographs() -> dict[str, Photograph]:
    """Each photograph by its name."""
    table = Path(sources.__file__).parent / "bundled.csv"
    found = {}
    for item in bundled.items(bundled.Row.model_construct(path=str(table))):
        if item.name in NAMES:
            licence, attribution, _ = item.extra
            with item.open() as stream:
                found[item.name] = Photograph(np.asarray(decode(stream.read())), f"{attribution}; {licence}")
    return {name: found[name] for name in NAMES}
