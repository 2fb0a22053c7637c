"""Trained rows applied to images of any size, for people rather than for the pipeline: one module a family."""

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from afterimage import metrics

ERROR_SCALE = 0.5


class Measured(NamedTuple):
    """A reconstruction and how close it is to its original."""

    image: Image.Image
    psnr: float
    ssim: float


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
