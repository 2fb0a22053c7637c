"""Image files that are written for a user: the extension of the name says the format."""

from pathlib import Path

from PIL import Image

from afterimage.core import outputs
from afterimage.core.errors import ImageError

FORMATS = {
    ".bmp": "BMP",
    ".jpeg": "JPEG",
    ".jpg": "JPEG",
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}
OPAQUE = ("BMP", "JPEG")
QUALITY = 95
"""Of the formats that lose something."""


def form_of(path: Path) -> str:
    """Pillow's name of the format that a file name stands for.

    Raises:
        ImageError: it stands for none that is written here.
    """
    form = FORMATS.get(path.suffix.lower())
    if form is None:
        raise ImageError(f"{path}: an image is written as {', '.join(FORMATS)}, found {path.suffix or 'no extension'}")
    return form


def save(image: Image.Image, path: Path) -> None:
    """Write an image; the file is whole or not there.

    Raises:
        ImageError: there is no such format, or it cannot hold the image's transparency.
    """
    form = form_of(path)
    if "A" in image.getbands():
        if form in OPAQUE:
            raise ImageError(f"{path}: {form} holds no transparency, which this image has; .png, .tif and .webp do")
        if form == "WEBP":  # it knows no grey with transparency
            image = image.convert("RGBA")
    options = {"quality": QUALITY} if form in ("JPEG", "WEBP") else {}
    with outputs.file(path) as partial:
        image.save(partial, form, **options)
