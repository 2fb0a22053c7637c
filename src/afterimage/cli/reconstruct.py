"""`afterimage reconstruct`: images from features."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from afterimage.cli import features, inputs, options
from afterimage.cli.inputs import Item, Once

if TYPE_CHECKING:
    from afterimage.apply.features import Applied


@click.command("reconstruct")
@options.row("features")
@options.inputs()
@options.size
@options.common
def command(
    row: str,
    paths: tuple[Path, ...],
    size: str | None,
    out: Path | None,
    overwrite: bool,
    quiet: bool,
    device: Any,
    project: Path,
) -> None:
    """Send INPUTs of any size through the layers that ROW observes, and rebuild them from what comes out.

    An INPUT is an image, a folder of images, or a .npy file with features [C, h, w] or [N, C, h, w] of the layer.
    Writes the reconstruction of each, and of images a second file that sets it beside the original and the error.
    """
    wanted = options.parse_size(size)
    options.require(project, row, "features")
    found = inputs.items(paths, row, out, overwrite)

    def load() -> "Applied":
        from afterimage import apply

        return apply.load(project, row, device)

    model = Once(load)

    def work(item: Item) -> str:
        from afterimage import apply

        if item.source.suffix == features.EXTENSION:
            from afterimage.apply.features import read_features

            return features.rebuild(model(), item, [read_features(item.source)], wanted, overwrite)
        original = inputs.read(item.source)
        result = apply.measure(original, model()(original))
        beside = inputs.beside(item.target, "-comparison")
        pictures = {item.target: result.image, beside: apply.comparison(original, result, row)}
        inputs.write(pictures, overwrite)
        return f"{item.source}: {result.psnr:.2f} dB, SSIM {result.ssim:.3f} -> {item.target}, {beside.name}"

    with options.progress(quiet):
        inputs.each(found, work, quiet)
