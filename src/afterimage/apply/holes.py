"""Rows that observe holes, applied to images and holes of any size.

A reconstructor has learned holes of a certain share of an image of a certain size. So each hole gets a window of the
image around it in which it is about as large, brought to that size where it is larger; what comes back is enlarged,
with the finer detail of the image around the hole, and pasted into it. A window that is smaller is given with its edge
repeated as known pixels. The work depends on the holes, not on the size of the image.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from afterimage.core import images
from afterimage.core.errors import HoleError, ImageError
from afterimage.core.parsing import parsing
from afterimage.observations.holes import Draws, Holes, masks
from afterimage.observations.holes.masks import Box, Mask
from afterimage.observations.holes.smooth import enlarged

if TYPE_CHECKING:
    from afterimage.core import devices
    from afterimage.reconstructors import Loaded, Reconstruction, Reconstructor

CONTEXT = 3
"""A window is at least so many times as wide as its hole."""


LARGEST = 1536
"""Px of a window's longer side beyond which its detail is that of a smaller one: memory and time end there."""


class Filled(NamedTuple):
    """An image with its holes filled; known pixels are as they were in all of it."""

    image: Image.Image
    """The answer, or the mean of several."""
    samples: list[Image.Image]
    """The answers one by one, where several were drawn; else none."""
    spread: npt.NDArray[np.float32] | None
    """The standard deviation of the samples, mean over the colours, white = 1: `[H, W]`, 0 where known."""


class Applied:
    """A row that fills holes; see `apply.load`."""

    kind = "holes"

    def __init__(self, name: str, loaded: "Loaded", reconstructor: "Reconstructor", device: "devices.Name"):
        self.name, self.card, self.reconstructor = name, loaded.card, reconstructor
        self.size: int = self.card["size"]

    def __call__(self, image: Image.Image, mask: Mask, draws: Draws | None = None) -> Filled:
        """An RGB image with its holes filled; known pixels and the size stay.

        Args:
            mask: bool `[H, W]`, True where the image is missing.
            draws: how answers are drawn, by a row that draws some; each of them follows from its number and the seed.

        Raises:
            HoleError: the mask is not of the image's size, or nothing is missing, or everything, or no sample is
                asked for, or the temperature is negative.
        """
        draws = draws or Draws()
        _require(draws)
        left = masks.check(mask, image.height, image.width, "mask").copy()
        filled = np.array(image)
        drawn: images.Uint8 | None = None
        for number, (window, holes) in enumerate(windows(mask, self.size)):
            inside = np.s_[window.top : window.bottom, window.left : window.right]
            found = self._through(filled[inside], left[inside], str(number), draws)
            chosen = holes[inside]
            if found.samples is None:
                filled[inside][chosen] = _enlarged(found.images, chosen.shape)[0][chosen]
                left &= ~holes  # what is filled is known to the windows after this one
                continue
            samples = _enlarged(found.samples[0], chosen.shape)
            if drawn is None:
                drawn = np.repeat(np.asarray(image)[None], len(samples), 0)
            for each, sample in zip(drawn, samples, strict=True):
                each[inside][chosen] = sample[chosen]
        if drawn is None:
            return Filled(Image.fromarray(filled), [], None)
        mean = np.rint(drawn.mean(0)).astype(np.uint8)  # of the samples as they are here, enlarged and clipped
        spread = np.where(mask, (drawn / 255).std(0).mean(-1), 0).astype(np.float32)
        return Filled(Image.fromarray(mean), [Image.fromarray(each) for each in drawn], spread)

    def _through(self, pixels: images.Uint8, mask: Mask, key: str, draws: Draws) -> "Reconstruction":
        """What the reconstructor makes of a window, at the window's size if that is no larger than `LARGEST`."""
        from afterimage.reconstructors import Reconstruction

        missing = torch.from_numpy(mask)[None, None].float()
        fine = _within(images.to_tensor(pixels)[None] * (1 - missing), missing, LARGEST)
        known, missing = _within(*fine, self.size)
        high, wide = missing.shape[-2:]
        padding = (0, self.size - wide, 0, self.size - high)
        known, missing = F.pad(known, padding, mode="replicate"), F.pad(missing, padding)
        found = self.reconstructor(Holes([key], (self.size, self.size), known * (1 - missing), missing, draws))
        whole = Holes([key], (fine[1].shape[-2], fine[1].shape[-1]), *fine, draws)

        def detailed(answers: Tensor) -> Tensor:
            answers = answers[..., :high, :wide].cpu()
            if (high, wide) == whole.size:
                return answers
            large = (enlarged(answer[None], whole.images, whole.masks) for answer in answers)
            return torch.cat([self.reconstructor.detailed(whole, each).cpu() for each in large])

        samples = None if found.samples is None else detailed(found.samples[0])[None]
        return Reconstruction(detailed(found.images), samples, found.values)


