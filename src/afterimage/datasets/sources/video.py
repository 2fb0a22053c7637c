"""Frames of clips at a rate: one clip, or a folder of them by the rules of `paths`, decoded by FFmpeg through PyAV.

- At each step of 1 / rate seconds the first frame is taken that is not earlier. Times are those in the clip, so clips
  of any rate give frames of the same times; the key ends with the number of the step.
- Frames become 8-bit RGB in the clip's own colour space, upright, the same on every machine, and are kept as PNG.
- A clip belongs together, so it is a group, unless the row says otherwise.
- What cannot be decoded is set aside: a whole clip, or its rest. A clip that names other files is not followed to them.
"""

import io
import math
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Literal, NamedTuple

import numpy as np
from pydantic import Field

from afterimage.core import images
from afterimage.core.errors import ImageError, SourceError
from afterimage.core.parsing import parsing
from afterimage.datasets.sources import Item, folder, paths

if TYPE_CHECKING:
    import av

COLUMNS = (*paths.COLUMNS, "clip", "seconds")
EXTENSIONS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".ts", ".webm", ".wmv")
TOLERANCE = Fraction(1, 20)
"""By so much of a step a frame may be early: some formats round times to milliseconds."""


class Row(paths.Files):
    """`path`: a clip, or a folder of clips."""

    source: Literal["video"]
    group: str = "image"
    """`image`: a clip is a group; `parent`: the clips of one folder are; else a pattern with one group, searched in the
    path of the clip."""
    pairs: None = None
    rate: Annotated[float, Field(gt=0)]
    """Frames a second."""


class Shot(NamedTuple):
    """A frame of a clip."""

    step: int
    seconds: Fraction
    png: bytes


def items(row: Row) -> Iterator[Item]:
    """The frames of the clips.

    Raises:
        SourceError: there is no such clip or folder, it holds no clips, or the pattern does not match one.
    """
    path = Path(row.path)
    if not path.exists():
        raise SourceError(f"{path}: there is no such clip or folder")
    root = path if path.is_dir() else path.parent
    found = folder.walk(root, EXTENSIONS) if path.is_dir() else [path.name]
    names = paths.clips(found, row.only)
    if not names:
        also = f" and {row.only!r}" if row.only else ""
        raise SourceError(f"{path}: no clips in this folder (looked for {', '.join(EXTENSIONS)}{also})")
    sound = [name for name in names if not name.endswith("/")]
    places = {name: (group, split) for name, group, split in paths.placed(sound, row)}
    for name in names:
        origin = paths.printable(name)
        step, reached = 0, Fraction(0)
        try:
            if name not in places:
                raise ImageError(folder.LEADS_OUT)
            group, split = places[name]
            with folder.read(root.resolve(), name) as stream:
                for step, reached, png in _shots(stream, row.rate):
                    yield Item(
                        name=paths.numbered(name, step),
                        origin=f"{origin} at {float(reached):.3f} s",
                        group=group,
                        split=split,
                        open=partial(io.BytesIO, png),
                        extra=("", origin, f"{float(reached):.3f}"),
                    )
                    step += 1
        except ImageError as error:
            where = f"{origin} after {float(reached):.3f} s" if step else origin
            yield paths.aside(paths.numbered(name, step), where, str(error), COLUMNS)


def _shots(stream: BinaryIO, rate: float) -> Iterator[Shot]:
    """The frames of a clip at a rate.

    Raises:
        ImageError: it, or the rest of it, cannot be decoded.
    """
    import av

    exact = Fraction(rate).limit_denominator(1_000_000)
    start: Fraction | None = None
    due = 0
    # no protocol is let through, so a playlist that calls itself a clip reaches no other file and no network
    options = {"protocol_whitelist": "none"}
    with parsing(ImageError, "damaged clip"), av.open(stream, "r", options=options) as container:
        if not container.streams.video:
            raise ImageError("no video in this file")
        track = container.streams.video[0]
        bounded(track.codec_context.width, track.codec_context.height)
        track.thread_type = "AUTO"
        for frame in container.decode(track):
            if frame.pts is None or frame.time_base is None:
                raise ImageError("frames without times")
            seconds = frame.pts * frame.time_base
            start = seconds if start is None else start
            step = math.floor((seconds - start) * exact + TOLERANCE)
            if step < due:
                continue
            if step > paths.LAST:
                raise ImageError(f"more than {paths.LAST + 1} frames at this rate")
            bounded(frame.width, frame.height)
            yield Shot(step, seconds - start, images.encode_png(pixels(frame)))
            due = step + 1
    if start is None:
        raise ImageError("no frames in this file")


def pixels(frame: "av.VideoFrame") -> images.Uint8:
    """A frame as 8-bit RGB `[H, W, 3]`, upright, by the colour space that it is in."""
    from av.video.reformatter import Interpolation

    # Without these flags the last bits depend on the instructions that the processor has
    flags = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.BITEXACT | Interpolation.FULL_CHR_H_INT
    found = frame.reformat(format="rgb24", interpolation=flags).to_ndarray()
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(found, turns))


def bounded(width: int, height: int) -> None:
    """Raise ImageError for a frame that is larger than an image may be."""
    if width * height > images.MAX_PIXELS:
        raise ImageError(f"{width} x {height} px are more than the {images.MAX_PIXELS} px allowed")
