"""Rows of the kind `pixelrnn`."""

from typing import Literal, Self

from pydantic import Field, model_validator

from afterimage.core.params import Row
from afterimage.reconstructors import ReconstructorRow
from afterimage.reconstructors.pixelrnn import likelihoods
from afterimage.reconstructors.pixelrnn.network import PixelRnn
from afterimage.training.loop import TrainingRow


class TrunkRow(Row):
    """The trunk of a hybrid row."""

    width: int = Field(gt=0)
    """Channels at the image's size, and half of those below it."""
    rounds: int = Field(gt=0)
    """How often it goes through its dilations."""
    guess: float = Field(ge=0)
    """Weight of the squared error of its guess in the loss, white being 1."""


class PixelRnnRow(ReconstructorRow):
    """A row of the kind `pixelrnn`: a network, and how it is trained and drawn from."""

    arch: Literal["pixelcnn", "gated", "row_lstm", "diagonal_bilstm"]
    width: int = Field(gt=0)
    """Channels of the features."""
    layers: int = Field(gt=0)
    """Layers after the first convolution."""
    kernel: Literal[3, 5, 7]
    """Side in px of what a layer sees."""
    head: int = Field(gt=0)
    """Channels between the last features and the likelihood's parameters."""
    residual: bool
    likelihood: Literal["softmax", "logistics", "mse"]
    components: int | None = Field(gt=0)
    """Logistics in the mixture; null for the other likelihoods."""
    trunk: TrunkRow | None
    """What sees the known pixels and the mask; null: unconditional, the earlier pixels are all that it knows."""
    dropout: float = Field(ge=0, lt=1)
    flip: bool
    """Whether training mirrors images and masks, each with an even chance."""
    whole: float = Field(ge=0, le=1)
    """Share of the training images of which all is missing."""
    samples: int = Field(ge=2)
    """Completions of each test image."""
    temperature: float = Field(ge=0)
    """Of the completions: 1 draws from what was learned, less keeps closer to its peaks."""
    training: TrainingRow

    @property
    def together(self) -> int:
        return self.training.batch

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.likelihood == "logistics") != (self.components is not None):
            raise ValueError(f"components is {self.components}: logistics needs a number, other likelihoods null")
        if self.likelihood != "logistics" and (self.width % 3 or self.head % 3):
            raise ValueError(f"width {self.width} and head {self.head} should be multiples of 3: a third a colour")
        if self.trunk is None and self.whole < 1:
            raise ValueError("whole should be 1 where there is no trunk: such a network does not know the mask")
        return self

    def network(self) -> PixelRnn:
        """The row's network, not yet trained."""
        return PixelRnn(
            self.arch,
            self.width,
            self.layers,
            self.kernel,
            self.head,
            self.residual,
            self.dropout,
            likelihoods.make(self.likelihood, self.components),
            (self.trunk.width, self.trunk.rounds) if self.trunk else None,
        )
