"""`afterimage export`: a row as a file that other programs run."""

from pathlib import Path

import click

from afterimage.cli import inputs, options


@click.command("export")
@options.row()
@click.option("--format", "form", type=click.Choice(["onnx", "torchscript", "safetensors"]), required=True)
@click.option("--out", "-o", metavar="FILE", type=click.Path(path_type=Path), help="Default: <row>.<format>, here.")
@options.overwrite
@options.quiet
@options.project
def command(row: str, form: str, out: Path | None, overwrite: bool, quiet: bool, project: Path) -> None:
    """Write ROW as one file: its network and all that belongs to it, for images of any size.

    The file and the row are asked for images of three sizes. Where their answers differ by more than rounding there is
    no file. docs/exporting.md says what goes in and what comes out.
    """
    from afterimage import export

    path = out or Path(f"{row.replace('/', '-')}{export.FORMATS[form]}")
    if not overwrite:
        inputs.require_free([path])
    written = export.write(project, row, form, path)
    if quiet:
        return
    click.echo(f"{written.row} -> {path}, {path.stat().st_size / 1e6:.1f} MB, sha256 {written.sha256}")
    click.echo(f"{written.takes}; float32 in [0, 1], RGB")
    for difference in written.differences:
        click.echo(f"checked on {difference}")
    click.echo(f"tolerated: {export.tolerated()}")
    for text in written.left_out:
        click.echo(f"left out: {text}")
