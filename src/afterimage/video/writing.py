"""Pieces of a clip as H.264, and the clip that they make together with the sound of the one they were made from.

A piece is encoded by itself and begins with a key frame, so that pieces can be joined without encoding anew. There
are no frames that refer to later ones: decoding times then are the times of the frames, and pieces join at any rate.
Times in a piece are counted from its first frame.
"""

import heapq
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import Colorspace, Interpolation

from afterimage.core.errors import VideoError
from afterimage.core.images import Uint8
from afterimage.video.reading import Clip, Frame, opened

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
ENCODER = {"preset": "veryfast", "crf": "18", "bf": "0"}
THREADS = 4
"""The encoder's bits depend on how many there are, so the machine does not decide."""
SPACES = {1: Colorspace.ITU709, 4: Colorspace.FCC, 7: Colorspace.SMPTE240M, 9: Colorspace.BT2020}


@contextmanager
def piece(
    out: Path | BinaryIO, clip: Clip, width: int, height: int, form: str = "mp4"
) -> Iterator[Callable[[Frame], None]]:
    """Yield what encodes the next frame of a piece, `width` x `height` px.

    An odd side grows by a pixel, which H.264 needs.

    Args:
        out: a file, or a stream that can seek.
        form: FFmpeg's name of the format.

    Raises:
        VideoError: the encoder does not take them.
    """
    flags = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.BITEXACT | Interpolation.FULL_CHR_H_INP
    start: int | None = None
    try:
        with av.open(_place(out) if isinstance(out, Path) else out, "w", format=form) as container:
            track = container.add_stream("libx264", rate=clip.rate, options=dict(ENCODER))
            track.width, track.height, track.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
            context = track.codec_context
            context.time_base = clip.time_base
            context.thread_count = THREADS
            context.sample_aspect_ratio = clip.aspect
            context.colorspace, context.color_primaries, context.color_trc = clip.space, clip.primaries, clip.transfer

            def encode(frame: Frame) -> None:
                nonlocal start
                start = frame.time if start is None else start
                coded = av.VideoFrame.from_ndarray(_even(frame.pixels), "rgb24").reformat(
                    format="yuv420p", dst_colorspace=SPACES.get(clip.space, Colorspace.ITU601), interpolation=flags
                )
                coded.pts, coded.time_base = frame.time - start, clip.time_base
                container.mux(track.encode(coded))

            yield encode
            container.mux(track.encode(None))
    except (FFmpegError, OverflowError) as error:
        raise VideoError(f"{clip.path}: {width} x {height} px cannot be encoded as H.264: {error}") from None


def check(clip: Clip, out: Path) -> None:
    """Find out before the work begins whether `out` can hold the sound of the clip.

    Raises:
        VideoError: it cannot, or its name says no format that can hold H.264.
    """
    form = form_of(out)
    with opened(clip.path) as source:
        tracks = source.streams.audio
        if not tracks:
            return
        try:
            with av.open(io.BytesIO(), "w", format=form) as target:
                for track in tracks:
                    target.add_stream_from_template(track)
                target.start_encoding()
        except (FFmpegError, ValueError):
            codecs = ", ".join(sorted({track.codec_context.name for track in tracks}))
            raise VideoError(f"{out}: sound of the kind {codecs} does not fit into {form}; .mkv takes more") from None


def form_of(out: Path) -> str:
    """FFmpeg's name of the format that a file name stands for.

    Raises:
        VideoError: it stands for none that is written here.
    """
    form = FORMATS.get(out.suffix.lower())
    if form is None:
        raise VideoError(f"{out}: a clip is written as {', '.join(FORMATS)}, found {out.suffix or 'no extension'}")
    return form


def join(pieces: Sequence[tuple[Path, int]], clip: Clip, out: Path, form: str) -> list[str]:
    """Write pieces as one clip, with the sound of the original copied as it is.

    Args:
        pieces: each with the time of its first frame.
        form: FFmpeg's name of the format, whatever `out` is called.

    Returns:
        What was wrong with the sound, a line each.

    Raises:
        VideoError: they do not fit together.
    """
    faults: list[str] = []
    options = {} if form == "matroska" else {"movflags": "+faststart"}
    try:
        with (
            opened(clip.path) as source,
            av.open(_place(pieces[0][0])) as first,
            av.open(_place(out), "w", format=form, options=options) as target,
        ):
            video = target.add_stream_from_template(first.streams.video[0])
            video.codec_context.framerate = clip.rate
            sound = {track.index: target.add_stream_from_template(track) for track in source.streams.audio}
            for index, track in sound.items():
                track.metadata.update(source.streams[index].metadata)  # its language, among others
            timed = heapq.merge(_video(pieces, clip, video), _sound(source, sound, faults), key=itemgetter(0))
            for _, packet in timed:
                target.mux(packet)
    except (FFmpegError, ValueError) as error:
        raise VideoError(f"{clip.path}: its pieces and its sound do not fit together: {error}") from None
    return faults


def _video(
    pieces: Sequence[tuple[Path, int]], clip: Clip, track: "VideoStream"
) -> Iterator[tuple[Fraction, "av.Packet"]]:
    """The packets of the pieces with their times in the whole clip, in seconds."""
    for path, start in pieces:
        with av.open(_place(path)) as container:
            for packet in container.demux(container.streams.video[0]):
                if packet.pts is None or packet.dts is None:  # the end of the piece
                    continue
                shift = round(start * clip.time_base / packet.time_base)
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                packet.stream = track
                yield packet.dts * packet.time_base, packet


def _sound(
    source: "InputContainer", tracks: Mapping[int, "Stream"], faults: list[str]
) -> Iterator[tuple[Fraction, "av.Packet"]]:
    """The packets of the sound, with their times in seconds."""
    if not tracks:
        return
    last = Fraction(0)
    try:
        for packet in source.demux(*source.streams.audio):
            if not packet.size:  # the end of a track
                continue
            target = tracks[packet.stream_index]
            last = packet.dts * packet.time_base if packet.dts is not None else last
            packet.stream = target
            yield last, packet
    except (FFmpegError, OSError) as error:
        faults.append(f"its sound breaks off after {float(last):.3f} s: {getattr(error, 'strerror', None) or error}")


def _place(path: Path) -> str:
    """A path that FFmpeg takes for no address, whatever the name is."""
    return str(path.absolute())


def _even(pixels: Uint8) -> Uint8:
    """With an even width and height: the last column and row once more."""
    height, width, _ = pixels.shape
    return np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), "edge") if height % 2 or width % 2 else pixels
