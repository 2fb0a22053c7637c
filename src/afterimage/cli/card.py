"""`afterimage card`: where the numbers of a row come from."""

import contextlib
from pathlib import Path

import click

from afterimage.cli import options
from afterimage.core.errors import AfterimageError, WeightsError


def _rows(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The completions of ROW."""
    from afterimage.core import params, zoo

    project = Path(ctx.params.get("project") or ".")
    try:
        data = params.load(project / "params.yaml")
    except AfterimageError:
        data = {}
    names = [*(name for section in params.MEASURED for name in data.get(section) or {}), *zoo.names(project)]
    return [name for name in names if name.startswith(incomplete)]


@click.command("card")
@click.argument("row", shell_complete=_rows, callback=options.placed)
@click.option("--markdown", "form", flag_value="markdown", help="Write Markdown, for a model card or a pull request.")
@click.option("--json", "form", flag_value="json", help="Write one JSON object, with every number and whole hashes.")
@options.project
def command(row: str, form: str | None, project: Path) -> None:
    """Print where the numbers of ROW come from: its results beside the baselines, images and metrics, parameters, data,
    weights, commit and machine.

    ROW is a row of reconstructors or searches, or one of observations, for its baselines; or zoo/NAME, whose card is
    Markdown and says what it is for and what follows from its data, too.
    """
    from afterimage.core import layout, zoo
    from afterimage.core.parsing import parsing

    if zoo.holds(row):
        zoo.card(project, row)  # that it is there
        file = zoo.CARD if form == "json" else zoo.README
        path = project / layout.model(row) / file
        with parsing(WeightsError, f"{path}: not text"):
            text = path.read_text(encoding="utf-8")
        click.echo(text, nl=False)
        return
    from afterimage.review import cards, quoting

    with contextlib.chdir(project):
        found = cards.card(row)
    if form == "json":
        import json

        click.echo(json.dumps(cards.plain(found), indent=2, ensure_ascii=False))
    else:
        click.echo(quoting.markdown(found) if form == "markdown" else quoting.text(found))
