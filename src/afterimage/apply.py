"""Trained rows applied to images of any size, for people rather than for the pipeline."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from afterimage import devices, images, layout, metrics
from afterimage.errors import ImageError, WeightsError
from afterimage.observations.encoders import Encoder
from afterimage.reconstructors import decoder

SMALLEST = 32
"""Sides of images that a network can take."""
TILE = 512
MARGIN = 64
"""A larger image goes through in tiles, each with so many px around it that are thrown away."""
ERROR_SCALE = 0.5


class Measured(NamedTuple):
    """A reconstruction and how close it is to its original."""

    image: Image.Image
    psnr: float
    ssim: float


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


def measure(original: Image.Image, reconstruction: Image.Image) -> Measured:
    """Compare two images of one size."""
    a, b = np.asarray(original)[None], np.asarray(reconstruction)[None]
    return Measured(reconstruction, float(metrics.psnr(a, b)[0]), float(metrics.ssim(a, b)[0]))


def comparison(original: Image.Image, result: Measured, title: str) -> Image.Image:
    """Original, reconstruction and error map side by side, with captions."""
    from matplotlib import colormaps

    difference = np.abs(np.asarray(original, dtype=np.float32) - np.asarray(result.image, dtype=np.float32)) / 255
    shades = colormaps["magma"](np.clip(difference.mean(axis=-1) / ERROR_SCALE, 0, 1))[..., :3]
    errors = Image.fromarray((shades * 255).round().astype(np.uint8))
    captions = [
        "original",
        f"{title}: {result.psnr:.2f} dB, SSIM {result.ssim:.3f}",
        f"error, white = {ERROR_SCALE:g} or more",
    ]
    scale = max(1, 320 // original.width)  # captions need room beside small images
    size = (original.width * scale, original.height * scale)
    letter = max(13, size[0] // 30)
    font = ImageFont.load_default(letter)
    gap, line = 12, 2 * letter
    page = Image.new("RGB", (3 * size[0] + 4 * gap, size[1] + line + 2 * gap), "white")
    pen = ImageDraw.Draw(page)
    for place, (panel, caption) in enumerate(zip((original, result.image, errors), captions, strict=True)):
        x = gap + place * (size[0] + gap)
        page.paste(panel.resize(size, Image.Resampling.NEAREST), (x, gap))
        pen.text((x, size[1] + gap + line // 4), caption, fill="black", font=font)
    return page
