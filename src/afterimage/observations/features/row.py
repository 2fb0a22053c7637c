"""Rows of `observations` of the kind `features`."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from afterimage.observations import ObservationRow
from afterimage.observations.features.defences import Step


class Row(ObservationRow):
    """The features of some layers of an encoder; `path` is the file with its weights."""

    kind: Literal["features"]
    layers: list[str] = Field(min_length=1)
    dtype: Literal["float16", "float32", "uint8"]
    """Of the features on disk. `uint8` spreads 256 levels from the lowest to the highest value of each channel of each
    sample; the index says what error that makes."""
    store: bool = True
    """false: nothing but the index is stored, and what reads features computes them from the images."""
    defence: list[Step] | None = Field(default=None, min_length=1)
    """What is done to the features before they are rounded to `dtype` and stored, in this order."""
    batch: int = Field(gt=0)
    """Images a forward pass. It is a parameter because it changes the last bits of the features."""

    @property
    def encoder(self) -> str:
        """The row of `encoders`."""
        return Path(self.path).stem

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.dtype == "uint8" and not self.store:
            raise ValueError("dtype uint8 saves space on disk, and with store: false there is nothing on disk")
        if len(set(self.layers)) < len(self.layers):
            raise ValueError("a layer is listed twice")
        return self
