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
    rmse: float = Field(ge=0)
    """Root mean squared error of each image's hole, the number that fills are judged by."""
    adversarial: float = Field(ge=0)
    """What the PatchGAN thinks of the whole images; 0: there is none."""
    hole: float = Field(gt=0)
    """What the error of a missing pixel counts, where that of a known one counts 1."""

    @model_validator(mode="after")
    def _has_a_target(self) -> Self:
        if not (self.l1 or self.l2 or self.rmse):
            raise ValueError("l1, l2 and rmse are all 0: nothing would tie a fill to its image")
        return self


class Pix2PixRow(ReconstructorRow):
    """A row of the kind `pix2pix`."""

    width: int = Field(gt=0)
    """Channels of both networks after the first halving of the image; they double up to 8 times as many."""
    blocks: Blocks
    reduce: int = Field(gt=0)
    """The U-Net sees images reduced so many times; finer detail of a fill comes from `detail`. 1: as they are."""
    detail: list[Literal["smooth", "exemplar"]] = Field(min_length=1)
    """What detail finer than the U-Net's is filled in, each measured for itself and the first one used: what is carried
    in smoothly from the border, or patches of the known part that continue the U-Net's fill."""
    flip: bool
    """Whether training mirrors images and masks, each with an even chance."""
    start: Literal["grey", "smooth"]
    """What fills the hole before the network does: grey, or a smooth fill, which it then corrects."""
    loss: LossRow
    training: TrainingRow

    @property
    def together(self) -> int:
        return self.training.batch
