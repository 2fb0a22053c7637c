"""A clip's properties and its frames, decoded by FFmpeg through PyAV by the rules of `sources.video`.

- Frames are 8-bit RGB, upright. Their times are the clip's own; one without a time, or not after the one before it,
  is given the next possible.
- A frame of another size than the first is brought to that size.
- What cannot be decoded is passed over; where the file breaks off, the frames end. Either is a fault, in words.
"""

import io
from collections.abc import Generator, Iterator, MutableSequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import av
from av.error import InvalidDataError

from afterimage.core.errors import ImageError, VideoError
from afterimage.core.images import Uint8
from afterimage.core.parsing import parsing
from afterimage.datasets.sources.video import bounded, pixels

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

OPTIONS = {"protocol_whitelist": "none"}  # a playlist that calls itself a clip reaches no other file and no network
SHORT = Fraction(1, 2)
"""Seconds that the frames may end before the end that the header gives."""


@dataclass(frozen=True)
class Memory:
    """A clip in memory, in place of the path of a file."""

    name: str
    """What messages call it."""
    data: bytes
    form: str
    """FFmpeg's name of the only format that it is read as."""

    def open(self, mode: str) -> BinaryIO:
        return io.BytesIO(self.data)

    def __str__(self) -> str:
        return self.name


class Clip(NamedTuple):
    """What a clip is like, before its frames are read."""

    path: Path | Memory
    width: int
    height: int
    """Of the first frame, upright."""
    rate: Fraction
    """Frames a second, on average."""
    time_base: Fraction
    """The unit of its times, in seconds."""
    seconds: Fraction | None
    """How long the header says that it is."""
    frames: int | None
    """How many frames it should have, about."""
    aspect: Fraction
    """Width of a pixel by its height, upright."""
    space: int
    primaries: int
    transfer: int
    """How its colours are coded, in FFmpeg's numbers."""


class Frame(NamedTuple):
    """A frame and its time in units of the clip's time base."""

    time: int
    pixels: Uint8


@contextmanager
def opened(path: Path | Memory) -> Iterator["InputContainer"]:
    """Open a clip for reading: no other file and no address that it may name."""
    form = path.form if isinstance(path, Memory) else None
    with path.open("rb") as stream, av.open(stream, "r", format=form, options=OPTIONS) as container:
        yield container


def probe(path: Path | Memory) -> Clip:
    """Read what a clip is like from its header and its first frame.

    Raises:
        VideoError: it is no clip, or has no frame that can be decoded.
    """
    try:
        with parsing(VideoError, f"{path}: cannot be read as a clip"), _frameless(path), opened(path) as container:
            if not container.streams.video:
                raise VideoError(f"{path}: no video in this file")
            track = container.streams.video[0]
            first = next(decoded(container, []), None)
            if first is None:
                raise VideoError(f"{path}: no frames in this file")
            bounded(first.width, first.height)
            clip = described(path, track, first)
            seconds = _seconds(container)
            return clip._replace(
                seconds=seconds, frames=track.frames or (round(seconds * clip.rate) if seconds else None)
            )
    except ImageError as error:
        raise VideoError(f"{path}: {error}") from None


@contextmanager
def _frameless(path: Path | Memory) -> Iterator[None]:
    try:
        yield
    except EOFError:  # a header with nothing after it
        raise VideoError(f"{path}: no frames in this file") from None


def described(path: Path | Memory, track: "VideoStream", first: av.VideoFrame) -> Clip:
    """What a clip is like by its track and its first frame; how long it is is left open."""
    turned = _turned(first)
    rate = track.average_rate or track.guessed_rate or Fraction(25)
    aspect = track.sample_aspect_ratio or Fraction(1)
    return Clip(
        path,
        width=first.height if turned else first.width,
        height=first.width if turned else first.height,
        rate=rate,
        time_base=track.time_base or 1 / rate,
        seconds=None,
        frames=None,
        aspect=1 / aspect if turned else aspect,
        space=int(first.colorspace),
        primaries=int(track.codec_context.color_primaries),
        transfer=int(track.codec_context.color_trc),
    )


def frames(clip: Clip, faults: list[str], skip: int = 0) -> Generator[Frame, None, None]:
    """The frames of a clip, without the first `skip`.

    Args:
        faults: what is wrong with the clip is added here, a line each.
    """
    count, resized = 0, 0
    dropped: list[str] = []
    first, last = None, 0
    step = max(1, round(1 / (clip.rate * clip.time_base)))
    try:
        with parsing(VideoError, "damaged"), opened(clip.path) as container:
            container.streams.video[0].thread_type = "AUTO"
            for frame in decoded(container, dropped):
                time = frame.pts if frame.pts is not None else last + step if count else 0
                time = max(time, last + 1) if count else time
                first = time if first is None else first
                count, last = count + 1, time
                bounded(frame.width, frame.height)
                resized += not _fits(frame, clip)
                if count > skip:
                    yield Frame(time, fitted(frame, clip))
    except (VideoError, ImageError) as error:
        faults.append(f"breaks off after {count} frames: {error}")
    else:
        reached = (last - (first or 0) + step) * clip.time_base
        if clip.seconds and clip.seconds - reached > SHORT:
            ends, said = float(reached), float(clip.seconds)
            faults.append(f"breaks off after {count} frames: {ends:.3f} s of the {said:.3f} s that its header gives")
    if dropped:
        faults.append(f"{len(dropped)} damaged packets were passed over; the first: {dropped[0]}")
    if resized:
        faults.append(f"{resized} frames of other sizes were brought to {clip.width} x {clip.height} px, the first's")


def fitted(frame: av.VideoFrame, clip: Clip) -> Uint8:
    """A frame upright, brought to the size of the first."""
    if not _fits(frame, clip):
        width, height = (clip.height, clip.width) if _turned(frame) else (clip.width, clip.height)
        frame = frame.reformat(width=width, height=height, interpolation="BICUBIC")
    return pixels(frame)


def _fits(frame: av.VideoFrame, clip: Clip) -> bool:
    size = (frame.height, frame.width) if _turned(frame) else (frame.width, frame.height)
    return size == (clip.width, clip.height)


def _turned(frame: av.VideoFrame) -> bool:
    return round(frame.rotation / 90) % 2 == 1


def decoded(container: "InputContainer", dropped: MutableSequence[str]) -> Iterator[av.VideoFrame]:
    """The frames of the first video track, without packets that the decoder refuses."""
    for packet in container.demux(container.streams.video[0]):
        try:
            found = packet.decode()
        except InvalidDataError as error:
            dropped.append(str(error.strerror))
            continue
        yield from (frame for frame in found if isinstance(frame, av.VideoFrame))


def _seconds(container: "InputContainer") -> Fraction | None:
    """How long the video should be, where the file says so for it alone."""
    track = container.streams.video[0]
    if track.duration and track.time_base:
        return track.duration * track.time_base
    if container.duration and not container.streams.audio:
        return Fraction(container.duration, av.time_base)
    return None
