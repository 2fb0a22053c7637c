"""What the commands that fill holes have in common: what is missing of an image."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from afterimage.cli import inputs
from afterimage.cli.inputs import Item
from afterimage.cli.options import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

    from afterimage.observations.holes.masks import Mask, Missing


class Holed(NamedTuple):
    """An input, and what is missing of it."""

    data: bytes
    mask: "Mask"
    original: "Image | None"
    """What it is without the holes, where that is known."""
    beside: Path | None
    """The file of `original`."""

    def error(self, filled: "Image") -> str:
        """How far the filled holes are from the original, in words; empty where that is not known."""
        from afterimage.apply import holes

        if self.original is None:
            return ""
        return f"; hole RMSE {holes.hole_rmse(self.original, filled, self.mask):.4f} to {self.beside}"


def finder(
    boxes: Sequence[str], mask: Path | None, missing: "Missing", original: Path | None
) -> Callable[[Item], Holed]:
    """What finds the holes of an input: as told by boxes or by a mask, else by its original, else its black square.

    Args:
        mask: a file, or a folder of masks by the names of the inputs; `original` likewise.

    Raises:
        UsageError: both boxes and a mask are given.
        HoleError: a box is none.
    """
    from afterimage.core.errors import HoleError
    from afterimage.observations.holes import masks, occlusions

    if boxes and mask is not None:
        raise UsageError("--box and --mask both tell what is missing; expected one of them")
    told = [masks.parse_box(text) for text in boxes]

    def find(item: Item) -> Holed:
        data = item.source.read_bytes()
        whole = inputs.read(item.source)
        beside = inputs.partner(original, item, "original") if original is not None else None
        if beside is None and not told and mask is None:
            beside = occlusions.original_of(item.source)
        truth = inputs.read(beside) if beside is not None else None
        if truth is not None and truth.size != whole.size:
            sizes = [f"{image.width} x {image.height} px" for image in (whole, truth)]
            raise HoleError(f"{item.source}: the image has {sizes[0]} and its original {sizes[1]}; expected one size")
        if told:
            found = masks.of_boxes(told, whole.height, whole.width, str(item.source))
        else:
            path = inputs.partner(mask, item, "mask") if mask is not None else None
            found = occlusions.find(whole, str(item.source), path, missing, truth)
        return Holed(data, found, truth, beside)

    return find
