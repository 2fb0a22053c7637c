"""Short clips: read from what a visitor sent, and written for the browser, in memory alone."""

import io
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from afterimage.app import safety
from afterimage.errors import ImageError
from afterimage.images import Uint8

EXTENSIONS = ("mp4", "mov", "m4v", "webm", "mkv")
MAX_SECONDS = 10
MAX_PIXELS = 60_000_000
"""Of all frames together: 180 MB in memory."""


class Clip(NamedTuple):
    """A visitor's clip."""

    name: str
    frames: Uint8
    """`[N, H, W, 3]`, RGB."""
    rate: Fraction
    """Frames a second."""
    digest: str


def read(name: str, data: bytes) -> Clip:
    """Decode a clip that a visitor sent.

    Raises:
        ImageError: one sentence that names the file and says what is wrong with it.
    """
    import hashlib

    try:
        frames, rate = _decoded(data)
    except ImageError as error:
        raise ImageError(f"{safety.plain(name)}: {error}.") from None
    return Clip(safety.stem(name), frames, rate, hashlib.sha256(data).hexdigest()[:24])


def _decoded(data: bytes) -> tuple[Uint8, Fraction]:
    import av

    if not data:
        raise ImageError("the file is empty")
    if len(data) > safety.MAX_MEGABYTES * 1_000_000:
        raise ImageError(f"{len(data) / 1e6:.0f} MB are more than the {safety.MAX_MEGABYTES} MB allowed")
    frames: list[Uint8] = []
    try:
        # The format is forced: some that FFmpeg would guess are playlists, which name other files and addresses
        with av.open(io.BytesIO(data), "r", format=_format(data)) as container:
            if not container.streams.video:
                raise ImageError("has no pictures in it")
            stream = container.streams.video[0]
            rate = Fraction(stream.average_rate or 25)
            size = stream.width * stream.height
            most = min(MAX_PIXELS // max(size, 1), int(MAX_SECONDS * rate))
            if min(stream.width, stream.height) < safety.MIN_SIDE:
                raise ImageError(f"{stream.width} x {stream.height} px; expected at least {safety.MIN_SIDE} px a side")
            for frame in container.decode(stream):
                if len(frames) == most:
                    shown = f"{stream.width} x {stream.height} px"
                    raise ImageError(f"longer than the {float(most / rate):.1f} s allowed at {shown}; cut it shorter")
                if frame.width * frame.height != size:
                    raise ImageError("its frames are not of one size")
                frames.append(np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90))
    except (av.FFmpegError, ValueError) as error:
        raise ImageError(f"damaged clip: {error}") from None
    if not frames:
        raise ImageError("has no pictures in it")
    return np.stack(frames), rate


def _format(data: bytes) -> str:
    if data[4:8] == b"ftyp":
        return "mp4"
    if data[:4] == b"\x1aE\xdf\xa3":
        return "matroska"
    raise ImageError("not a clip in a known format; expected MP4, MOV or WebM")


def encode(frames: Uint8, rate: Fraction) -> bytes:
    """Frames `[N, H, W, 3]` as an MP4 that browsers play."""
    import av

    height, width = frames.shape[1:3]
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as container:
        video: Any = container.add_stream("libx264", rate=rate, options={"crf": "16", "preset": "veryfast"})
        video.width, video.height, video.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        for pixels in frames:
            even = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            container.mux(video.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        container.mux(video.encode(None))
    return stream.getvalue()
