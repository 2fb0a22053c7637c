"""`afterimage leak`: how much of one's own photographs comes back from features of them, as a page and tables."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from afterimage.cli import inputs, options
from afterimage.cli.options import UsageError
from afterimage.core.errors import AfterimageError

if TYPE_CHECKING:
    from afterimage.leak.identity import Network
    from afterimage.leak.measuring import Leak
    from afterimage.leak.photographs import Photograph, Seen, Square

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
WIDTHS = [14, None, 18, 12]
"""Of the columns of words in the table, which is at most 100 columns wide."""


@click.command("leak")
@click.argument("encoder")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", "-o", type=click.Path(file_okay=False, path_type=Path), help="Default: leak-ENCODER, here.")
@click.option("--crop", metavar="X,Y,SIDE", help="The square of each photograph to look at. Default: the largest one.")
@click.option("--images", "count", type=click.IntRange(2), help="About so many photographs, by whole people.")
@click.option("--labels", type=FILE, help="A CSV with path and label for the probe. Default: the names of folders.")
@click.option("--identity", type=FILE, help="An ONNX network that tells people apart. Default: the one under LPIPS.")
@click.option("--identity-range", nargs=2, type=float, default=(0.0, 1.0), show_default=True, help="Black and white.")
@click.option("--identity-colours", type=click.Choice(["rgb", "bgr"]), default="rgb", show_default=True)
@click.option("--searches", is_flag=True, help="Let searches attack, too. They take long; see --images.")
@options.overwrite
@options.quiet
@options.device
@options.project
def command(
    encoder: str,
    folder: Path,
    out: Path | None,
    crop: str | None,
    count: int | None,
    labels: Path | None,
    identity: Path | None,
    identity_range: tuple[float, float],
    identity_colours: str,
    searches: bool,
    overwrite: bool,
    quiet: bool,
    device: Any,
    project: Path,
) -> None:
    """Rebuild the photographs of FOLDER from features of ENCODER, a row of `encoders`, by every row that is trained on
    such features, and say how well people can still be told apart.

    The folder that a photograph lies in is the person; without folders nobody is known. Writes leak.html, leak.json
    and leak.csv.
    """
    square = _square(crop)
    target = out or Path(f"leak-{encoder}")
    if folder.resolve() in (target.resolve(), *target.resolve().parents):
        raise UsageError(f"{target}: outputs would lie in the input {folder}; give another --out")
    from afterimage.leak import attackers, measuring, page, utility

    if not overwrite:
        inputs.require_free([target / name for name in page.FILES])
    rows, waiting = attackers.rows(project, encoder, searches)
    for row in waiting:
        click.echo(f"afterimage: {row}: not trained here, and left out", err=True)

    from afterimage.apply import scoring
    from afterimage.core import layout, params
    from afterimage.evaluation.metrics import MetricsRow

    metrics = params.table(project / "params.yaml", "metrics", MetricsRow)
    seen = _seen(_photographs(folder), square, count, metrics.seed)
    keys = [each.key for each in seen.photographs]
    named = utility.read(labels, keys) if labels else [each.person for each in seen.photographs]
    probe = utility.of(named)
    if labels and probe is None:
        raise UsageError(f"{labels}: a probe takes two labels or more, each of two photographs or more")
    trunk = project / layout.weights("lpips")
    lpips, _ = scoring.trunk(trunk if trunk.is_file() else None)
    network = _network(identity, identity_range, identity_colours, lpips, device)
    with options.progress(quiet):
        found = measuring.measure(project, encoder, rows, seen, network, probe, lpips, metrics, device)
    page.write(found, target)
    if not quiet:
        click.echo(_text(found, target / page.HTML))


def _square(crop: str | None) -> "Square | None":
    if crop is None:
        return None
    match = re.fullmatch(r"(\d+),(\d+),([1-9]\d*)", crop)
    if match is None:
        raise UsageError(f"--crop {crop}: expected X,Y,SIDE in px, such as 68,80,114")
    from afterimage.leak.photographs import Square

    return Square(*(int(part) for part in match.groups()))


def _photographs(folder: Path) -> list["Photograph"]:
    from afterimage.leak.photographs import Photograph

    found = [Photograph(name, name.rpartition("/")[0], path) for path, name in inputs.files(folder)]
    alone = [each.path for each in found if not each.person]
    if alone and len(alone) < len(found):
        raise UsageError(f"{alone[0]}: lies beside folders; expected every photograph in the folder of its person")
    return found


def _seen(photographs: Sequence["Photograph"], square: "Square | None", count: int | None, seed: int) -> "Seen":
    """What can be read of the photographs; each other one is named in a line."""
    from afterimage.leak.photographs import Seen, read, some

    seen = Seen([], [])
    for each in some(photographs, count, seed):
        try:
            seen.pictures.append(read(each.path, square))
        except (AfterimageError, OSError) as error:
            inputs.fault(each.path, error)
            continue
        seen.photographs.append(each)
    if len(seen.photographs) < 2:
        raise UsageError(f"{len(seen.photographs)} photographs can be used; expected two or more")
    return seen


def _network(path: Path | None, values: tuple[float, float], colours: str, lpips: Any, device: Any) -> "Network":
    from afterimage.core import devices
    from afterimage.leak import identity

    if path is not None:
        return identity.of_file(path, values, colours, devices.choose(device))
    found = identity.of_trunk(lpips)
    click.echo(f"afterimage: likeness by {found.words}, which was not made to tell people apart: no identity", err=True)
    return found


def _text(found: "Leak", path: Path) -> str:
    """The answer in words, and a table of at most 100 columns."""
    import textwrap

    from tabulate import tabulate

    from afterimage.leak import page

    question = "person" if found.seen.pairs else "itself"
    lines = []
    for each in page.by_leakage(found):
        told, known = each.told[question], each.known
        numbers = [told.auc.mean, told.accepted.mean, *([each.utility.mean] if each.utility else [])]
        shown = [f"{100 * number:.1f}" for number in numbers]
        lines.append(
            [known.layers, known.dtype, known.defence or "-", each.attacker, f"{each.quality['psnr'].mean:.2f}", *shown]
        )
    heads = ["layer", "stored as", "defence", "attacker", "PSNR", "told\napart %", "recog-\nnised %"]
    heads += ["labels\nread %"] if found.labels else []
    widths = [*WIDTHS, *[None] * (len(heads) - len(WIDTHS))]
    table = tabulate(lines, headers=heads, disable_numparse=True, maxcolwidths=widths)
    words = "\n".join(textwrap.fill(sentence, 100) for sentence in page.sentences(found))
    return f"{words}\n\n{table}\n\nPage: {path.resolve()}"
