"""What rows of models outside have in common: how a file is pinned, what executes code, what a model expects."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from afterimage.core.errors import WeightsError
from afterimage.core.params import Row
from afterimage.reconstructors import Reconstructor, ReconstructorRow

if TYPE_CHECKING:
    from afterimage.training.models import Model

Range = Annotated[list[float], Field(min_length=2, max_length=2)]
IMAGES = ("holes", "frames")
"""Observations that are images."""
EVERYTHING = ("features", *IMAGES)


class OutsideRow(ReconstructorRow):
    """A row with `format`."""

    TAKES: ClassVar[tuple[str, ...]] = EVERYTHING
    """The kinds of observation that models of this format can be given."""
    kind: Literal["external"]
    format: str

    @property
    def together(self) -> int:
        """Images are asked for one at a time, so that no bit depends on it."""
        return 8

    def reconstructor(self, model: "Model") -> Reconstructor:
        """The model, ready to be asked.

        Raises:
            WeightsError, ParamsError: as for `Outside.load`.
        """
        raise NotImplementedError


class Pinned(Row):
    """A file that lies outside: `path`, from the project's folder, and the `sha256` of what it holds."""

    path: str
    sha256: str

    def read(self, project: Path) -> bytes:
        """The bytes of the file, which are those that were checked: it is not opened again.

        Raises:
            WeightsError: the file is missing, or altered.
        """
        path = project / self.path
        if not path.is_file():
            raise WeightsError(f"{path}: there is no such file")
        data = path.read_bytes()
        if (found := hashlib.sha256(data).hexdigest()) != self.sha256:
            raise WeightsError(f"{path}: its sha256 is {found}, expected {self.sha256}")
        return data


class Trusted(Row):
    """What executes code that is not the project's, which the row has to allow."""

    trust: bool = False

    @model_validator(mode="after")
    def _is_trusted(self) -> Self:
        if not self.trust:
            name = getattr(self, "format", "")
            raise ValueError(
                f"a row with `format: {name}` executes code from outside; say `trust: true` if you trust it"
            )
        return self


class Sized(Row):
    """At which size a model sees images."""

    side: int | None = Field(default=None, gt=0)
    """What the shorter side is brought to in px before the model sees an image; its answer is brought back. null: the
    image as it is. The answer always gets the size that is asked for, so a model may enlarge."""


class Declared(Sized):
    """What a file does not say: how the tensors look that a model takes and gives."""

    range: Range = Field(default=[0.0, 1.0])
    """Of the images that it takes: black and white. Masks and features are taken as they are."""
    answers: Range | None = None
    """Of the images that it gives; null: the same."""
    layout: Literal["nchw", "nhwc"] = "nchw"
    colours: Literal["rgb", "bgr"] = "rgb"
    missing: Literal[0, 1] = 1
    """The value in masks of what is missing. Missing pixels of the image are black."""
    joined: bool = False
    """Whether image and mask are one input of four channels, the image first, instead of two inputs."""
