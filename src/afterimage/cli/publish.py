"""`afterimage publish`: a row as a repository of the Hugging Face hub."""

import tempfile
from pathlib import Path

import click

from afterimage.cli import inputs, options


@click.command("publish")
@options.row()
@click.argument("repository", metavar="REPO")
@click.option("--licence", metavar="ID", help="Of the weights of a row of params.yaml, by the hub's name of it.")
@click.option("--private", is_flag=True, help="Show the repository to its owner only.")
@click.option("--dry-run", is_flag=True, help="Send nothing: leave the folder here, by the name of the repository.")
@options.overwrite
@options.quiet
@options.project
def command(
    row: str,
    repository: str,
    licence: str | None,
    private: bool,
    dry_run: bool,
    overwrite: bool,
    quiet: bool,
    project: Path,
) -> None:
    """Send ROW to the repository REPO, USER/NAME, of the Hugging Face hub: its weights, a card and pictures.

    It is made if it is not there; HF_TOKEN, or `hf auth login`, says who you are. From then on commands take
    hf://USER/NAME where they take a row.
    """
    from afterimage.export import hub, publishing

    name = hub.checked(repository).partition("/")[2]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(name) if dry_run else Path(temporary) / name
        if not overwrite:
            inputs.require_free([folder])
        publishing.write(project, row, repository, folder, licence)
        sent = "" if dry_run else hub.sent(folder, repository, private)
        if quiet:
            return
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            click.echo(f"{path.relative_to(folder.parent)}  {path.stat().st_size:,} bytes")
        click.echo(f"nothing was sent; {folder}/README.md is the card" if dry_run else f"sent: {sent}")
