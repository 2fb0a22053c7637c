"""`afterimage rows`: what there is, and its numbers."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import click

from afterimage.cli import options


@click.command("rows")
@click.argument("pattern", required=False)
@click.option("--kind", type=click.Choice(list(options.TAKES)), help="Only rows that observe this.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object: kind of observation -> list of rows.")
@options.project
def command(pattern: str | None, kind: str | None, as_json: bool, project: Path) -> None:
    """List the rows of params.yaml with their numbers on the test images, a table for each kind of observation.

    PATTERN filters by row, or by row/case, as a shell does: 'vgg16-*', '*/telea'.
    """
    from afterimage.report import tables

    found = {
        each: [line for line in lines if pattern is None or _matches(line, pattern)]
        for each, lines in tables.results(project).items()
        if kind in (None, each)
    }
    if as_json:
        import json

        click.echo(json.dumps(found, indent=2))
        return
    from tabulate import tabulate

    shown = {each: lines for each, lines in found.items() if lines}
    if not shown:
        click.echo(f"no rows{f' that match {pattern}' if pattern else ''}")
    for number, (each, lines) in enumerate(shown.items()):
        click.echo(f"{'' if number == 0 else chr(10)}{each}\n")
        click.echo(tabulate(lines, headers="keys", floatfmt=".4g", missingval="-"))
    page = project / "reports/index.html"
    if page.is_file():
        click.echo(f"\nReport: {page.resolve()}")


def _matches(line: Mapping[str, Any], pattern: str) -> bool:
    names = (line["row"], f"{line['row']}/{line['case']}")
    return any(fnmatchcase(name, pattern) for name in names)