def fill(applied: Applied, data: bytes, mask: Mask, draws: Draws | None = None) -> Filled:
    """An image file with its holes filled; size, transparency and whether it is grey stay as they are.

    Raises:
        ImageError: the bytes are no image, or hold more than 8 bits a sample.
        HoleError: as for calling the row.
    """
    header = images.open_header(data)
    if header.mode.startswith(("I", "F")) or (header.format == "PNG" and data[24] == 16):
        raise ImageError("has more than 8 bits a sample, which would be lost; expected 8-bit grey or colour")
    with parsing(ImageError, "damaged image"):
        image = ImageOps.exif_transpose(header)
    transparent = "A" in image.getbands() or "transparency" in image.info
    grey = image.mode in ("1", "L", "LA")
    with parsing(ImageError, "damaged image"):
        whole = image.convert("RGBA")

    def as_it_was(filled: Image.Image) -> Image.Image:
        filled = filled.convert("L" if grey else "RGB")
        if transparent:
            filled.putalpha(whole.getchannel("A"))
        return filled

    found = applied(whole.convert("RGB"), mask, draws)
    return Filled(as_it_was(found.image), [as_it_was(each) for each in found.samples], found.spread)


def hole_rmse(original: Image.Image, filled: Image.Image, mask: Mask) -> float:
    """The root mean squared error of what was missing, white = 1."""
    truth, found = (np.asarray(image.convert("RGB"), np.float64)[mask] / 255 for image in (original, filled))
    return float(np.sqrt(np.square(truth - found).mean()))


def windows(mask: Mask, size: int) -> Iterator[tuple[Box, Mask]]:
    """Windows that hold all holes of a mask `[H, W]`, each with the mask of those that it is to fill.

    The largest hole comes first, and a window takes all holes along that lie in it and are half as large at least.

    Args:
        size: the smallest side of a window in px, unless the image is smaller.
    """
    from scipy import ndimage

    labels, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    found = ndimage.find_objects(labels)
    boxes = {
        number: Box(across.start, down.start, across.stop, down.stop)
        for number, (down, across) in enumerate(found, start=1)
    }
    extent = {number: max(box.right - box.left, box.bottom - box.top) for number, box in boxes.items()}
    left = sorted(boxes, key=lambda number: (-extent[number], number))
    while left:
        first = left[0]
        side = max(size, CONTEXT * extent[first])
        window = _around(boxes[first], side, *mask.shape)
        taken = [n for n in left if _inside(boxes[n], window) and 2 * max(size, CONTEXT * extent[n]) >= side]
        left = [number for number in left if number not in taken]
        yield window, np.isin(labels, taken)


def _around(box: Box, side: int, height: int, width: int) -> Box:
    """A square around a box, moved into the image, and cut where that is smaller."""

    def along(start: int, stop: int, length: int) -> tuple[int, int]:
        extent = min(side, length)
        first = min(max((start + stop - extent) // 2, 0), length - extent)
        return first, first + extent

    left, right = along(box.left, box.right, width)
    top, bottom = along(box.top, box.bottom, height)
    return Box(left, top, right, bottom)


def _inside(box: Box, window: Box) -> bool:
    return (
        window.left <= box.left and window.top <= box.top and box.right <= window.right and box.bottom <= window.bottom
    )


def _within(known: Tensor, missing: Tensor, longest: int) -> tuple[Tensor, Tensor]:
    """Known pixels and masks, brought down to a longer side of so many px at most; missing pixels have no part in the
    means that known ones become."""
    height, width = missing.shape[-2:]
    scale = longest / max(height, width)
    if scale >= 1:
        return known, missing
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    both = torch.cat([known, 1 - missing], dim=1)
    small = F.interpolate(both, size=size, mode="bilinear", antialias=True)
    share = small[:, 3:]
    missing = (share < 0.5).float()
    return small[:, :3] / share.clamp_min(1e-3) * (1 - missing), missing


def _enlarged(found: Tensor, size: tuple[int, ...]) -> images.Uint8:
    """Images `[N, 3, h, w]` at the size of their window, 8-bit `[N, H, W, 3]`."""
    if tuple(found.shape[-2:]) != size:
        found = F.interpolate(found, size=size, mode="bicubic", align_corners=False)
    return images.to_uint8(found)


def _require(draws: Draws) -> None:
    if draws.samples is not None and draws.samples < 1:
        raise HoleError(f"{draws.samples} samples; expected at least 1")
    if draws.temperature is not None and draws.temperature < 0:
        raise HoleError(f"temperature {draws.temperature:g}; expected 0 or more")
