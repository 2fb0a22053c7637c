"""The `afterimage` command. What a command needs is imported when it runs, so that `--help` answers at once."""

import sys
from pathlib import Path
from typing import Any

import click

from afterimage.errors import AfterimageError


class OneLine(click.Group):
    """A group whose commands end with one line for a fault that the user can mend."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except AfterimageError as error:
            sys.exit(f"afterimage: {error}")
        except OSError as error:
            if error.strerror is None:
                raise
            sys.exit(f"afterimage: {error.strerror}: {error.filename or ''}".rstrip(": "))


project_option = click.option(
    "--project",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=".",
    help="The folder with params.yaml and data/. Default: this one.",
)


@click.group(cls=OneLine, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="afterimage")
def main() -> None:
    """Rebuild images from what is left of them, and measure how much came back."""


@main.command()
@project_option
def rows(project: Path) -> None:
    """List the rows of params.yaml: what is trained, and its numbers on the test photographs."""
    from tabulate import tabulate

    from afterimage import tables

    lines = tables.results(project)
    click.echo(tabulate(lines, headers="keys", floatfmt=".4g", missingval="-"))
    page = project / "reports/index.html"
    if page.is_file():
        click.echo(f"\nReport: {page.resolve()}")


@main.command()
@click.argument("row")
@click.argument("image", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    "-o",
    type=click.Path(file_okay=False, path_type=Path),
    default=".",
    help="The folder to write to. Default: this one.",
)
@project_option
def reconstruct(row: str, image: tuple[Path, ...], out: Path, project: Path) -> None:
    """Send IMAGEs of any size through a trained ROW.

    Writes <name>-<row>.png, the reconstruction, and <name>-<row>-comparison.png, which sets it beside the original
    and the error.
    """
    from afterimage import apply, outputs, tables
    from afterimage.apply.decoders import DecoderRow
    from afterimage.errors import ImageError
    from afterimage.images import decode

    tables.require_row(project, "decoders", row)
    network = DecoderRow(project, row)
    out.mkdir(parents=True, exist_ok=True)
    failed = 0
    for path in image:
        try:
            original = decode(path.read_bytes())
            result = apply.measure(original, network(original))
        except (ImageError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            click.echo(f"afterimage: {path}: {reason}", err=True)
            failed += 1
            continue
        target = out / f"{path.stem}-{row}.png"
        beside = out / f"{path.stem}-{row}-comparison.png"
        for name, picture in ((target, result.image), (beside, apply.comparison(original, result, row))):
            with outputs.file(name) as partial:
                picture.save(partial, "PNG")
        click.echo(f"{path}: {result.psnr:.2f} dB, SSIM {result.ssim:.3f} -> {target}, {beside.name}")
    if failed:
        sys.exit(f"afterimage: {failed} of {len(image)} images could not be read")


@main.command()
@click.argument("row")
@click.argument("input", type=click.Path(path_type=Path))
@click.option("--out", "-o", required=True, type=click.Path(path_type=Path), help="The file, or folder, to write.")
@click.option("--faces", is_flag=True, help="Restore faces only; the rest stays as it is.")
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
@click.option("--overwrite", is_flag=True, help="Replace an output that is there.")
@project_option
def restore(
    row: str,
    input: Path,
    out: Path,
    faces: bool,
    no_face: Any,
    smooth: float,
    side_by_side: bool,
    overwrite: bool,
    project: Path,
) -> None:
    """Restore INPUT with a trained ROW: a clip, an image, or a folder of images.

    A clip keeps its sound, its times and its size. Given once more after an interruption, the command goes on.
    """
    from afterimage import layout, outputs, tables, video
    from afterimage.apply.restorers import RestorerRow

    tables.require_row(project, "restorers", row)
    settings = video.Settings(faces, no_face, smooth, side_by_side)
    network = RestorerRow(project, row)
    weights = outputs.sha256(project / layout.model("restorers", row) / "model.safetensors")
    try:
        done = video.restore(input, out, network.frames, {"row": row, "model": weights}, settings, overwrite)
    except KeyboardInterrupt:
        sys.exit("afterimage: interrupted; the same command goes on")
    for fault in done.faults:
        click.echo(f"afterimage: {input}: {fault}", err=True)
    unit = "image" if input.is_dir() or done.units == 1 else "frame"
    plural = "" if done.units == 1 else "s"
    click.echo(f"{input}: {done.units} {unit}{plural} -> {out}{f'; {done.words}' if done.words else ''}")
    if done.faults:
        sys.exit(f"afterimage: {input}: not all of it could be read as it should be")
