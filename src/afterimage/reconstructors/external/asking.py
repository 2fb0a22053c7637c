"""How a model outside is asked: one image at a time, in the terms that its row declares.

Whatever a row observes becomes a list of tensors: of frames the frame `[1, 3, h, w]`, of holes the image `[1, 3, H, W]`
with black holes and its mask `[1, 1, H, W]`, 1 = missing, of features each layer `[1, C, h, w]`; images in [0, 1]. The
answer is brought to the size that is asked for, and known pixels are put back.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from afterimage.core import images
from afterimage.core.errors import WeightsError
from afterimage.core.parsing import parsing
from afterimage.reconstructors import Reconstruction, Reconstructor

if TYPE_CHECKING:
    from afterimage.reconstructors.external.row import Declared

Model = Callable[[list[Tensor]], Tensor]
"""From what is left of one image to the image `[1, 3, h, w]` in [0, 1]."""


class Asked(Reconstructor):
    """A model outside as a reconstructor.

    Args:
        name: of the model, for messages.
        side: what the shorter side of an image is brought to before the model sees it; None: as it is.
    """

    def __init__(self, name: str, observes: str, model: Model, device: torch.device, side: int | None = None):
        self.name, self.observes, self.model, self.device, self.side = name, observes, model, device, side

    def __call__(self, given: Any) -> Reconstruction:
        """Raises:
        WeightsError: the model does not take such tensors, or its answer is no image.
        """
        with torch.inference_mode():
            return Reconstruction(torch.cat([self._one(parts, given.size) for parts in self._each(given)]))

    def _each(self, given: Any) -> Iterator[list[Tensor]]:
        """What is left of each image."""
        if self.observes == "frames":
            yield from ([images.to_tensor(frame)[None]] for frame in given.frames)
            return
        parts = [given.images, given.masks] if self.observes == "holes" else given.layers
        for number in range(len(given.keys)):
            yield [part[number : number + 1].float() for part in parts]

    def _one(self, parts: list[Tensor], size: tuple[int, int]) -> Tensor:
        seen = parts if self.side is None or self.observes == "features" else _sized(parts, self.side)
        with parsing(WeightsError, f"{self.name}: failed on tensors of shapes {[list(part.shape) for part in seen]}"):
            answer = self.model([part.to(self.device) for part in seen])
        if answer.ndim != 4 or answer.shape[:2] != (1, 3):
            raise WeightsError(
                f"{self.name}: answers with a tensor of shape {list(answer.shape)}, expected [1, 3, H, W]"
            )
        answer = resized(answer.float().cpu(), size)
        if self.observes != "holes":
            return answer
        known, missing = parts
        return torch.where(missing > 0.5, answer, known)


def resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """An image `[1, C, H, W]` at a size (H, W), by a bicubic filter that reaches as far as it is reduced."""
    if tuple(image.shape[-2:]) == tuple(size):
        return image
    return F.interpolate(image, size=tuple(size), mode="bicubic", antialias=True)


def declared(row: "Declared", parts: list[Tensor], observes: str) -> list[Tensor]:
    """What is left of an image, as a model takes it that was made elsewhere."""
    if observes == "features":
        return [_laid(part, row) for part in parts]
    low, high = row.range
    image = _coloured(parts[0], row) * (high - low) + low
    rest = [mask if row.missing else 1 - mask for mask in parts[1:]]
    return [_laid(part, row) for part in ([torch.cat([image, *rest], 1)] if row.joined else [image, *rest])]


def understood(row: "Declared", answer: Tensor) -> Tensor:
    """The answer of such a model as an image `[1, 3, H, W]` in [0, 1]."""
    if answer.ndim == 4 and row.layout == "nhwc":
        answer = answer.permute(0, 3, 1, 2)
    low, high = row.answers or row.range
    return _coloured((answer.float() - low) / (high - low), row)


def _coloured(image: Tensor, row: "Declared") -> Tensor:
    return image.flip(1) if row.colours == "bgr" else image


def _laid(part: Tensor, row: "Declared") -> Tensor:
    return (part.permute(0, 2, 3, 1) if row.layout == "nhwc" else part).contiguous()


def _sized(parts: list[Tensor], side: int) -> list[Tensor]:
    """An image, or an image and its mask, whose shorter side is brought to `side`.

    Missing pixels have no part in what known ones become, and what is known only in part is missing.
    """
    height, width = parts[0].shape[-2:]
    size = (round(height * side / min(height, width)), round(width * side / min(height, width)))
    if len(parts) == 1:
        return [resized(parts[0], size).clamp(0, 1)]
    image, mask = parts
    share = F.interpolate(1 - mask, size=size, mode="bilinear", antialias=True)
    known = F.interpolate(image * (1 - mask), size=size, mode="bilinear", antialias=True)
    missing = (share < 1 - 1e-3).float()
    return [known / share.clamp_min(1e-3) * (1 - missing), missing]
