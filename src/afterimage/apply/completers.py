"""A trained completer, applied to images and holes of any size.

As with inpainters each hole gets a window of the image around it in which it is about as large as those that the
network has learned, brought to the network's size where it is larger; what is drawn there is enlarged and pasted into
the hole. Detail finer than that cannot come back: at 32 px a hole of 200 px is drawn in blocks of 16 px, smoothly.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from afterimage import figures, images, layout, metrics
from afterimage.apply.inpainters import windows
from afterimage.errors import ImageError
from afterimage.observations import masks
from afterimage.observations.masks import Mask
from afterimage.reconstructors.pixelrnn import completer, completing, sampling
from afterimage.reconstructors.pixelrnn.cached import Sampler


class Completion(NamedTuple):
    """What was drawn for an image; known pixels are as they were in all of it."""

    mean: Image.Image
    samples: list[Image.Image]
    spread: npt.NDArray[np.float32]
    """The standard deviation of the completions, mean over the colours, white = 1: `[H, W]`, 0 where known."""


class CompleterRow:
    """A trained completer.

    Args:
        project: the folder that holds params.yaml and data/.
        row: its name.

    Raises:
        WeightsError: the row is not trained here.
    """

    def __init__(self, project: Path, row: str):
        network, self.card = completer.load(project / layout.model(completer.FAMILY, row))
        self.sampler = Sampler(network)

    def __call__(
        self,
        image: Image.Image,
        mask: Mask,
        samples: int | None = None,
        seed: int = 0,
        temperature: float | None = None,
    ) -> Completion:
        """Complete an RGB image several times; known pixels and the size stay.

        Args:
            mask: bool `[H, W]`, True where the image is missing.
            samples: how many completions; None: as many as the row's.
            seed: of what is drawn; each completion follows from it and its number alone.
            temperature: 1 draws from what was learned, less keeps closer to its peaks; None: the row's.

        Raises:
            HoleError: the mask is not of the image's size, or nothing is missing, or everything.
            ImageError: no completion is asked for, or the temperature is negative.
        """
        trained = self.card["trained"]
        count = trained["samples"] if samples is None else samples
        heat = trained["temperature"] if temperature is None else temperature
        if count < 1 or heat < 0:
            raise ImageError(f"{count} samples at temperature {heat:g}; expected at least 1, and no less than 0")
        missing = masks.check(mask, image.height, image.width, "mask")
        drawn = np.repeat(np.asarray(image)[None], count, 0)
        for number, (window, holes) in enumerate(windows(missing, self.card["size"])):
            inside = np.s_[window.top : window.bottom, window.left : window.right]
            part = drawn[0][inside] * ~missing[inside][..., None]
            keys = [f"{sample}/{number}" for sample in range(count)]
            found = self._through(part, missing[inside], seed, keys, heat)
            chosen = holes[inside]
            for sample, completion in zip(drawn, found, strict=True):
                sample[inside][chosen] = completion[chosen]
        spread = (drawn / 255).std(0).mean(-1).astype(np.float32)
        return Completion(Image.fromarray(completing.mean(drawn)), [Image.fromarray(each) for each in drawn], spread)

    def _through(self, pixels: images.Uint8, mask: Mask, seed: int, keys: list[str], heat: float) -> images.Uint8:
        """Completions `[K, H, W, 3]` of a window; black where it is missing."""
        height, width = mask.shape
        scale = self.card["size"] / max(height, width)
        if scale >= 1:
            return self.sampler(pixels[None], mask[None], sampling.noise(seed, keys, mask.shape), heat)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small, holes = _shrunk(pixels, mask, size)
        found = self.sampler(small[None], holes[None], sampling.noise(seed, keys, holes.shape), heat)
        enlarged = [Image.fromarray(each).resize((width, height), Image.Resampling.BICUBIC) for each in found]
        return np.stack([np.asarray(each) for each in enlarged])


def hole_rmse(original: Image.Image, completed: Image.Image, mask: Mask) -> float:
    """The root mean squared error of what was missing, white = 1."""
    errors = metrics.squared_error(np.asarray(original)[None], np.asarray(completed)[None])
    return float(np.sqrt(errors.mean(-1)[0][mask].mean()))


def spread_map(spread: npt.NDArray[np.float32]) -> Image.Image:
    """A spread as an image in the colours of the report: black is none, the brightest colour `SPREAD_TOP` or more."""
    return Image.fromarray(figures.shaded(spread / figures.SPREAD_TOP))


def _shrunk(pixels: images.Uint8, mask: Mask, size: tuple[int, int]) -> tuple[images.Uint8, Mask]:
    """A window and its mask at a smaller size: what is missing has no part in the colours of known pixels."""

    def reduced(plane: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BOX))

    known = (~mask).astype(np.float32)
    share = reduced(known)
    colours = np.stack([reduced(pixels[..., channel] * known) for channel in range(3)], -1)
    small = np.rint(colours / np.maximum(share, 1e-3)[..., None]).clip(0, 255).astype(np.uint8)
    return small, share < 0.5
