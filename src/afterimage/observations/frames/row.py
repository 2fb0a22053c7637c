"""Rows of `observations` of the kind `frames`."""

from typing import Literal

from pydantic import Field, field_validator

from afterimage.core import shards
from afterimage.observations import ObservationRow
from afterimage.observations.frames import cctv

Steps = list[cctv.AnyStep]


class Row(ObservationRow):
    """Levels of damage to the images of a data set."""

    kind: Literal["frames"]
    seed: int
    levels: dict[str, Steps] = Field(min_length=1)
    """The steps of each, in order; none: the frame is the image's own input, or the image where it has none."""
    people: bool = False
    """Whether the groups of the data set are people: then it is measured whether they can be told apart."""

    @field_validator("levels")
    @classmethod
    def _named_as_folders(cls, levels: dict[str, Steps]) -> dict[str, Steps]:
        for name in levels:
            if not shards.MEMBER.fullmatch(f"{name}.x"):
                raise ValueError(f"{name!r} is no name of a level; letters, digits, `_`, `-` and `=` are")
        return levels
