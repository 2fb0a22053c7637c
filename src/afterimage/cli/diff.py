"""`afterimage diff`: what a change did to the results, and which of it is more than chance."""

import sys
from pathlib import Path

import click

from afterimage.cli import options
from afterimage.cli.options import UsageError


@click.command("diff")
@click.argument("revision", metavar="[REV]", required=False)
@click.argument("other", metavar="[OTHER]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object with every number.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Write it for a pull request.")
@click.option(
    "--fail-on",
    type=click.Choice(["worse", "changed"]),
    help="End with status 1 if a metric got worse, or if any is not the same.",
)
@options.project
def command(
    revision: str | None, other: str | None, as_json: bool, as_markdown: bool, fail_on: str | None, project: Path
) -> None:
    """Compare the results of two revisions: what is better, worse, or no more than these test images can show.

    Of each metric of each row, the difference over the same test images, with its 95 % interval. REV is a branch, a
    tag, a commit, or the folder of a project; default: HEAD. It is compared with OTHER; default: the working tree.
    """
    if as_json and as_markdown:
        raise UsageError("--json and --markdown: expected one of them")
    from afterimage.review import differences, revisions, writing

    sides = [revisions.side(project, words) for words in ("HEAD" if revision is None else revision, other)]
    comparison = differences.compare(*sides)
    if as_json:
        import json

        click.echo(json.dumps(writing.plain(comparison), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        click.echo((writing.markdown if as_markdown else writing.text)(comparison).rstrip())
    counts = comparison.counts
    same = counts.total() == counts[differences.Verdict.UNCHANGED]
    if (fail_on == "worse" and counts[differences.Verdict.WORSE]) or (fail_on == "changed" and not same):
        sys.exit(1)
