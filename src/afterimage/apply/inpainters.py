"""A trained inpainter, applied to images and holes of any size.

The network has learned holes of a certain share of an image of a certain size. So each hole gets a window of the image
around it in which it is about as large, brought to the network's size where it is larger; what comes back is enlarged
and pasted into the hole. A window of the network's own size goes through as it is. The work depends on the holes, not
on the size of the image.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from afterimage import devices, images, layout
from afterimage.errors import ImageError
from afterimage.observations import masks
from afterimage.observations.masks import Box, Mask
from afterimage.reconstructors import pix2pix

CONTEXT = 3
"""A window is at least so many times as wide as its hole."""
SMALLEST = 32
"""A window of a thinner image is mirrored up to so many px."""


class InpainterRow:
    """A trained inpainter.

    Args:
        project: the folder that holds params.yaml and data/.
        row: its name.

    Raises:
        WeightsError: the row is not trained here.
    """

    def __init__(self, project: Path, row: str):
        self.generator, self.card = pix2pix.load(project / layout.model(pix2pix.FAMILY, row))
        self.device = devices.choose("auto")
        self.generator.to(self.device)

    def __call__(self, image: Image.Image, mask: Mask) -> Image.Image:
        """An RGB image with its holes filled; known pixels and the size stay.

        Args:
            mask: bool `[H, W]`, True where the image is missing.

        Raises:
            HoleError: the mask is not of the image's size, or nothing is missing, or everything.
        """
        pixels = np.array(image)
        left = masks.check(mask, image.height, image.width, "mask").copy()
        for window, holes in windows(mask, self.card["size"]):
            inside = np.s_[window.top : window.bottom, window.left : window.right]
            filled = self._through(pixels[inside], left[inside])
            chosen = holes[inside]
            pixels[inside][chosen] = filled[chosen]
            left &= ~holes  # what is filled is known to the windows after this one
        return Image.fromarray(pixels)

    def _through(self, pixels: images.Uint8, mask: Mask) -> images.Uint8:
        height, width = mask.shape
        given = images.to_tensor(pixels)[None].to(self.device)
        holes = torch.from_numpy(mask)[None, None].to(self.device, torch.float32)
        scale = self.card["size"] / max(height, width)
        with torch.inference_mode():
            if scale < 1:
                given, holes = _shrunk(given, holes, (max(1, round(height * scale)), max(1, round(width * scale))))
            filled = self._padded(given, holes)
            if scale < 1:
                filled = F.interpolate(filled, size=(height, width), mode="bicubic", align_corners=False)
            return images.to_uint8(filled[0])

    def _padded(self, given: Tensor, holes: Tensor) -> Tensor:
        """Through the network, which takes sides that are multiples; the margin repeats the image's edge as known."""
        height, width = holes.shape[-2:]
        multiple = min(self.generator.multiple, self.card["size"])
        below, beside = (-(-max(side, SMALLEST) // multiple) * multiple - side for side in (height, width))
        if below or beside:
            given = F.pad(given, (0, beside, 0, below), mode="replicate")
            holes = F.pad(holes, (0, beside, 0, below))
        return self.generator(given, holes)[..., :height, :width]


def fill(row: InpainterRow, data: bytes, mask: Mask) -> Image.Image:
    """An image file with its holes filled; size, transparency and whether it is grey stay as they are.

    Raises:
        ImageError: the bytes are no image, or hold more than 8 bits a sample.
        HoleError: as for calling the row.
    """
    header = images.open_header(data)
    if header.mode.startswith(("I", "F")) or (header.format == "PNG" and data[24] == 16):
        raise ImageError("has more than 8 bits a sample, which would be lost; expected 8-bit grey or colour")
    try:
        image = ImageOps.exif_transpose(header)
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"damaged image: {error}") from None
    transparent = "A" in image.getbands() or "transparency" in image.info
    grey = image.mode in ("1", "L", "LA")
    whole = image.convert("RGBA")
    filled = row(whole.convert("RGB"), mask).convert("L" if grey else "RGB")
    if transparent:
        filled.putalpha(whole.getchannel("A"))
    return filled


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
        taken = [n for n in left if _within(boxes[n], window) and 2 * max(size, CONTEXT * extent[n]) >= side]
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


def _within(box: Box, window: Box) -> bool:
    return (
        window.left <= box.left and window.top <= box.top and box.right <= window.right and box.bottom <= window.bottom
    )


def _shrunk(given: Tensor, holes: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Image and holes at a smaller size; missing pixels have no part in the means that known ones become."""
    known = 1 - holes
    small = F.interpolate(torch.cat([given * known, known], dim=1), size=size, mode="bilinear", antialias=True)
    share = small[:, 3:]
    return small[:, :3] / share.clamp_min(1e-3), (share < 0.5).float()
