"""`afterimage check-submission`: whether a submission is what its table of boxes asks for."""

from pathlib import Path

import click

from afterimage.cli import options


@click.command("check-submission")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--boxes", type=click.Path(path_type=Path), required=True, help="The table that it answers.")
@click.option("--originals", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Scores it.")
@options.quiet
def command(file: Path, boxes: Path, originals: Path | None, quiet: bool) -> None:
    """Check a submission: count, order, duplicates, range, overlapping boxes; score it where originals are given."""
    from afterimage.apply import submission

    with options.progress(quiet):
        found = submission.check(file, boxes, originals)
    score = "" if found.mse is None else f"; MSE {found.mse:.6f}, RMSE {found.rmse:.5f}"
    if not quiet:
        click.echo(f"{file}: {found.rows:,} rows of {found.files} files, as they should be{score}")
