"""Files that are made to harm: each is read as a picture, at no cost, or refused in a sentence."""

import io
import struct
import time
import zipfile
import zlib

import numpy as np
import pictures
import pytest
from PIL import GifImagePlugin, Image
from visits import movie

from afterimage.app import clips, safety
from afterimage.core.errors import ImageError, VideoError
from afterimage.core.images import encode_png

SCRIPT = b"<script>alert(1)</script>"


def png(width: int, height: int, data: bytes, extra: bytes = b"") -> bytes:
    """An RGB PNG of compressed lines, with chunks before them."""
    header = pictures.chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + pictures.chunk(b"IDAT", data) + pictures.chunk(b"IEND", b"")


def gif(width: int, height: int, frames: int) -> bytes:
    """A GIF of black frames of a pixel."""
    head = b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0" + bytes(6)
    frame = b"\x21\xf9\x04\0\x0a\0\0\0\x2c" + struct.pack("<HHHH", 0, 0, 1, 1) + b"\0\x02\x02\x44\x01\0"
    return head + frame * frames + b"\x3b"


SMALL = zlib.compress(bytes(193 * 64))
PROFILE = pictures.chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(200_000_000), 9))
TEXTS = b"".join(pictures.chunk(b"zTXt", b"t%d\0\0" % n + zlib.compress(bytes(1_000_000), 9)) for n in range(100))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (png(20_000, 10_000, zlib.compress(bytes(60_001 * 3000), 9)), "20000 x 10000 px are too many; expected"),
        (gif(65_535, 65_535, 1), "65535 x 65535 px are too many; expected"),
        (png(64, 64, SMALL, PROFILE), "damaged header: Decompressed data too large"),
        (png(64, 64, SMALL, TEXTS), "damaged header: Too much memory used in text chunks"),
        (png(5000, 5000, zlib.compress(bytes(1000))), "damaged image: "),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>" + SCRIPT + b"</svg>", "not a picture in a known format"),
        (b"<!doctype html>" + SCRIPT, "not a picture in a known format"),
        (b"%PDF-1.4\n%" + SCRIPT, "not a picture in a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n", "not a picture in a known format"),
    ],
    ids=["pixels", "side", "profile", "texts", "short", "svg", "html", "pdf", "eps"],
)
def test_a_bomb_or_a_disguise_is_one_sentence_at_once(data: bytes, sentence: str) -> None:
    started = time.monotonic()
    with pytest.raises(ImageError) as caught:
        safety.picture("a.png", data)
    assert time.monotonic() - started < 5
    assert str(caught.value).startswith(f"a.png: {sentence}")
    assert len(str(caught.value).splitlines()) == 1


def test_the_frames_of_an_animation_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million of them are 23 MB, and to count them takes seconds."""

    def counted(_: object) -> int:
        raise AssertionError("all frames are read")

    monkeypatch.setattr(GifImagePlugin.GifImageFile, "n_frames", property(counted))
    found = safety.picture("a.gif", gif(64, 64, 100_000))
    assert (found.image.size, found.note) == ((64, 64), "a.gif is an animation; its first frame is used.")


def test_of_a_file_that_is_two_things_the_picture_alone_is_left() -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as stream:
        stream.writestr("page.html", SCRIPT)
    comment = pictures.encoded(pictures.noise(), "GIF", comment=b"*/" + SCRIPT)
    for data in (pictures.jpeg() + archive.getvalue(), pictures.png() + SCRIPT, comment):
        found = safety.picture("a.gif", data)
        sent = encode_png(found.image)
        assert Image.open(io.BytesIO(sent)).size == found.image.size
        assert SCRIPT not in sent
        assert not zipfile.is_zipfile(io.BytesIO(sent))


@pytest.mark.parametrize(
    ("name", "shown", "stem"),
    [
        ("../../etc/cron.d/a.png", "a.png", "a"),
        ("..\\..\\a.png", "a.png", "a"),
        ("a\0.png", "a_.png", "a_"),
        ("a\u202egnp.exe", "a_gnp.exe", "a_gnp"),
        ("a\u2066\u200fb.png", "a__b.png", "a__b"),
        ("\x1b[31mred.png", "__31mred.png", "__31mred"),
        ("<img src=x onerror=alert(1)>.png", "_img src_x onerror_alert(1)_.png", "_img src_x onerror_alert(1)_"),
        ("..", "", "picture"),
        ("x" * 4000 + ".png", "x" * 40 + "…" + "x" * 11 + ".png", "x" * 40 + "_" + "x" * 11),
    ],
)
def test_a_name_is_no_path_no_markup_and_short(name: str, shown: str, stem: str) -> None:
    assert (safety.plain(name), safety.stem(name)) == (shown, stem)


def test_a_long_or_a_large_clip_is_refused_at_once() -> None:
    hour = movie(np.zeros((3600, 32, 32, 3), np.uint8), times=[1000 * second for second in range(3600)])
    assert len(hour) < 2_000_000
    started = time.monotonic()
    with pytest.raises(VideoError, match=r"^a\.mp4: longer than the 10\.0 s allowed"):
        clips.read("a.mp4", hour)
    assert time.monotonic() - started < 5


def test_a_clip_whose_frames_are_too_large_is_refused_before_one_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    from afterimage.video import reading

    def decoded(*_: object) -> None:
        raise AssertionError("a frame is decoded")

    data = movie(np.zeros((2, 64, 64, 3), np.uint8))
    monkeypatch.setattr(clips, "MAX_PIXELS", 64 * 64 - 1)
    monkeypatch.setattr(reading, "frames", decoded)
    with pytest.raises(VideoError, match=r"^a\.mp4: 64 x 64 px are too many; expected at most 0 megapixels\.$"):
        clips.read("a.mp4", data)
