"""`afterimage comment`: what a pull request shows of its results."""

from pathlib import Path

import click

from afterimage.cli import options
from afterimage.cli.options import UsageError


@click.command("comment")
@click.argument("base", metavar="BASE")
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path),
    required=True,
    help="The folder to write; it may hold an earlier comment, which is replaced.",
)
@options.project
def command(base: str, out: Path, project: Path) -> None:
    """Write a comment for a pull request: `comment.md`, with the figures that it shows beside it.

    It compares the working tree with BASE, a branch, a tag, a commit, or the folder of a project: verdicts, the
    figures that changed before and after, and parameters. docs/review.md says how it gets to GitHub and GitLab.
    """
    from afterimage.review import comment, revisions

    if out.exists() and any(out.iterdir()) and not (out / comment.COMMENT).is_file():
        raise UsageError(f"--out {out}: expected a new folder, or one with a {comment.COMMENT} to replace")
    comment.write(revisions.side(project, base), revisions.side(project, None), out)
    click.echo(out / comment.COMMENT)
