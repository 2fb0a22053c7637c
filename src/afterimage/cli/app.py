"""`afterimage app`: the web page."""

from pathlib import Path

import click

from afterimage.cli import options


@click.command("app")
@click.option("--port", type=click.IntRange(1, 65535), default=8501, show_default=True)
@click.option(
    "--address",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on. Any other than loopback shows the page to the network, and asks for no password.",
)
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="NAME",
    envvar="AFTERIMAGE_HOSTS",
    help="A name by which visitors call the page, beside addresses and localhost; requests for others are refused.",
)
@options.project
def command(port: int, address: str, hosts: tuple[str, ...], project: Path) -> None:
    """Open the web page: what the rows make of pictures of your own."""
    from afterimage.app import server

    shown = f"[{address}]" if ":" in address else address
    click.echo(f"The page is at http://{shown}:{port}; it answers to {', '.join([*hosts, 'localhost'])} and addresses.")
    server.serve(project, address, port, hosts)
