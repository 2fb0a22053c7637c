"""`afterimage zoo`: what rows of the zoo there are, and what each is worth."""

import textwrap
from pathlib import Path

import click

from afterimage.cli import options

WIDTH, INDENT = 100, "    "


@click.command("zoo")
@options.project
def command(project: Path) -> None:
    """List the rows that come trained with the project: what each does, its size, and a number beside its baseline.

    Commands and the page take zoo/NAME where they take a row; `afterimage card zoo/NAME` shows all that is known of it.
    """
    from afterimage.core import layout, zoo
    from afterimage.core.errors import WeightsError
    from afterimage.core.parsing import parsing

    names = zoo.names(project)
    if not names:
        click.echo(f"no rows in {project / layout.ZOO}")
    for name in names:
        folder, card = project / layout.model(name), zoo.card(project, name)
        size = sum((folder / file).stat().st_size for file in card["sha256"] if (folder / file).is_file())
        with parsing(WeightsError, f"{folder}: its card does not say what it should"):
            texts = (f"{card['about']['title']}.", card["headline"])
        click.echo(f"{name}  {size / 1e6:.1f} MB")
        for text in texts:
            click.echo(textwrap.fill(text, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT))
