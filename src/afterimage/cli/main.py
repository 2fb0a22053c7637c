"""The `afterimage` command. What a command needs is imported when it runs, so that `--help` answers at once."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from afterimage.core.errors import AfterimageError

if TYPE_CHECKING:
    from PIL.Image import Image

    from afterimage.observations.holes.masks import Missing


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

    from afterimage.report import tables

    lines = tables.results(project)
    click.echo(tabulate(lines, headers="keys", floatfmt=".4g", missingval="-"))
    page = project / "reports/index.html"
    if page.is_file():
        click.echo(f"\nReport: {page.resolve()}")


@main.command()
@click.option("--port", type=click.IntRange(1, 65535), default=8501, show_default=True)
@click.option(
    "--address",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on. Any other than loopback shows the page to the network, and asks for no password.",
)
@project_option
def app(port: int, address: str, project: Path) -> None:
    """Open the web page: what the trained rows make of pictures of your own."""
    from afterimage.app import server

    server.serve(project, address, port)


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
    from afterimage import apply
    from afterimage.apply.decoders import DecoderRow
    from afterimage.core import outputs
    from afterimage.core.errors import ImageError
    from afterimage.core.images import decode
    from afterimage.report import tables

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
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--encoder", required=True, help="The row of encoders that the features are from.")
@click.option("--layer", required=True, help="The layer, by any of its names.")
@click.option("--out", "-o", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The PNG to write.")
@click.option("--size", metavar="WxH", help="Of the image in px. Default: what the shape of the features tells.")
@click.option("--decoder", metavar="ROW", help="A trained row of decoders whose output starts the search.")
@click.option("--steps", type=click.IntRange(1), help="At most so many steps.")
@click.option("--restarts", type=click.IntRange(1), help="Searches, of which the best by feature error is kept.")
@click.option("--seed", type=int, help="Of whatever is random.")
@project_option
def invert(
    source: Path,
    encoder: str,
    layer: str,
    out: Path,
    size: str | None,
    decoder: str | None,
    steps: int | None,
    restarts: int | None,
    seed: int | None,
    project: Path,
) -> None:
    """Search for the image of features that are handed over.

    SOURCE is a .npy file with features [C, h, w] or [N, C, h, w], as networks give them. Any other file is taken as
    an image, whose features are taken first and all that is used of it. Of several images the names are numbered.
    """
    from PIL import Image

    from afterimage import apply
    from afterimage.apply import inversions
    from afterimage.core import images, outputs
    from afterimage.core.errors import ImageError, ParamsError

    wanted = None
    if size is not None:
        match = re.fullmatch(r"(\d+)x(\d+)", size)
        if match is None:
            raise ParamsError(f"--size {size}: expected WIDTHxHEIGHT in px, such as 224x224")
        wanted = (int(match[2]), int(match[1]))
    of = inversions.Layer(project, encoder, layer)
    original = None
    if source.suffix == ".npy":
        features = inversions.read_features(source)
    else:
        try:
            original = images.decode(source.read_bytes())
        except ImageError as error:
            raise ImageError(f"{source}: {error}; features come as .npy") from None
        features, wanted = of.features(original), (original.height, original.width)
    found = of.invert(features, of.settings(steps=steps, restarts=restarts, seed=seed), wanted, decoder)
    for number, one in enumerate(found):
        path = out if len(found) == 1 else out.with_name(f"{out.stem}-{number:03d}{out.suffix}")
        image = Image.fromarray(images.to_uint8(one.image))
        with outputs.file(path) as partial:
            image.save(partial, "PNG")
        text = f"{path}: feature error {one.error:.3g} after {one.steps} steps"
        if original is not None:
            measured = apply.measure(original, image)
            text += f"; {measured.psnr:.2f} dB, SSIM {measured.ssim:.3f} to the original"
        click.echo(text)
        if not one.converged:
            click.echo(
                f"afterimage: {path}: not converged, its feature error still fell after {one.steps} steps; "
                "the best image is kept, more --steps may help",
                err=True,
            )


@main.command()
@click.argument("row")
@click.argument("image", type=click.Path(path_type=Path))
@click.option("--mask", type=click.Path(path_type=Path), help="A black and white image of the same size.")
@click.option("--missing", type=click.Choice(["auto", "white", "black"]), default="auto", help="Its colour of holes.")
@click.option("--box", metavar="X,Y,W,H", multiple=True, help="A missing box in px; may be given several times.")
@click.option("--out", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Default: <name>-<row>.png here.")
@project_option
def inpaint(
    row: str, image: Path, mask: Path | None, missing: str, box: tuple[str, ...], out: Path | None, project: Path
) -> None:
    """Fill the missing part of IMAGE by a trained ROW.

    What is missing is told by --mask or by --box. Known pixels, size and transparency stay.
    """
    from afterimage.core import images, outputs
    from afterimage.core.errors import HoleError, ImageError
    from afterimage.observations.holes import masks
    from afterimage.report import tables

    if (mask is None) == (not box):
        raise HoleError("what is missing? expected --mask or --box, one of them")
    tables.require_row(project, "inpainters", row)
    data = image.read_bytes()
    try:
        whole = images.decode(data)
        if mask is not None:
            missing_part = masks.read(mask.read_bytes(), str(mask), cast("Missing", missing))
            masks.check(missing_part, whole.height, whole.width, str(mask))
        else:
            boxes = [masks.parse_box(text) for text in box]
            missing_part = masks.of_boxes(boxes, whole.height, whole.width, str(image))

        from afterimage.apply import inpainters  # after the checks, for it imports torch

        filled = inpainters.fill(inpainters.InpainterRow(project, row), data, missing_part)
    except ImageError as error:
        raise ImageError(f"{image}: {error}") from None
    target = out or Path(f"{image.stem}-{row}.png")
    with outputs.file(target) as partial:
        filled.save(partial, "PNG")
    click.echo(f"{image}: {missing_part.mean():.1%} filled -> {target}")


@main.command()
@click.argument("row")
@click.option("--images", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--boxes", type=click.Path(path_type=Path), required=True, help="file,left,top,right,bottom a line.")
@click.option("--out", "-o", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The CSV to write.")
@project_option
def submission(row: str, folder: Path, boxes: Path, out: Path, project: Path) -> None:
    """Fill the boxes of the images that a table lists by a trained ROW, and write their values as a submission."""
    from afterimage.apply import submission
    from afterimage.apply.inpainters import InpainterRow
    from afterimage.report import tables

    tables.require_row(project, "inpainters", row)
    rows = submission.write(InpainterRow(project, row), folder, boxes, out)
    click.echo(f"{out}: {rows:,} rows")


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--boxes", type=click.Path(path_type=Path), required=True, help="The table that it answers.")
@click.option("--originals", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Scores it.")
def check_submission(file: Path, boxes: Path, originals: Path | None) -> None:
    """Check a submission: count, order, duplicates, range, overlapping boxes; score it where originals are given."""
    from afterimage.apply import submission

    found = submission.check(file, boxes, originals)
    score = "" if found.mse is None else f"; MSE {found.mse:.6f}, RMSE {found.rmse:.5f}"
    click.echo(f"{file}: {found.rows:,} rows of {found.files} files, as they should be{score}")


@main.command()
@click.argument("row")
@click.argument("image", type=click.Path(path_type=Path))
@click.option("--mask", type=click.Path(path_type=Path), help="A black and white image of the same size.")
@click.option("--missing", type=click.Choice(["auto", "white", "black"]), default="auto", help="Its colour of holes.")
@click.option("--original", type=click.Path(path_type=Path), help="The image without what covers it.")
@click.option("--samples", type=click.IntRange(1), help="Completions to draw. Default: the row's.")
@click.option(
    "--temperature", type=click.FloatRange(0), help="Less keeps closer to what is likely. Default: the row's."
)
@click.option("--seed", type=int, default=0, help="Of what is drawn.")
@click.option(
    "--out", "-o", type=click.Path(file_okay=False, path_type=Path), default=".", help="Default: this folder."
)
@project_option
def complete(
    row: str,
    image: Path,
    mask: Path | None,
    missing: str,
    original: Path | None,
    samples: int | None,
    temperature: float | None,
    seed: int,
    out: Path,
    project: Path,
) -> None:
    """Complete the missing part of IMAGE several times by a trained ROW.

    What is missing is told by --mask or found: by comparing with the original, which is --original or, for
    occluded_images/occluded_NAME, original_images/NAME; without one it is the black square. Writes
    <name>-<row>.png, the mean of the completions, each of them with its number, and -spread.png, where they differ.
    """
    from afterimage.core import outputs
    from afterimage.core.errors import ImageError
    from afterimage.core.images import decode
    from afterimage.observations.holes import occlusions
    from afterimage.report import tables

    tables.require_row(project, "completers", row)

    def read(path: Path) -> "Image":
        try:
            return decode(path.read_bytes())
        except ImageError as error:
            raise ImageError(f"{path}: {error}") from None

    whole = read(image)
    beside = original or (occlusions.original_of(image) if mask is None else None)
    truth = read(beside) if beside else None
    found = occlusions.find(whole, str(image), mask, cast("Missing", missing), truth)

    from afterimage.apply import completers  # after the checks, for it imports torch

    result = completers.CompleterRow(project, row)(whole, found, samples, seed, temperature)
    out.mkdir(parents=True, exist_ok=True)
    name = f"{image.stem}-{row}"
    pictures = {f"{name}.png": result.mean, f"{name}-spread.png": completers.spread_map(result.spread)}
    pictures |= {f"{name}-{number}.png": each for number, each in enumerate(result.samples, start=1)}
    for file, picture in pictures.items():
        with outputs.file(out / file) as partial:
            picture.save(partial, "PNG")
    text = f"{image}: {found.mean():.1%} completed {len(result.samples)} times -> {out / name}.png"
    if truth is not None:
        text += f"; hole RMSE {completers.hole_rmse(truth, result.mean, found):.4f} to {beside}"
    click.echo(text)


@main.command()
@click.argument("name", required=False)
@project_option
def preset(name: str | None, project: Path) -> None:
    """Lay the preset NAME over params.yaml, or list the presets.

    A preset is a file of presets/ that sets up one of the seeds at its full size, or another use; presets/README.md
    has the rules.
    """
    from afterimage.cli import presets

    folder = project / "presets"
    if name is None:
        for each in presets.names(folder):
            click.echo(f"{each:32}{presets.about(folder, each).title}")
        return
    about = presets.about(folder, name)
    changes = presets.apply(project / "params.yaml", folder, name)
    click.echo(presets.described(name, about, changes))


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
    from afterimage import video
    from afterimage.apply.restorers import RestorerRow
    from afterimage.core import layout, outputs
    from afterimage.report import tables

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
