"""Reconstructors applied to images of any size that a user hands over: one module a kind of observation.

    features.py   an image's features, or features from a file, and the image that they give
    holes.py      an image with holes, and the image with its holes filled
    frames.py     frames of a bad camera, and restored ones
    searching.py  a search for the image of features, of which each step is told
    files.py      the formats that images are written in
    submission.py the boxes of many images as a submission file
    scoring.py    anybody's outputs beside the baselines

`load` picks the module by what a row observes.
"""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from afterimage.core import zoo
from afterimage.core.errors import ParamsError

if TYPE_CHECKING:
    from afterimage.core import devices
    from afterimage.reconstructors import Loaded, Reconstructor

ERROR_SCALE = 0.5
SPREAD_SCALE = 0.25
"""What is shown in the brightest colour: of errors and of spreads, white = 1."""


class Measured(NamedTuple):
    """A reconstruction and how close it is to its original."""

    image: Image.Image
    psnr: float
    ssim: float


def load(project: Path, row: str, device: "devices.Name" = "auto", changes: Mapping[str, Any] | None = None) -> Any:
    """A row of params.yaml or of the zoo, to be applied: `features.Applied`, `holes.Applied` or `frames.Applied`.

    Args:
        project: the folder that holds params.yaml and data/, and zoo/.
        row: its name, or `zoo/NAME`; `/CASE` behind it picks one of its reconstructors where it has several, else the
            last one is used.
        changes: settings of the row that are to be others.

    Raises:
        ParamsError: there is no such row, or no such reconstructor of it.
        WeightsError: the row is not trained here, or its files are damaged.
        DeviceError: this machine does not have the device.
    """
    from afterimage import reconstructors

    name, case = zoo.parted(row)
    loaded = reconstructors.load(project, name, device, changes=changes)
    chosen = pick(loaded, name, case)
    return importlib.import_module(f"{__name__}.{loaded.row.observes}").Applied(row, loaded, chosen, device)


def pick(loaded: "Loaded", name: str, case: str) -> "Reconstructor":
    """One of the reconstructors of a row; an empty case picks the last.

    Raises:
        ParamsError: there is none of this name.
    """
    there = loaded.reconstructors
    if not case:
        return list(there.values())[-1]
    if case not in there:
        known = ", ".join(f"{name}/{each}" for each in there if each) or f"{name} alone"
        raise ParamsError(f"there is no `{name}{zoo.CASE}{case}`; there is {known}")
    return there[case]


def measure(original: Image.Image, reconstruction: Image.Image) -> Measured:
    """Compare two images of one size."""
    from afterimage.evaluation import metrics

    a, b = np.asarray(original)[None], np.asarray(reconstruction)[None]
    return Measured(reconstruction, float(metrics.psnr(a, b)[0]), float(metrics.ssim(a, b)[0]))


def comparison(original: Image.Image, result: Measured, title: str) -> Image.Image:
    """Original, reconstruction and error map side by side, with captions."""
    difference = np.abs(np.asarray(original, dtype=np.float32) - np.asarray(result.image, dtype=np.float32)) / 255
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
    panels = (original, result.image, _shaded(difference.mean(axis=-1) / ERROR_SCALE))
    for place, (panel, caption) in enumerate(zip(panels, captions, strict=True)):
        x = gap + place * (size[0] + gap)
        page.paste(panel.resize(size, Image.Resampling.NEAREST), (x, gap))
        pen.text((x, size[1] + gap + line // 4), caption, fill="black", font=font)
    return page


def spread_map(spread: npt.NDArray[np.float32]) -> Image.Image:
    """A spread `[H, W]` as an image: black is none, the brightest colour `SPREAD_SCALE` or more."""
    return _shaded(spread / SPREAD_SCALE)


def _shaded(values: npt.NDArray[np.float32]) -> Image.Image:
    from matplotlib import colormaps

    colours = colormaps["magma"](np.clip(values, 0, 1))[..., :3]
    return Image.fromarray((colours * 255).round().astype(np.uint8))
