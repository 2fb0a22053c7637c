"""A search for the image of features, of which each step is told while it runs.

The steps are those of `Searching`, which a page or a terminal cannot look into: it answers when it is over.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from PIL import Image
from torch import Tensor

from afterimage.apply.features import Applied
from afterimage.core import images
from afterimage.core.errors import ParamsError
from afterimage.observations.features import Features
from afterimage.reconstructors.inversion.checkpoint import Checkpoint
from afterimage.reconstructors.inversion.search import Inverter
from afterimage.reconstructors.inversion.searching import Searching

KEY = "0"
"""What is random about a search is drawn from it: the name that an image has elsewhere in `apply`."""


class Step(NamedTuple):
    """Where a search stands."""

    number: int
    of: int
    error: float | None
    """The feature error of `image`; None before the first step."""
    image: Image.Image | None
    """The best so far; before the first step what the search begins with, or None."""
    over: bool = False


class _Watched(Checkpoint):
    """Keeps nothing, and tells where a descent is."""

    def __init__(self, restarts: int, steps: int, told: Callable[[Step], None]):
        super().__init__(None, {})
        self.restarts, self.steps, self.told = restarts, steps, told

    def keep(self, name: str, state: Mapping[str, Any]) -> None:
        best, before = state["best"], int(name.rpartition("/")[2]) * self.steps
        step = Step(before + state["step"], self.restarts * self.steps, float(best["error"][0]), _image(best["image"]))
        self.told(step)


def search(applied: Applied, image: Image.Image, told: Callable[[Step], None]) -> Step:
    """Search for an RGB image by its features, with all that is random and each bit as without `told`.

    Args:
        applied: a row of `searches`.
        told: called before the first step and after each; what it raises ends the search.

    Raises:
        ParamsError: the row does not search step by step.
        ImageError: the image is too small for the network.
    """
    searching = applied.reconstructor
    if not isinstance(searching, Searching):
        raise ParamsError(f"{applied.name}: rows of its kind do not tell how far they are")
    settings, size = searching.row, (image.height, image.width)
    of = settings.restarts * settings.steps
    given = Features([KEY], size, applied.features(image))
    starts = None if searching.start is None else searching.start.begin(given)
    told(Step(0, of, None, None if starts is None else _image(starts)))
    inverter = Inverter(searching.encoder, searching.layer, settings, size)
    watched = _Watched(settings.restarts, settings.steps, told)
    (found,) = inverter(given.keys, given.layers[0], starts, watched, searching.name)
    last = Step(found.steps if settings.restarts == 1 else of, of, found.error, _image(found.image[None]), over=True)
    told(last)
    return last


def _image(found: Tensor) -> Image.Image:
    return Image.fromarray(images.to_uint8(found.detach())[0])
