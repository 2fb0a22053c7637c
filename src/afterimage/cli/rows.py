"""`afterimage rows`: what there is, and its numbers."""

from collections.abc import Mapping
from contextlib import chdir
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import click

from afterimage.cli import options

WIDTHS = [22, 20, None, None, None, 18]
"""Of the columns of `--best`, whose lines have 100 columns in all."""


@click.command("rows")
@click.argument("pattern", required=False)
@click.option("--kind", type=click.Choice(list(options.TAKES)), help="Only rows that observe this.")
@click.option("--best", is_flag=True, help="For each observation the best row beside the best baseline, by PSNR.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object: kind of observation -> list of rows.")
@options.project
def command(pattern: str | None, kind: str | None, best: bool, as_json: bool, project: Path) -> None:
    """List the rows of params.yaml with their numbers on the test images, a table for each kind of observation.

    PATTERN filters by row, or by row/case, as a shell does: 'vgg16-*', '*/telea'.
    """
    from afterimage.report import tables

    every = _best(project) if best else tables.results(project)
    found = {
        each: [line for line in lines if pattern is None or _matches(line, pattern)]
        for each, lines in every.items()
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
        widths = WIDTHS if best else None
        click.echo(tabulate(lines, headers="keys", floatfmt=".4g", missingval="-", maxcolwidths=widths))
    page = project / "reports/index.html"
    if page.is_file():
        click.echo(f"\nReport: {page.resolve()}")


def _best(project: Path) -> dict[str, list[dict[str, Any]]]:
    """The overview of the report: a line for each observation, or part of one."""
    from afterimage import report

    with chdir(project):
        rows = report.Project.read(Path("params.yaml"))
        return {
            kind: [
                {
                    "observation": line["setting"],
                    "row": line["label"],
                    "dB": line["value"]["mean"],
                    "95 %": f"{line['value']['low']} to {line['value']['high']}",
                    "baseline": line["rival_value"]["mean"] if line["rival_value"] else None,
                    "verdict": line["verdict"],
                }
                for line in report.overview(rows, kind)
            ]
            for kind in options.TAKES
        }


def _matches(line: Mapping[str, Any], pattern: str) -> bool:
    names = (line["row"], f"{line['row']}/{line.get('case', '')}")
    return any(fnmatchcase(name, pattern) for name in names)
