"""Rows of the kind `autoencoder`."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from afterimage.observations.frames.filters import FilterName
from afterimage.reconstructors import ReconstructorRow
from afterimage.training.loop import TrainingRow


class AutoencoderRow(ReconstructorRow):
    """A row of the kind `autoencoder`: what it trains on, and what is trained."""

    levels: list[str]
    """The levels that it trains on, each image on one of them by chance (more often on one that is listed twice); none:
    the seed's protocol."""
    filters: list[FilterName]
    """What an input goes through before the network (under the seed's protocol the target too)."""
    arch: Literal["lenet", "skip", "nafnet"]
    width: int = Field(gt=0)
    """Channels at the first scale of `skip` and `nafnet`."""
    blocks: list[Annotated[int, Field(gt=0)]] = Field(min_length=2, max_length=5)
    """Of `nafnet`: blocks at each scale on the way down, and on the way up; the last: at the smallest scale."""
    fold: Literal[1, 2, 4]
    factor: Literal[1, 2, 4]
    """How many times larger than its input the network's result is; the frames are brought to 1/factor first."""
    output: Literal["linear", "sigmoid"]
    """What `lenet` ends in; the seed's ends in a sigmoid. The others add to their input."""
    loss: Literal["mse", "log_mse", "l1", "charbonnier"]
    """`log_mse` is the mean of the logarithms of each image's error: gains on bad and on good frames count alike."""
    tone: bool
    """Whether one part looks at the whole frame and answers with a tone curve, so that the network restores the rest
    only: for frames in any light, see `tone.py`."""
    crop: int | None = Field(gt=0)
    """Side in px of the crops of each image that the network trains on, two of each; null: the images."""
    flips: bool
    """Whether half of the training images are mirrored."""
    training: TrainingRow

    @model_validator(mode="after")
    def _sigmoid_of_lenet(self) -> Self:
        if self.output == "sigmoid" and self.arch != "lenet":
            raise ValueError(f"output: sigmoid is for arch: lenet; {self.arch} adds to its input, expected linear")
        return self

    @model_validator(mode="after")
    def _light_of_frames(self) -> Self:
        if self.tone and (self.arch == "lenet" or self.filters or not self.levels):
            raise ValueError("tone: true is for rows with levels and without filters, and arch: skip or nafnet")
        if self.crop and self.crop % (self.factor * self.fold):
            raise ValueError(f"crop: {self.crop} is no multiple of factor * fold, {self.factor * self.fold}")
        return self

    @property
    def together(self) -> int:
        return self.training.batch
