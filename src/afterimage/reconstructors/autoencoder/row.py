"""Rows of the kind `autoencoder`."""

from typing import Literal

from pydantic import Field

from afterimage.observations.frames.filters import FilterName
from afterimage.reconstructors import ReconstructorRow
from afterimage.training.loop import TrainingRow


class AutoencoderRow(ReconstructorRow):
    """A row of the kind `autoencoder`: what it trains on, and what is trained."""

    levels: list[str]
    """The levels that it trains on, each image on one of them by chance; none: the seed's protocol."""
    filters: list[FilterName]
    """What an input goes through before the network (under the seed's protocol the target too)."""
    arch: Literal["lenet", "skip", "nafnet"]
    width: int = Field(gt=0)
    """Channels at the first scale of `skip` and `nafnet`."""
    fold: Literal[1, 2, 4]
    factor: Literal[1, 2, 4]
    """How many times larger than its input the network's result is; the frames are brought to 1/factor first."""
    loss: Literal["mse", "l1", "charbonnier"]
    flips: bool
    """Whether half of the training images are mirrored."""
    training: TrainingRow

    @property
    def together(self) -> int:
        return self.training.batch
