"""`afterimage submission`: the filled boxes of many images as one file."""

from pathlib import Path
from typing import Any

import click

from afterimage.cli import inputs, options


@click.command("submission")
@options.row("holes")
@click.option("--images", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--boxes", type=click.Path(path_type=Path), required=True, help="file,left,top,right,bottom a line.")
@options.project
@options.device
@options.quiet
@options.overwrite
@click.option("--out", "-o", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The CSV to write.")
def command(
    row: str, folder: Path, boxes: Path, out: Path, overwrite: bool, quiet: bool, device: Any, project: Path
) -> None:
    """Fill the boxes of the images that a table lists by ROW, and write their values as a submission."""
    options.require(project, row, "holes")
    if not overwrite:
        inputs.require_free([out])

    from afterimage import apply
    from afterimage.apply import submission

    applied = apply.load(project, row, device)
    with options.progress(quiet):
        rows = submission.write(lambda image, mask: applied(image, mask).image, folder, boxes, out)
    if not quiet:
        click.echo(f"{out}: {rows:,} rows")
