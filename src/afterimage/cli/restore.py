"""`afterimage restore`: images, clips and streams of a bad camera, restored."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from afterimage.cli import inputs, options
from afterimage.cli.inputs import CommandError, Once
from afterimage.cli.options import UsageError
from afterimage.core.errors import VideoError

if TYPE_CHECKING:
    from afterimage.apply.frames import Applied
    from afterimage.video import Outcome, Settings


class Brightness(click.ParamType):
    """`keep`, `auto` or an amount from 0 to 2, as that amount."""

    name = "keep|auto|AMOUNT"
    WORDS: ClassVar = {"keep": 0.0, "auto": 1.0}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            amount = self.WORDS[value] if value in self.WORDS else float(value)
        except ValueError:
            amount = -1.0
        if not 0 <= amount <= 2:
            self.fail(f"{value!r}; expected keep, auto or an amount from 0 to 2", param, ctx)
        return amount


CLIP = ".mkv"
"""The format of a clip whose own cannot be written."""


@click.command("restore")
@options.row("frames")
@options.inputs(required=False)
@click.option(
    "--brightness",
    type=Brightness(),
    default="auto",
    help="`keep` that of the input, `auto` (default) as the row finds it right, or an amount: 0.5 is half way.",
)
@click.option(
    "--strength",
    type=click.FloatRange(0, 1),
    default=1.0,
    help="How much is restored: 0 gives the input in its light, 1 (default) all that the row restores.",
)
@click.option("--enlarge", is_flag=True, help="Images as many times larger as the row's `factor` says.")
@click.option("--faces", is_flag=True, help="Restore faces only; the rest stays as it is.")
@click.option(
    "--face-detector",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Restore faces only, found by this file: YuNet as ONNX. Tilted faces are restored upright.",
)
@click.option(
    "--no-face",
    type=click.Choice(["whole", "keep", "stop"]),
    default="whole",
    help="With --faces, where none is found: restore the whole frame (default), keep it as it is, or stop.",
)
@click.option(
    "--smooth",
    type=click.FloatRange(0, 1, max_open=True),
    help="For clips: how much of the frame before is mixed in, along motion. Default: 0.8; 0 is off.",
)
@click.option("--side-by-side", is_flag=True, help="Write the input and the result beside each other.")
@click.option("--stream", metavar="ADDRESS", help="Instead of INPUT a camera: rtsp://..., or http://... with JPEGs.")
@click.option("--frames", type=click.IntRange(min=1), help="With --stream: end after so many. Default: at Ctrl-C.")
@options.common
def command(
    row: str,
    paths: tuple[Path, ...],
    brightness: float,
    strength: float,
    enlarge: bool,
    faces: bool,
    face_detector: Path | None,
    no_face: Any,
    smooth: float | None,
    side_by_side: bool,
    stream: str | None,
    frames: int | None,
    out: Path | None,
    overwrite: bool,
    quiet: bool,
    device: Any,
    project: Path,
) -> None:
    """Restore INPUTs by ROW: clips, images, or folders of images.

    A clip keeps its sound, its times and its size. Given once more after an interruption, the command goes on with the
    clip or folder that it was at.

    --stream restores what a camera sends, until Ctrl-C, and writes it to --out. Nothing else opens a network.
    """
    from afterimage import video

    _check_source(paths, stream, frames, out)
    if enlarge and (faces or face_detector or side_by_side or stream):
        raise UsageError("--enlarge is for whole images, without --faces, --side-by-side and --stream")
    options.require(project, row, "frames")
    settings = video.Settings(
        faces or face_detector is not None,
        no_face,
        video.SMOOTH if smooth is None else smooth,
        side_by_side,
        str(face_detector or ""),
    )

    def load() -> "Applied":
        from afterimage import apply

        applied: Applied = apply.load(project, row, device)
        adjusted = applied.adjusted(brightness, strength)
        return adjusted.enlarging() if enlarge else adjusted

    model = Once(load)
    if stream is not None and out is not None:
        _camera(stream, out, model, settings, frames, overwrite, quiet)
        return
    found = inputs.items(paths, row, out, overwrite, _extension)  # no output is there that may not be replaced
    targets = {item.source: item.target for item in found}
    broken: list[Path] = []

    def work(path: Path) -> str:
        target = out or Path()
        if not path.is_dir():
            target = targets[path]
            path.open("rb").close()  # before the model is loaded
            if enlarge and not video.is_picture(path):
                raise VideoError(f"{path}: no image; --enlarge is for images")
        applied = model()
        ending = inputs.ending(row)
        done = video.restore(path, target, applied.frames, applied.about, settings, overwrite=True, ending=ending)
        for fault in done.faults:
            inputs.fault(path, fault)
        if done.faults:
            broken.append(path)
        return _said(str(path), target, done, "image" if path.is_dir() or done.units == 1 else "frame")

    try:
        with options.progress(quiet):
            inputs.each(list(paths), work, quiet)
    except KeyboardInterrupt:
        raise CommandError("interrupted; the same command goes on") from None
    if broken:
        raise CommandError(f"{', '.join(map(str, broken))}: not all of it could be read as it should be")


def _check_source(paths: tuple[Path, ...], stream: str | None, frames: int | None, out: Path | None) -> None:
    """Raise UsageError unless there are inputs, none of them an address, or one camera and where its clip goes."""
    from afterimage.video import live

    for path in paths:
        if live.is_address(str(path)) and not path.exists():
            raise UsageError(f"{live.shown(str(path))}: an address; --stream ADDRESS reads a camera")
    if bool(paths) == (stream is not None):
        raise UsageError("expected INPUTs, or --stream with an address")
    if stream is not None and out is None:
        raise UsageError("--stream needs --out, the file to write")
    if stream is None and frames is not None:
        raise UsageError("--frames goes with --stream")


def _camera(
    address: str,
    out: Path,
    model: "Once[Applied]",
    settings: "Settings",
    frames: int | None,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Restore what a camera sends; the first Ctrl-C, or SIGTERM, ends it well."""
    from afterimage import video
    from afterimage.video import live, writing

    if not overwrite:
        inputs.require_free([out])
    writing.form_of(out)
    feed = live.Feed(address, lambda line: click.echo(f"afterimage: {line}", err=True))
    applied = model()
    with options.progress(quiet), _ended_by_signals(feed.stop):
        done = video.stream(feed, out, applied.frames, settings, frames, overwrite)
    if not quiet:
        click.echo(_said(feed.name, out, done))
    if done.faults:
        raise CommandError(f"{feed.name}: {done.faults[0]}")


@contextmanager
def _ended_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Within the block the first SIGINT or SIGTERM calls `stop`; the next does what it always does."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore(*_: object) -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def end(*_: object) -> None:
        restore()
        stop()

    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        restore()


def _extension(source: Path) -> str:
    """Of the output for a file: PNG for an image, for a clip its own format or one that holds any."""
    from afterimage import video

    if not source.is_file() or video.is_picture(source):
        return ".png"
    from afterimage.video import writing

    return source.suffix if source.suffix.lower() in writing.FORMATS else CLIP


def _said(source: str, target: Path, done: "Outcome", unit: str = "frame") -> str:
    plural = "" if done.units == 1 else "s"
    return f"{source}: {done.units} {unit}{plural} -> {target}{f'; {done.words}' if done.words else ''}"
