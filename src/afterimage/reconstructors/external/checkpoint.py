"""A checkpoint of a published architecture. spandrel finds out which one it is, and how large, from the weights alone.

Files are read as safetensors, or by torch with `weights_only`: no code of the file is run. spandrel knows LaMa for
holes, and some forty networks for frames (GFPGAN, RestoreFormer, NAFNet, SwinIR, Real-ESRGAN, SCUNet and others); with
the package `spandrel_extra_arches` installed also those whose licences forbid commercial use, MAT among them.
"""

import io
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from afterimage.core.errors import ParamsError, WeightsError
from afterimage.core.parsing import parsing
from afterimage.reconstructors.external.asking import Asked
from afterimage.reconstructors.external.row import IMAGES, OutsideRow, Pinned, Sized

if TYPE_CHECKING:
    from afterimage.training.models import Model

MARGIN = 32
"""Pixels around a tile that the network sees too, and that are thrown away."""


class Row(OutsideRow, Pinned, Sized):
    """A row with `format: checkpoint`."""

    TAKES: ClassVar[tuple[str, ...]] = IMAGES
    format: Literal["checkpoint"]
    tile: int | None = Field(default=512, gt=MARGIN)
    """The side of tiles in px in which larger frames go through; null: whole. Networks that look at the whole image
    get it whole, and so do all that fill holes."""
    half: bool = True
    """Whether a GPU computes in half precision, where the architecture allows it."""

    def reconstructor(self, model: "Model") -> Asked:
        path = str(model.project / self.path)
        network = Network(described(self.read(model.project), path), path, self, model.device)
        return Asked(path, self.observes, network, model.device, self.side)


class Network:
    """A network that spandrel has loaded, asked for images of any size.

    Raises:
        ParamsError: it is not for what the row observes.
    """

    def __init__(self, descriptor: Any, path: str, row: Row, device: torch.device):
        import spandrel

        masked = isinstance(descriptor, spandrel.MaskedImageModelDescriptor)
        about = f"{path}: {descriptor.architecture.name} is for {descriptor.purpose}"
        if masked != (row.observes == "holes"):
            raise ParamsError(f"{about}, and the row observes {row.observes}")
        if (descriptor.input_channels, descriptor.output_channels) != (3, 3):
            raise ParamsError(f"{about} of {descriptor.input_channels} channels, expected 3")
        self.descriptor, self.scale = descriptor.to(device).eval(), descriptor.scale
        self.dtype = precision(descriptor, device, row.half)
        descriptor.to(self.dtype)
        whole = masked or descriptor.tiling == spandrel.ModelTiling.INTERNAL
        self.tile = None if whole else row.tile

    def __call__(self, parts: list[Tensor]) -> Tensor:
        height, width = parts[0].shape[-2:]
        parts = [part.to(self.dtype) for part in parts]
        if self.tile is None or max(height, width) <= self.tile + 2 * MARGIN:
            return self.descriptor(*parts).float()
        scale, image = self.scale, parts[0]
        result = torch.empty(1, 3, scale * height, scale * width)
        for top in range(0, height, self.tile):
            for left in range(0, width, self.tile):
                y, x = max(0, top - MARGIN), max(0, left - MARGIN)
                window = image[..., y : top + self.tile + MARGIN, x : left + self.tile + MARGIN]
                bottom, right = min(top + self.tile, height), min(left + self.tile, width)
                kept = self.descriptor(window)[
                    ..., scale * (top - y) : scale * (bottom - y), scale * (left - x) : scale * (right - x)
                ]
                result[..., scale * top : scale * bottom, scale * left : scale * right] = kept
        return result


def precision(descriptor: Any, device: torch.device, half: bool) -> torch.dtype:
    """The type that a network computes in: half precision on a GPU, as far as spandrel says that it works."""
    if device.type != "cuda" or not half:
        return torch.float32
    if descriptor.supports_half:
        return torch.float16
    return torch.bfloat16 if descriptor.supports_bfloat16 else torch.float32


def described(data: bytes, path: str) -> Any:
    """What spandrel makes of the bytes of a checkpoint: an `ImageModelDescriptor`, or a `MaskedImageModelDescriptor`.

    Raises:
        WeightsError: they are no weights, hold more than weights, or are of no architecture that spandrel knows.
    """
    import spandrel
    from safetensors.torch import load

    _add_extra()
    with parsing(WeightsError, f"{path}: not weights that can be read safely"):
        if path.endswith(".safetensors"):
            state: Any = load(data)
        else:
            state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    with parsing(WeightsError, f"{path}: no architecture that spandrel {spandrel.__version__} knows"):
        return spandrel.ModelLoader().load_from_state_dict(spandrel.canonicalize_state_dict(state))


def _add_extra() -> None:
    try:
        import spandrel_extra_arches
    except ImportError:
        return
    spandrel_extra_arches.install(ignore_duplicates=True)
