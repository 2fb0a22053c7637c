"""The `afterimage` command. What a command needs is imported when it runs, so that `--help` answers at once."""

import sys
from pathlib import Path
from typing import Any

import click

from afterimage.errors import AfterimageError

LOOPBACK = ("127.0.0.1", "localhost", "::1")


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
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8501, show_default=True, help="Where the page is served."
)
@click.option(
    "--address",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on. Any other than loopback shows the page to the network: it asks for no password.",
)
@project_option
def app(port: int, address: str, project: Path) -> None:
    """Open the web page: try the trained rows on pictures of your own."""
    import os

    script = Path(__file__).parent / "app"
    options = {
        "server.address": address,
        "server.port": port,
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "server.maxUploadSize": 25,
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "viewer",
        "client.showErrorDetails": "none",
        "client.showErrorLinks": "false",
        "theme.base": script / "theme.toml",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    if address in LOOPBACK:  # a page elsewhere that gives this machine its own name must not reach what is served here
        words += [word for host in LOOPBACK for word in ("--server.allowedHosts", host)]
    os.environ["AFTERIMAGE_PROJECT"] = str(project.resolve())
    os.execv(sys.executable, [sys.executable, "-m", "streamlit", "run", str(script / "main.py"), *words])
