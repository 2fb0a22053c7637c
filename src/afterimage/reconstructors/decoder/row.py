"""Rows of the kind `decoder`."""

from typing import Literal

from pydantic import Field

from afterimage.core.params import Row
from afterimage.reconstructors import ReconstructorRow
from afterimage.training.loop import TrainingRow


class LossRow(Row):
    """The weights of the loss terms."""

    pixel: float = Field(ge=0)
    """Mean squared error of the image."""
    perceptual: float = Field(ge=0)
    """Mean squared error of the encoder's own features of the image, relative to their mean square."""
    total_variation: float = Field(ge=0)
    """Mean absolute difference of neighbouring pixels."""


class DecoderRow(ReconstructorRow):
    """A row of the kind `decoder`."""

    layers: list[str] | None = Field(default=None, min_length=1)
    """The layers that are decoded together, where `observation` names an encoder and not a layer of it."""
    arch: Literal["light", "upconv"]
    width: int = Field(gt=0)
    """Channels at the image's size; each halving of the size doubles them, up to 128."""
    loss: LossRow
    training: TrainingRow

    @property
    def together(self) -> int:
        return self.training.batch
