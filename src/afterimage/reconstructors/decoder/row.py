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
    log_mse: float = Field(ge=0)
    """The mean of the logarithms of each image's mean squared error: gains on easy and on hard images count alike, as
    they do in PSNR."""
    perceptual: float = Field(ge=0)
    """Mean squared error of the encoder's own features of the image, relative to their mean square."""
    adversarial: float = Field(default=0.0, ge=0)
    """How real the patches of the image look to a network that learns to tell them from those of photographs. Beside
    `perceptual` it is what DeePSiM adds (Dosovitskiy and Brox, "Generating Images with Perceptual Similarity Metrics
    based on Deep Networks", NeurIPS 2016): detail that looks right, at a price in PSNR."""
    total_variation: float = Field(ge=0)
    """Mean absolute difference of neighbouring pixels."""


class DecoderRow(ReconstructorRow):
    """A row of the kind `decoder`."""

    layers: list[str] | None = Field(default=None, min_length=1)
    """The layers that are decoded together, where `observation` names an encoder and not a layer of it."""
    arch: Literal["light", "upconv"]
    width: int = Field(gt=0)
    """Channels at the image's size; each halving of the size doubles them, up to 128."""
    linear: bool
    """Whether the network adds to the linear answer, which is fitted before it trains; else it begins from nothing."""
    mosaic: float = Field(ge=0, le=1)
    """The share of batches that are put together to images of twice the side, four to one, whose features are computed.
    A deep layer of a tile is all border: the zeros around an image reach each of its positions. The middle of a larger
    image has other statistics, which a network that never saw them turns into garbage."""
    loss: LossRow
    training: TrainingRow

    @property
    def together(self) -> int:
        return self.training.batch
