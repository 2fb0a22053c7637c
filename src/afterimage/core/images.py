"""Reading image files by stated rules, and turning them into arrays and back.

Whatever a file holds comes out as 8-bit RGB:

- the EXIF orientation is applied;
- grey images get three equal channels, palettes are looked up, CMYK and other colour models are converted;
- alpha is laid over white;
- 16-bit grey samples are rounded to 8 bits, 16-bit colour keeps its upper 8 bits;
- of an animation the first frame counts.
"""

import io
import warnings
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from afterimage.core.errors import ImageError
from afterimage.core.parsing import parsing

if TYPE_CHECKING:
    import torch

MAX_PIXELS = 100_000_000
"""A larger image is refused before it is decoded: 100 million pixels are 300 MB in memory."""

FORMATS = ("AVIF", "BMP", "DIB", "GIF", "HEIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TGA", "TIFF", "WEBP")
"""All that are tried. Pillow knows more, some of which run a program on a file's text (EPS) or read other files."""

Image.MAX_IMAGE_PIXELS = None  # the bound above is checked here, with a message of one line
Uint8 = npt.NDArray[np.uint8]


def _formats() -> list[str]:
    """Those of `FORMATS` that are built into this Pillow, or added to it as HEIF is."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def open_header(data: bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Read an image's header: its size and mode, not its pixels.

    Raises:
        ImageError: the bytes are no image, or its size is past the bound.
    """
    if not data:
        raise ImageError("the file is empty")
    with parsing(ImageError, "damaged header"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(io.BytesIO(data), formats=_formats())
        except UnidentifiedImageError:
            raise ImageError("not an image in a known format") from None
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError(f"{width} x {height} px are more than the {max_pixels} px allowed")
    return image


def decode(data: bytes, max_pixels: int = MAX_PIXELS, near: int | None = None) -> Image.Image:
    """Decode a whole image to 8-bit RGB by the rules above.

    Args:
        near: a side in px that will do: a JPEG is decoded at the least fraction of its size that is not smaller, which
            is several times faster; None: as large as it is.

    Raises:
        ImageError: the bytes are no image, are truncated, or its size is past the bound.
    """
    image = open_header(data, max_pixels)
    with parsing(ImageError, "damaged image"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if near is not None:
            image.draft("RGB", (near, near))
        image.load()
        image = ImageOps.exif_transpose(image)
        return _to_rgb(image)


def needs_no_change(data: bytes) -> bool:
    """Whether the bytes of a file already are what `decode` makes of them: opaque 8-bit RGB, upright, one frame."""
    image = open_header(data)
    if image.format not in ("JPEG", "PNG") or image.mode != "RGB" or "transparency" in image.info:
        return False
    if image.format == "PNG" and data[24] != 8:  # Pillow shows 16-bit colour as RGB; IHDR holds the depth
        return False
    with parsing(ImageError, "damaged image"):
        return image.getexif().get(0x0112, 1) == 1 and getattr(image, "n_frames", 1) == 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        samples = np.asarray(image).astype(np.int64)
        if samples.min() < 0 or samples.max() > 65535:
            raise ImageError(f"samples between {samples.min()} and {samples.max()}, expected 0 to 65535")
        # 16-bit white is 65535 and 8-bit white 255, which differ by a factor of 257
        return Image.fromarray(((samples + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ImageError("floating-point samples have no stated range; expected 8 or 16 bits")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def encode_png(image: Image.Image | Uint8) -> bytes:
    """Encode 8-bit RGB without loss; light compression, since shards are read far more often than moved."""
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image)
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def to_tensor(images: "Uint8") -> "torch.Tensor":
    """8-bit `[..., H, W, 3]` to float32 `[..., 3, H, W]` in [0, 1]."""
    import torch

    return torch.from_numpy(np.array(images)).movedim(-1, -3).contiguous().float().div_(255)


def to_uint8(images: "torch.Tensor") -> "Uint8":
    """Float `[..., 3, H, W]` in [0, 1] to 8-bit `[..., H, W, 3]`, rounded to the nearest level."""
    return images.clamp(0, 1).mul(255).round().byte().movedim(-3, -1).contiguous().cpu().numpy()
