"""The work of `evaluating` by batches of images, as the engine hands it out: rebuilding them, and measuring that."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from afterimage.core import images
from afterimage.core.errors import MetricError
from afterimage.core.images import Uint8, encode_png
from afterimage.evaluation.metrics import Floats, Lpips, mse, psnr, ssim
from afterimage.observations import Given

if TYPE_CHECKING:
    from afterimage.core import devices
    from afterimage.reconstructors import Reconstruction, Reconstructor

OUTSIDE = 0.05
"""How far the samples of answers may lie outside of [0, 1] on average. Linear outputs reach over by less than a
hundredth; images in [-1, 1] by about 0.3."""

Columns = Mapping[str, Floats]
"""A number an image, by metric."""
More = Callable[[Sequence[str], Uint8, Uint8], Columns]
"""From the keys, originals and reconstructions of a batch to further columns. What it reads of the disk is in `files`,
if it has that attribute."""
Pair = tuple[list[str], Uint8, Uint8]
"""Keys, originals and reconstructions of a batch, `[N, H, W, 3]`."""


class Elsewhere(NamedTuple):
    """How a worker of a cluster comes to the reconstructors of a row."""

    load: "Callable[[int | None], Mapping[str, Reconstructor]] | None" = None
    """From the seed, None being the first, since not all reconstructors can be sent; None: they are sent."""
    files: Sequence[Path] = ()
    device: "devices.Name" = "auto"


class Made(NamedTuple):
    """What became of a batch, 8-bit: `[N, H, W, 3]`, and of several answers `[N, K, H, W, 3]`; the same as PNG files,
    an image's answers after it; and the numbers that the reconstructor told."""

    given: Given
    images: Uint8
    samples: Uint8 | None
    files: Sequence[Sequence[bytes]]
    own: Columns


@dataclass
class Rebuilding:
    """A reconstructor at work; a process to which this is sent loads it by `again`, if there is that."""

    reconstructor: "Reconstructor | None"
    case: str
    again: "Callable[[], Reconstructor] | None" = None

    @classmethod
    def of(cls, reconstructor: "Reconstructor", case: str, elsewhere: Elsewhere, name: str, seed: int | None) -> Self:
        """The work of a reconstructor by its name in its row, and the seed of its training."""
        again = None if elsewhere.load is None else partial(_loaded, elsewhere.load, name, seed)
        return cls(reconstructor, case, again)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "reconstructor": None if self.again else self.reconstructor}

    def __call__(self, given: Given) -> Made:
        if self.reconstructor is None:
            assert self.again is not None
            self.reconstructor = self.again()
        made = _in_range(self.reconstructor(given.observation), self.case)
        rebuilt = images.to_uint8(made.images)
        samples = None if made.samples is None else np.stack([images.to_uint8(each) for each in made.samples])
        files = [
            [encode_png(each) for each in (image, *(() if samples is None else samples[number]))]
            for number, image in enumerate(rebuilt)
        ]
        own = {name: np.asarray(values, dtype=np.float64) for name, values in made.values.items()}
        own |= self.reconstructor.score(given.observation, given.originals, rebuilt)
        return Made(given, rebuilt, samples, files, own)


def _loaded(
    load: "Callable[[int | None], Mapping[str, Reconstructor]]", name: str, seed: int | None
) -> "Reconstructor":
    return load(seed)[name]


def answered(method: Callable[[Given], Uint8], given: Given) -> tuple[list[str], list[bytes]]:
    """The keys of a batch, and what a baseline makes of each, as PNG."""
    return given.keys, [encode_png(image) for image in method(given)]


def measured(lpips: Lpips, more: More | None, batch: Pair) -> tuple[list[str], dict[str, Floats]]:
    """The keys of a batch, and its columns of images.csv."""
    return batch[0], measure(*batch[1:], lpips) | dict(more(*batch) if more else {})


def measure(originals: Uint8, reconstructions: Uint8, lpips: Lpips) -> dict[str, Floats]:
    """The columns of images.csv for a batch `[N, H, W, 3]`: a number an image, by metric."""
    return {
        "mse": mse(originals, reconstructions),
        "psnr": psnr(originals, reconstructions),
        "ssim": ssim(originals, reconstructions),
        lpips.name: lpips(originals, reconstructions),
    }


def _in_range(made: "Reconstruction", case: str) -> "Reconstruction":
    """The same, unless its range is another than that of the originals: what is cut off would be measured as 0 or 1."""
    outside = float((made.images - made.images.clamp(0, 1)).abs().mean())
    if not outside <= OUTSIDE:  # so written that NaN fails too
        low, high = float(made.images.min()), float(made.images.max())
        raise MetricError(
            f"{case}: answers with samples between {low:.4g} and {high:.4g}, on average {outside:.2g} outside of the "
            "originals' range; expected 0 to 1"
        )
    return made
