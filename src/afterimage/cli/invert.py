"""`afterimage invert`: a search for the image of features, with its settings at hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from afterimage.cli import features, inputs, options
from afterimage.cli.inputs import Item, Once
from afterimage.cli.options import UsageError
from afterimage.core.errors import ImageError, ParamsError

if TYPE_CHECKING:
    from afterimage.apply.features import Applied

SECTION = "searches"


@click.command("invert")
@options.row("features", SECTION)
@options.inputs("SOURCE")
@options.size
@click.option("--steps", type=click.IntRange(1), help="At most so many steps. Default: the row's.")
@click.option("--restarts", type=click.IntRange(1), help="Searches, of which the best is kept. Default: the row's.")
@click.option("--seed", type=int, help="Of whatever is random. Default: the row's.")
@options.common
def command(
    row: str,
    paths: tuple[Path, ...],
    size: str | None,
    steps: int | None,
    restarts: int | None,
    seed: int | None,
    out: Path | None,
    overwrite: bool,
    quiet: bool,
    device: Any,
    project: Path,
) -> None:
    """Search for the image of features that are handed over, by a ROW of `searches` that observes one layer.

    A SOURCE is a .npy file with features [C, h, w] or [N, C, h, w], as networks give them. Any other file is taken as
    an image, whose features are taken first and all that is used of it. Of several images the names are numbered.
    ROW/CASE picks one of the row's ways to search where it has several; otherwise the last one is used.
    """
    wanted = options.parse_size(size)
    if options.require(project, row, "features") != SECTION:
        raise ParamsError(f"row `{row}` is trained and does not search; `afterimage reconstruct {row}` takes it")
    given = {"steps": steps, "restarts": restarts, "seed": seed}
    changes = {key: value for key, value in given.items() if value is not None}
    _check(project, row.partition("/")[0], changes)
    found = inputs.items(paths, row, out, overwrite)

    def load() -> "Applied":
        from afterimage import apply
        from afterimage.core import devices

        devices.be_deterministic()
        applied = apply.load(project, row, device, changes)
        if len(applied.layers) != 1:
            raise ParamsError(
                f"row `{row}` observes {', '.join(applied.layers)}; expected a row that observes one layer"
            )
        return applied

    model = Once(load)

    def work(item: Item) -> str:
        if item.source.suffix == features.EXTENSION:
            from afterimage.apply.features import read_features

            return features.rebuild(model(), item, [read_features(item.source)], wanted, overwrite)
        try:
            original = inputs.read(item.source)
        except ImageError as error:
            raise ImageError(f"{error}; features come as {features.EXTENSION}") from None
        applied = model()
        size = (original.height, original.width)
        return features.rebuild(applied, item, applied.features(original), size, overwrite, original)

    with options.progress(quiet):
        inputs.each(found, work, quiet)


def _check(project: Path, row: str, changes: Mapping[str, Any]) -> None:
    """Raise UsageError for settings that the row does not have."""
    if not changes:
        return
    from afterimage import reconstructors

    known = type(reconstructors.row(project / "params.yaml", row)).model_fields
    if unknown := [key for key in changes if key not in known]:
        raise UsageError(f"--{unknown[0]}: row `{row}` has no setting `{unknown[0]}`")
