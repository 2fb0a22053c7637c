"""Restoring clips, images and folders of images, with anything that restores a batch of frames.

    pictures.py   an image, or a folder of images
    clips.py      a clip: decode, restore, encode, join, go on after an interruption
    reading.py    a clip's properties and its frames
    live.py       a camera on the network
    writing.py    pieces of a clip, and the clip that they make with the sound of the first
    regions.py    where the restorer looks: at whole frames, or at faces
    faces.py      faces in a frame, and the same faces from frame to frame
    steady.py     smoothing along motion, and the flicker before and after
    work.py       what is unfinished, beside the output

`restore` in this module picks the first or the second by what it is given; `stream` takes what a camera sends.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from afterimage.core.errors import ImageError, VideoError
from afterimage.core.images import Uint8, open_header
from afterimage.core.outputs import sha256

if TYPE_CHECKING:
    from afterimage.video.live import Feed

Restore = Callable[[Uint8], Uint8]
"""8-bit RGB frames `[N, H, W, 3]` to as many of the same size, whatever that is. It takes large ones in tiles."""
NoFace = Literal["whole", "keep", "stop"]
SMOOTH = 0.8
NO_FACE: tuple[NoFace, ...] = get_args(NoFace)


class Settings(NamedTuple):
    """How a restorer is applied."""

    faces: bool = False
    """Restore faces only, and leave the rest as it is."""
    no_face: NoFace = "whole"
    """Where none is found: restore the whole frame, keep it as it is, or stop."""
    smooth: float = SMOOTH
    """How much of the frame before, moved to where things are now, is mixed into one: 0 to below 1. For clips."""
    side_by_side: bool = False
    """Write the input beside what became of it."""
    detector: str = ""
    """A file with YuNet as ONNX, which finds the faces; none: a cascade does."""


class Outcome(NamedTuple):
    """What was restored, in numbers and words for the one who asked."""

    units: int
    """Frames of a clip, or images."""
    words: str
    """What else there is to say, in a line."""
    faults: list[str]
    """What could not be read, a line each."""


def restore(
    path: Path,
    out: Path,
    restorer: Restore,
    about: dict[str, Any],
    settings: Settings,
    overwrite: bool = False,
    ending: str = "",
) -> Outcome:
    """Restore a clip, an image or a folder of images.

    A run that was interrupted goes on where it was when it is asked for once more; what comes out is the same. Work
    of other settings, another input or another model begins anew.

    Args:
        out: a file, or a folder if `path` is one.
        about: what tells this restorer from others, as JSON.
        overwrite: whether outputs may be there already; other files in a folder stay.
        ending: of the names in a folder that is written, before the extension.

    Raises:
        VideoError: `path` cannot be read as any of these, or `out` cannot be written.
    """
    from afterimage.video import clips, pictures

    _check(settings)
    if not path.exists():
        raise VideoError(f"{path}: there is no such file or folder")
    _check_out(path, out, overwrite)
    if settings.detector:
        about = {**about, "detector": sha256(Path(settings.detector))}
    if path.is_dir():
        return pictures.folder(path, out, restorer, about, settings, overwrite, ending)
    if is_picture(path):
        return pictures.single(path, out, restorer, settings)
    return clips.restore(path, out, restorer, about, settings)


def stream(
    feed: "Feed", out: Path, restorer: Restore, settings: Settings, count: int | None = None, overwrite: bool = False
) -> Outcome:
    """Restore what a camera sends, until `feed.stop()`, its end, or so many frames.

    Raises:
        VideoError: nothing came, or `out` cannot be written.
    """
    from afterimage.video import clips

    _check(settings)
    _check_free(out, overwrite)
    return clips.stream(feed, out, restorer, settings, count)


def is_picture(path: Path) -> bool:
    """Whether a file is an image: by its extension, and where that says nothing, by how it begins."""
    from afterimage.datasets.sources import paths, video

    if path.suffix.lower() in (*paths.EXTENSIONS, *video.EXTENSIONS):
        return paths.is_image(path.name)
    with path.open("rb") as stream:
        head = stream.read(1 << 16)
    try:
        open_header(head)
    except ImageError:
        return False
    return True


def _check_out(path: Path, out: Path, overwrite: bool) -> None:
    source, target = path.resolve(), out.resolve()
    if source == target or (path.is_dir() and source in target.parents):
        raise VideoError(f"{out}: the output would lie in the input")
    if not out.exists():
        return
    if out.is_dir() != path.is_dir():
        raise VideoError(f"{out}: {'a folder' if out.is_dir() else 'a file'}, expected the name of the other kind")
    if out.is_file():
        _check_free(out, overwrite)


def _check_free(out: Path, overwrite: bool) -> None:
    if out.is_dir():
        raise VideoError(f"{out}: a folder, expected the name of a file")
    if not overwrite and out.exists():
        raise VideoError(f"{out}: this output is there already; --overwrite replaces it")


def _check(settings: Settings) -> None:
    from afterimage.video import faces

    if not 0 <= settings.smooth < 1:
        raise VideoError(f"smooth {settings.smooth:g}: expected 0 (off) to below 1")
    if settings.detector:
        faces.check(settings.detector)
