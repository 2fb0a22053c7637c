"""What the commands that rebuild images from features have in common."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from afterimage.cli import inputs
from afterimage.cli.inputs import Item

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from afterimage.apply.features import Applied

EXTENSION = ".npy"
CONVERGED = "converged"
"""What a search tells of an image: 0 where it stopped for want of steps."""


def rebuild(
    applied: "Applied",
    item: Item,
    features: "Sequence[Tensor]",
    size: tuple[int, int] | None,
    overwrite: bool,
    original: "Image | None" = None,
) -> str:
    """Rebuild the images of features and write them; returns a line for each of them.

    Args:
        features: `[N, C, h, w]`, a tensor a layer.
        size: (H, W) of the images; None: as the shape of the features tells.
        original: what the features are of, if that is known.
    """
    from PIL import Image

    from afterimage import apply
    from afterimage.core import images

    targets = _numbered(item.target, len(features[0]))
    if not overwrite:
        inputs.require_free(targets)
    result = applied.reconstruction(features, size)
    found = [Image.fromarray(pixels) for pixels in images.to_uint8(result.images)]
    inputs.write(dict(zip(targets, found, strict=True)), overwrite)
    lines = []
    for number, (target, image) in enumerate(zip(targets, found, strict=True)):
        told = {name: float(values[number]) for name, values in result.values.items()}
        parts = [_words(told)]
        if original is not None:
            measured = apply.measure(original, image)
            parts.append(f"{measured.psnr:.2f} dB, SSIM {measured.ssim:.3f} to the original")
        said = "; ".join(part for part in parts if part)
        lines.append(f"{item.source}: {said} -> {target}" if said else f"{item.source} -> {target}")
        if told.get(CONVERGED, 1) == 0:
            click.echo(
                f"afterimage: {target}: not converged, the search stopped for want of steps; the best image is kept, "
                "more --steps may help",
                err=True,
            )
    return "\n".join(lines)


def _words(told: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in told.items() if name != CONVERGED)


def _numbered(target: Path, count: int) -> list[Path]:
    return [target] if count == 1 else [inputs.beside(target, f"-{number:03d}") for number in range(count)]
