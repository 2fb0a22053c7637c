"""Short clips in memory: read from what a visitor sent, and written for the browser, by the rules of `video`."""

import io
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from afterimage.app import safety
from afterimage.core.errors import VideoError
from afterimage.core.images import Uint8

if TYPE_CHECKING:
    from afterimage.video import reading

EXTENSIONS = ("mp4", "mov", "m4v", "webm", "mkv")
MAX_SECONDS = 10
MAX_PIXELS = 60_000_000
"""Of all frames together: 180 MB in memory."""
ALLOWED = (
    f"{MAX_SECONDS} s, {safety.MAX_MEGABYTES} MB and {MAX_PIXELS // 1_000_000} megapixels in all its frames, such as "
    f"{MAX_PIXELS // (640 * 360)} of 640 x 360 px"
)
"""The bounds of a clip in words."""


class Clip(NamedTuple):
    """A visitor's clip."""

    name: str
    source: "reading.Clip"
    """What the file says of it."""
    frames: Uint8
    """`[N, H, W, 3]`, RGB, upright."""
    times: list[int]
    """Of each frame, in units of the source's time base."""
    note: str
    """What was wrong with the file, in a sentence, where it could be read all the same."""


def read(name: str, data: bytes) -> Clip:
    """Decode a clip that a visitor sent.

    Raises:
        VideoError: one sentence that names the file and says what is wrong with it.
    """
    from afterimage.video import reading

    shown = safety.plain(name)
    faults: list[str] = []
    try:
        # The format is forced: some that FFmpeg would guess are playlists, which name other files and addresses
        source = reading.probe(reading.Memory(shown, data, _format(shown, data)))
        frames, times = _decoded(source, faults)
    except VideoError as error:
        raise VideoError(f"{error}.") from None
    note = f"{shown}: {'; '.join(faults)}." if faults else ""
    return Clip(safety.stem(name), source, frames, times, note)


def _format(shown: str, data: bytes) -> str:
    """FFmpeg's name of the format of a file that is not too large."""
    if not data:
        raise VideoError(f"{shown}: the file is empty")
    if len(data) > safety.MAX_MEGABYTES * 1_000_000:
        raise VideoError(f"{shown}: {len(data) / 1e6:.0f} MB are more than the {safety.MAX_MEGABYTES} MB allowed")
    if data[4:8] == b"ftyp":
        return "mp4"
    if data[:4] == b"\x1aE\xdf\xa3":
        return "matroska"
    raise VideoError(f"{shown}: not a clip in a known format; expected MP4, MOV or WebM")


def _decoded(source: "reading.Clip", faults: list[str]) -> tuple[Uint8, list[int]]:
    """The frames `[N, H, W, 3]` and their times."""
    from afterimage.video import reading

    size = f"{source.width} x {source.height} px"
    if min(source.width, source.height) < safety.MIN_SIDE:
        raise VideoError(f"{source.path}: {size}; expected at least {safety.MIN_SIDE} px a side")
    most = MAX_PIXELS // (source.width * source.height)
    if most == 0:
        raise VideoError(f"{source.path}: {size} are too many; expected at most {MAX_PIXELS / 1e6:.0f} megapixels")
    seconds = min(float(MAX_SECONDS), float(most / source.rate))
    frames: list[Uint8] = []
    times: list[int] = []
    for time, pixels in reading.frames(source, faults):
        lasts = (time - times[0]) * source.time_base if times else 0
        if lasts >= MAX_SECONDS or len(frames) == most:
            raise VideoError(f"{source.path}: longer than the {seconds:.1f} s allowed at {size}; cut it shorter")
        frames.append(pixels)
        times.append(time)
    if not frames:
        raise VideoError(f"{source.path}: {'; '.join(faults) or 'no frames in this file'}")
    return np.stack(frames), times


def encode(clip: Clip, frames: Uint8) -> bytes:
    """Frames `[N, H, W, 3]` at the times of a clip, as an MP4 that browsers play.

    Raises:
        VideoError: the encoder does not take frames of this size.
    """
    from afterimage.video import reading, writing

    stream = io.BytesIO()
    height, width = frames.shape[1:3]
    with writing.piece(stream, clip.source, width, height) as put:
        for time, pixels in zip(clip.times, frames, strict=True):
            put(reading.Frame(time, pixels))
    return stream.getvalue()
