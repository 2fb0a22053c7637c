"""`afterimage restore`: images and clips of a bad camera, restored."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from afterimage.cli import inputs, options
from afterimage.cli.inputs import CommandError, Once

if TYPE_CHECKING:
    from afterimage.apply.frames import Applied
    from afterimage.video import Outcome


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
@options.inputs()
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
    default=0.0,
    help="For clips: how much of the frame before is mixed in where nothing moves. Default: 0, off.",
)
@click.option("--side-by-side", is_flag=True, help="Write the input and the result beside each other.")
@options.common
def command(
    row: str,
    paths: tuple[Path, ...],
    brightness: float,
    strength: float,
    faces: bool,
    face_detector: Path | None,
    no_face: Any,
    smooth: float,
    side_by_side: bool,
    out: Path | None,
    overwrite: bool,
    quiet: bool,
    device: Any,
    project: Path,
) -> None:
    """Restore INPUTs by ROW: clips, images, or folders of images.

    A clip keeps its sound, its times and its size. Given once more after an interruption, the command goes on with the
    clip or folder that it was at.
    """
    from afterimage import video

    options.require(project, row, "frames")
    found = inputs.items(paths, row, out, overwrite, _extension)  # no output is there that may not be replaced
    targets = {item.source: item.target for item in found}
    settings = video.Settings(
        faces or face_detector is not None, no_face, smooth, side_by_side, str(face_detector or "")
    )

    def load() -> "Applied":
        from afterimage import apply

        applied: Applied = apply.load(project, row, device)
        return applied.adjusted(brightness, strength)

    model = Once(load)
    broken: list[Path] = []

    def work(path: Path) -> str:
        target = out or Path()
        if not path.is_dir():
            target = targets[path]
            path.open("rb").close()  # before the model is loaded
        applied = model()
        ending = inputs.ending(row)
        done = video.restore(path, target, applied.frames, applied.about, settings, overwrite=True, ending=ending)
        for fault in done.faults:
            inputs.fault(path, fault)
        if done.faults:
            broken.append(path)
        return _said(path, target, done)

    try:
        with options.progress(quiet):
            inputs.each(list(paths), work, quiet)
    except KeyboardInterrupt:
        raise CommandError("interrupted; the same command goes on") from None
    if broken:
        raise CommandError(f"{', '.join(map(str, broken))}: not all of it could be read as it should be")


def _extension(source: Path) -> str:
    """Of the output for a file: PNG for an image, for a clip its own format or one that holds any."""
    from afterimage import video

    if not source.is_file() or video.is_picture(source):
        return ".png"
    from afterimage.video import writing

    return source.suffix if source.suffix.lower() in writing.FORMATS else CLIP


def _said(path: Path, target: Path, done: "Outcome") -> str:
    unit = "image" if path.is_dir() or done.units == 1 else "frame"
    plural = "" if done.units == 1 else "s"
    return f"{path}: {done.units} {unit}{plural} -> {target}{f'; {done.words}' if done.words else ''}"
