"""`afterimage preset`: parameters that set up one of the seeds at its full size, or another use."""

from pathlib import Path

import click

from afterimage.cli import options


@click.command("preset")
@click.argument("name", required=False)
@options.project
def command(name: str | None, project: Path) -> None:
    """Lay the preset NAME over params.yaml, or list the presets.

    A preset is a file of presets/ that sets up one of the seeds at its full size, or another use; presets/README.md
    has the rules. Results of the parameters before it, metrics/ and reports/, are moved to .afterimage/before-preset.
    """
    from afterimage.cli import presets

    folder = project / "presets"
    if name is None:
        for each in presets.names(folder):
            click.echo(f"{each:32}{presets.about(folder, each).title}")
        return
    about = presets.about(folder, name)
    changes = presets.apply(project / "params.yaml", folder, name)
    moved = presets.set_aside(project) if changes else []
    click.echo(presets.described(name, about, changes, moved))
