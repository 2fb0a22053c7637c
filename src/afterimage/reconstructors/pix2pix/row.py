"""Rows of the kind `pix2pix`."""

from typing import Literal, Self

from pydantic import Field, model_validator

from afterimage.core.params import Row
from afterimage.reconstructors import ReconstructorRow
from afterimage.reconstructors.pix2pix.unet import Blocks
from afterimage.training.loop import TrainingRow


class LossRow(Row):
    """The weights of the loss terms."""

    l1: float = Field(ge=0)
    """Mean absolute error; pix2pix has 100."""
    l2: float = Field(ge=0)
    """Mean squared error."""
    adversarial: float = Field(ge=0)
    """What the PatchGAN thinks of the whole images; 0: there is none."""
    hole: float = Field(gt=0)
    """What the error of a missing pixel counts, where that of a known one counts 1."""

    @model_validator(mode="after")
    def _has_a_target(self) -> Self:
        if not self.l1 and not self.l2:
            raise ValueError("l1 and l2 are both 0: nothing would tie a fill to its image")
        return self


class Pix2PixRow(ReconstructorRow):
    """A row of the kind `pix2pix`."""

    width: int = Field(gt=0)
    """Channels of both networks after the first halving of the image; they double up to 8 times as many."""
    blocks: Blocks
    start: Literal["grey", "smooth"]
    """What fills the hole before the network does: grey, or a smooth fill, which it then corrects."""
    loss: LossRow
    training: TrainingRow

    @property
    def together(self) -> int:
        return self.training.batch
