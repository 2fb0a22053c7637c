"""What commands have in common: their options, and what a row of a name is."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partialmethod
from pathlib import Path
from typing import Any, TypeVar

import click

from afterimage.core.errors import AfterimageError, ParamsError

TAKES = {"features": "reconstruct", "holes": "inpaint", "frames": "restore"}
"""The command that takes the rows of a kind of observation."""
F = TypeVar("F", bound=Callable[..., Any])


class UsageError(AfterimageError):
    """The words after a command do not go together."""


project = click.option(
    "--project",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=".",
    is_eager=True,  # ROW may bring a project along
    help="The folder with params.yaml and data/. Default: this one.",
)
device = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda", "mps"]),
    default="auto",
    show_default=True,
    help="Where networks run.",
)
overwrite = click.option("--overwrite", is_flag=True, help="Replace outputs that are there already.")
quiet = click.option("--quiet", "-q", is_flag=True, help="Write no progress and no summary, only errors.")
out = click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path),
    help="For one input the file to write, whose extension says the format; for several, or a folder, the folder. "
    "Default: <name>-<row> in this folder.",
)
missing = click.option(
    "--missing",
    type=click.Choice(["auto", "white", "black"]),
    default="auto",
    show_default=True,
    help="The colour of what is missing in --mask.",
)
size = click.option("--size", metavar="WxH", help="Of the image of features, in px. Default: as their shape tells.")


def common(command: F) -> F:
    """The options of every command that writes images: where to, how, and with which project."""
    for option in (project, device, quiet, overwrite, out):  # click shows the last one first
        command = option(command)
    return command


def holes(command: F) -> F:
    """The options that tell what is missing of an image."""
    path = click.Path(path_type=Path)
    for option in (
        click.option("--original", type=path, help="The image without what covers it, or a folder of such by name."),
        missing,
        click.option("--mask", type=path, help="A black and white image of the same size, or a folder of such."),
        click.option("--box", "boxes", metavar="X,Y,W,H", multiple=True, help="A missing box in px; may be repeated."),
    ):
        command = option(command)
    return command


def row(kind: str | None = None, section: str | None = None) -> Callable[[F], F]:
    """The argument ROW; its completions are the rows that observe this kind (None: any), of one section or of all and
    the zoo. One of the hub may stand there, too."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        try:
            names = _observing(Path(ctx.params.get("project") or "."), kind, section)
        except AfterimageError:
            return []
        return [name for name in names if name.startswith(incomplete)]

    return click.argument("row", shell_complete=complete, callback=placed)


def placed(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """The callback of ROW: fetches a row of the hub, whose repository is a project with a zoo of one row, and has the
    command work on that one."""
    from afterimage.export import hub

    if not ctx.resilient_parsing and hub.holds(value):  # which completion parses by
        ctx.params["project"], value = hub.fetched(value)
    return value


def inputs(name: str = "INPUT", required: bool = True) -> Callable[[F], F]:
    """The argument INPUT...: files and folders."""
    metavar = f"{name}..." if required else f"[{name}]..."
    return click.argument("paths", metavar=metavar, nargs=-1, required=required, type=click.Path(path_type=Path))


def require(folder: Path, name: str, kind: str) -> str:
    """Check that a row observes what a command hands over; returns its section. A row of the zoo counts as trained.

    Raises:
        ParamsError: there is no such row, or another command takes it.
    """
    from afterimage import reconstructors
    from afterimage.core import params, zoo

    path, own = folder / "params.yaml", zoo.parted(name)[0]
    if zoo.holds(own):
        section, observes = reconstructors.SECTIONS[0], zoo.card(folder, own)["observes"]
    else:
        section = reconstructors.section_of(path, own)
        observes = params.values(path, section, own).get("observes")
    if observes != kind:
        taken = f"; `afterimage {TAKES[observes]} {name}` takes it" if observes in TAKES else ""
        raise ParamsError(f"row `{own}` observes {observes}, not {kind}{taken}")
    return section


def parse_size(text: str | None) -> tuple[int, int] | None:
    """(H, W) of `--size WxH`.

    Raises:
        UsageError: the text is no size.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None:
        raise UsageError(f"--size {text}: expected WIDTHxHEIGHT in px, such as 224x224")
    return int(match[2]), int(match[1])


@contextmanager
def progress(quiet: bool) -> Iterator[None]:
    """Show no bar, and nothing that is said beside one, within the block if the command is to be quiet."""
    if not quiet:
        yield
        return
    from tqdm import tqdm

    begin, write = tqdm.__init__, tqdm.write
    tqdm.__init__ = partialmethod(begin, disable=True)  # type: ignore[assignment, method-assign]
    tqdm.write = lambda *words, **options: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        tqdm.__init__, tqdm.write = begin, write  # type: ignore[method-assign]


def _observing(folder: Path, kind: str | None, section: str | None) -> list[str]:
    from afterimage.core import params, zoo

    data = params.load(folder / "params.yaml")
    sections, shared = [section] if section else ["reconstructors", "searches"], data.get(params.SHARED) or {}
    there = [] if section else zoo.names(folder)
    rows = [
        name
        for each in sections
        for name, own in (data.get(each) or {}).items()
        if kind in (None, params.merged(shared.get(params.group_of(own)) or {}, own).get("observes"))
    ]
    return [*rows, *(name for name in there if kind in (None, zoo.card(folder, name)["observes"]))]
