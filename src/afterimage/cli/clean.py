"""`afterimage clean`: what rows and presets of before left behind."""

from pathlib import Path

import click

from afterimage.cli import options


@click.command("clean")
@click.option("--dry-run", is_flag=True, help="List it, and remove nothing.")
@click.option("--yes", is_flag=True, help="Remove it without asking.")
@options.project
def command(dry_run: bool, yes: bool, project: Path) -> None:
    """Remove results in data/, metrics/ and reports/ that no stage of dvc.yaml writes any more.

    Rows that were taken out of params.yaml, and presets, leave them. They are listed before anything is removed. What
    is in DVC's cache stays there; `dvc gc --workspace` empties that.
    """
    from afterimage.review import leftovers

    found = leftovers.clean(project, dry=True)
    if not found:
        click.echo("nothing is left over")
        return
    for each in found:
        click.echo(f"{each.bytes / 1e6:10.1f} MB  {each.path}")
    if dry_run:
        return
    if not yes:
        click.confirm(f"Remove {'it' if len(found) == 1 else f'these {len(found)}'}?", abort=True)
    removed = leftovers.clean(project, dry=False)
    click.echo(f"removed {sum(each.bytes for each in removed) / 1e6:.1f} MB")
