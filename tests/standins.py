"""Rows that the web page takes for trained ones: the calls of the real ones, and results that a test can foretell."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image


class Completion(NamedTuple):
    mean: Image.Image
    samples: list[Image.Image]
    spread: Any


class Row:
    def __init__(self, project: Path, row: str):
        assert (project / "params.yaml").is_file()
        self.row = row


class InpainterRow(Row):
    """Fills with red."""

    def __call__(self, image: Image.Image, mask: Any) -> Image.Image:
        pixels = np.array(image)
        pixels[mask] = (255, 0, 0)
        return Image.fromarray(pixels)


class CompleterRow(Row):
    """Fills each sample with a grey of its own."""

    def __call__(self, image: Image.Image, mask: Any, samples: int, seed: int, temperature: float) -> Completion:
        drawn = []
        for number in range(samples):
            pixels = np.array(image)
            pixels[mask] = 20 * number + seed
            drawn.append(Image.fromarray(pixels))
        return Completion(drawn[0], drawn, np.where(mask, np.float32(temperature), np.float32(0)))


class RestorerRow(Row):
    """Turns light to dark."""

    def __call__(self, image: Image.Image) -> Image.Image:
        return Image.fromarray(255 - np.asarray(image))

    def frames(self, frames: Any) -> Any:
        return 255 - frames
