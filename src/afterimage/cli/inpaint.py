"""`afterimage inpaint`: images with their holes filled."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from afterimage.cli import holes, inputs, options
from afterimage.cli.inputs import Item, Once

if TYPE_CHECKING:
    from afterimage.apply.holes import Applied


@click.command("inpaint")
@options.row("holes")
@options.inputs()
@options.holes
@options.common
def command(
    row: str,
    paths: tuple[Path, ...],
    boxes: tuple[str, ...],
    mask: Path | None,
    missing: Any,
    original: Path | None,
    out: Path | None,
    overwrite: bool,
    quiet: bool,
    device: Any,
    project: Path,
) -> None:
    """Fill the missing part of INPUTs, images or folders of images, by ROW.

    What is missing is told by --box or --mask, or found: by comparing with the original, which is --original or, for
    occluded_images/occluded_NAME, original_images/NAME; without one it is the black square. Known pixels, size,
    transparency and grey stay.
    """
    options.require(project, row, "holes")
    find = holes.finder(boxes, mask, missing, original)
    found = inputs.items(paths, row, out, overwrite)

    def load() -> "Applied":
        from afterimage import apply

        return apply.load(project, row, device)

    model = Once(load)

    def work(item: Item) -> str:
        holed = find(item)
        applied = model()

        from afterimage.apply.holes import fill

        filled = fill(applied, holed.data, holed.mask).image
        inputs.write({item.target: filled}, overwrite)
        return f"{item.source}: {holed.mask.mean():.1%} filled -> {item.target}{holed.error(filled)}"

    with options.progress(quiet):
        inputs.each(found, work, quiet)
