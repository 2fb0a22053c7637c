"""`afterimage complete`: several ways to fill the holes of an image, and where they differ."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from afterimage.cli import holes, inputs, options
from afterimage.cli.inputs import Item, Once

if TYPE_CHECKING:
    from afterimage.apply.holes import Applied


@click.command("complete")
@options.row("holes")
@options.inputs()
@options.holes
@click.option("--samples", type=click.IntRange(1), help="Completions to draw. Default: the row's.")
@click.option(
    "--temperature", type=click.FloatRange(0), help="Less keeps closer to what is likely. Default: the row's."
)
@click.option("--seed", type=int, help="Of what is drawn. Default: the row's.")
@options.common
def command(
    row: str,
    paths: tuple[Path, ...],
    boxes: tuple[str, ...],
    mask: Path | None,
    missing: Any,
    original: Path | None,
    samples: int | None,
    temperature: float | None,
    seed: int | None,
    out: Path | None,
    overwrite: bool,
    quiet: bool,
    device: Any,
    project: Path,
) -> None:
    """Complete the missing part of INPUTs, images or folders of images, several times by a ROW that draws samples.

    What is missing is told or found as by `afterimage inpaint`. Writes of each input the mean of its completions, each
    of them with its number, and -spread, where they differ.
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

        from afterimage.apply import spread_map
        from afterimage.apply.holes import fill
        from afterimage.observations.holes import Draws

        result = fill(applied, holed.data, holed.mask, Draws(samples, temperature, seed))
        if result.spread is None:
            raise inputs.CommandError(
                f"row `{row}` draws no samples, it has one answer; `afterimage inpaint {row}` gives it"
            )
        pictures = {item.target: result.image, inputs.beside(item.target, "-spread"): spread_map(result.spread)}
        for number, sample in enumerate(result.samples, start=1):
            pictures[inputs.beside(item.target, f"-{number}")] = sample
        inputs.write(pictures, overwrite)
        times = f"{len(result.samples)} time{'' if len(result.samples) == 1 else 's'}"
        return f"{item.source}: {holed.mask.mean():.1%} completed {times} -> {item.target}{holed.error(result.image)}"

    with options.progress(quiet):
        inputs.each(found, work, quiet)
