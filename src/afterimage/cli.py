"""The `afterimage` command. What a command needs is imported when it runs, so that `--help` answers at once."""

import re
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

    from afterimage import apply, images, outputs
    from afterimage.apply import inversions
    from afterimage.errors import ImageError, ParamsError

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
@click.argument("name", required=False)
@project_option
def preset(name: str | None, project: Path) -> None:
    """Lay the preset NAME over params.yaml, or list the presets.

    A preset is a file of presets/ that sets up one of the seeds at its full size, or another use; presets/README.md
    has the rules.
    """
    from afterimage import presets

    folder = project / "presets"
    if name is None:
        for each in presets.names(folder):
            click.echo(f"{each:32}{presets.about(folder, each).title}")
        return
    about = presets.about(folder, name)
    changes = presets.apply(project / "params.yaml", folder, name)
    click.echo(presets.described(name, about, changes))
