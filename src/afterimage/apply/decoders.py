"""A trained decoder, applied to images of any size."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from afterimage import devices, images, layout
from afterimage.errors import ImageError, WeightsError
from afterimage.observations.encoders import Encoder
from afterimage.reconstructors import decoder

SMALLEST = 32
"""Sides of images that a network can take."""
TILE = 512
MARGIN = 64
"""A larger image goes through in tiles, each with so many px around it that are thrown away."""


class DecoderRow:
    """A trained decoder together with the encoder whose features it decodes.

    Args:
        project: the folder that holds params.yaml and data/.
        row: its name.

    Raises:
        WeightsError: the row is not trained here, or its encoder's weights are gone or have changed.
    """

    def __init__(self, project: Path, row: str):
        self.decoder, self.card = decoder.load(project / layout.model(decoder.FAMILY, row))
        path = project / layout.weights(self.card["encoder"])
        self.encoder = Encoder(self.card["encoder_arch"], [tap["layer"] for tap in self.card["taps"]])
        origin = self.encoder.load(path)["origin"]
        if origin != self.card["weights_origin"]:
            expected = self.card["weights_origin"]
            raise WeightsError(f"{path}: weights are {origin}, but {row} was trained on {expected}; run dvc repro")
        self.device = devices.choose("auto")
        self.encoder.to(self.device)
        self.decoder.to(self.device)

    def __call__(self, image: Image.Image) -> Image.Image:
        """What comes back of an RGB image after it went through the row's layers; the size stays.

        Raises:
            ImageError: the image is too small for the network.
        """
        if min(image.size) < SMALLEST:
            raise ImageError(f"{image.width} x {image.height} px; expected at least {SMALLEST} px a side")
        pixels = np.asarray(image)
        result = np.empty_like(pixels)
        for top in range(0, image.height, TILE):
            for left in range(0, image.width, TILE):
                # Windows begin at multiples of MARGIN, so every layer's grid is the one of the whole image
                y0, x0 = max(0, top - MARGIN), max(0, left - MARGIN)
                window = pixels[y0 : top + TILE + MARGIN, x0 : left + TILE + MARGIN]
                kept = self._through(window)[top - y0 :, left - x0 :][:TILE, :TILE]
                result[top : top + kept.shape[0], left : left + kept.shape[1]] = kept
        return Image.fromarray(result)

    def _through(self, pixels: images.Uint8) -> images.Uint8:
        with torch.inference_mode():
            features = self.encoder(images.to_tensor(pixels)[None].to(self.device))
            taps = [features[tap["layer"]] for tap in self.card["taps"]]
            return images.to_uint8(self.decoder(taps, pixels.shape[:2])[0])
