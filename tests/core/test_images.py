import io
import struct

import numpy as np
import pictures
import pytest
from PIL import Image

from afterimage.core import images
from afterimage.core.errors import ImageError


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


TURNS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""What the camera did to an upright image before it wrote this orientation: the inverse of what a reader must do."""


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_every_exif_orientation_comes_out_upright(form: str, orientation: int) -> None:
    upright = pictures.noise()
    turn = TURNS[orientation]
    data = pictures.oriented(upright.transpose(turn) if turn is not None else upright, orientation, form)
    found = images.decode(data)
    assert found.size == upright.size
    assert np.abs(pixels(found) - pixels(upright)).mean() < (8 if form in ("JPEG", "WEBP") else 0.01)


def test_grey_gets_three_equal_channels() -> None:
    grey = pictures.noise().convert("L")
    found = pixels(images.decode(pictures.encoded(grey)))
    assert found.shape == (40, 48, 3)
    assert (found == pixels(grey)[..., None]).all()


def test_black_and_white_becomes_0_and_255() -> None:
    dots = Image.fromarray(np.eye(8, dtype=bool))
    found = pixels(images.decode(pictures.encoded(dots)))
    assert (found == 255 * np.eye(8, dtype=int)[..., None]).all()


def test_a_palette_is_looked_up() -> None:
    palette = pictures.noise().quantize(16)
    found = images.decode(pictures.encoded(palette))
    assert found.mode == "RGB"
    assert (pixels(found) == pixels(palette.convert("RGB"))).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_laid_over_white(mode: str) -> None:
    image = Image.new("RGBA", (4, 2), (0, 0, 0, 255)).convert(mode)
    image.putalpha(Image.fromarray(np.array([[0, 255, 128, 0]] * 2, dtype=np.uint8)))
    found = pixels(images.decode(pictures.encoded(image)))
    assert found[0, :, 0].tolist() == [255, 0, 127, 255]
    assert (found == found[..., :1]).all()


def test_a_transparent_palette_entry_is_laid_over_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putdata([0, 1])
    found = pixels(images.decode(pictures.encoded(image, transparency=0)))
    assert found[0].tolist() == [[255, 255, 255], [0, 0, 255]]


def test_cmyk_is_converted() -> None:
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    found = pixels(images.decode(pictures.encoded(image, "TIFF")))
    assert (found == [255, 0, 0]).all()


def test_16_bit_grey_keeps_its_upper_8_bits_rounded() -> None:
    samples = np.array([[0, 128, 129, 255, 256, 32767, 65407, 65535]], dtype=np.uint16)
    found = pixels(images.decode(pictures.encoded(Image.fromarray(samples))))
    assert found[0, :, 0].tolist() == np.rint(samples[0] / 257).astype(int).tolist()
    assert found[0, :, 0].tolist() == [0, 0, 1, 1, 1, 127, 255, 255]


def test_16_bit_colour_is_within_a_level() -> None:
    values = (0, 255, 33023, 65535)
    line = b"\0" + b"".join(struct.pack(">HHH", value, value, value) for value in values)
    found = pixels(images.decode(pictures.raw_png(4, 1, 16, 2, line)))
    assert np.abs(found[0, :, 0] - np.array(values) / 257).max() <= 1


def test_floating_point_samples_are_refused() -> None:
    image = Image.fromarray(np.zeros((4, 4), dtype=np.float32))
    with pytest.raises(ImageError, match="no stated range"):
        images.decode(pictures.encoded(image, "TIFF"))


def test_of_an_animation_the_first_frame_counts() -> None:
    assert (pixels(images.decode(pictures.animation())) == [255, 0, 0]).all()


BROKEN = {
    "the file is empty": b"",
    "not an image in a known format": b"these are words, not pixels",
    "damaged image": pictures.truncated(),
    "30000 x 30000 px are more than": pictures.bomb(),
}


@pytest.mark.parametrize("reason", BROKEN)
def test_broken_files_are_refused_with_a_reason_of_one_line(reason: str) -> None:
    with pytest.raises(ImageError, match=reason) as caught:
        images.decode(BROKEN[reason])
    assert "\n" not in str(caught.value)


def test_a_truncated_jpeg_has_a_readable_header() -> None:
    assert images.open_header(BROKEN["damaged image"]).size == (64, 64)


def test_the_bound_on_pixels_is_exact() -> None:
    data = pictures.png(10, 10)
    assert images.open_header(data, max_pixels=100).size == (10, 10)
    with pytest.raises(ImageError, match="10 x 10 px"):
        images.open_header(data, max_pixels=99)


NO_CHANGE = {
    "png": (pictures.png(), True),
    "jpeg": (pictures.jpeg(), True),
    "webp": (pictures.encoded(pictures.noise(), "WEBP"), False),
    "grey": (pictures.encoded(pictures.noise().convert("L")), False),
    "alpha": (pictures.encoded(pictures.noise().convert("RGBA")), False),
    "upright": (pictures.oriented(pictures.noise(), 1, "JPEG"), True),
    "turned": (pictures.oriented(pictures.noise(), 6, "JPEG"), False),
    "animated": (pictures.encoded(pictures.noise(), save_all=True, append_images=[pictures.noise(seed=1)]), False),
}


@pytest.mark.parametrize("name", NO_CHANGE)
def test_needs_no_change(name: str) -> None:
    data, expected = NO_CHANGE[name]
    assert images.needs_no_change(data) is expected


@pytest.mark.parametrize(
    "data",
    [
        pictures.raw_png(2, 1, 16, 2, bytes(13)),
        pictures.raw_png(2, 1, 8, 2, bytes(7), pictures.chunk(b"tRNS", bytes(6))),
    ],
    ids=["16-bit", "transparent colour"],
)
def test_rgb_that_decoding_alters_needs_a_change(data: bytes) -> None:
    assert not images.needs_no_change(data)


def test_encode_png_loses_nothing() -> None:
    image = pictures.noise()
    for form in (image, np.asarray(image)):
        found = Image.open(io.BytesIO(images.encode_png(form)))
        assert (pixels(found) == pixels(image)).all()


def test_tensors_and_back() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    tensor = images.to_tensor(levels)
    assert tensor.shape == (1, 3, 16, 16)
    assert tensor.min() == 0 and tensor.max() == 1
    assert (images.to_uint8(tensor) == levels).all()
    assert images.to_uint8(tensor * 3 - 1).max() == 255
