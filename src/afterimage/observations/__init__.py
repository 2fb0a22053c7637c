"""Observations: what is left of an image. There are three kinds, a package each:

- `features`: what one or more layers of an encoder hold of an image;
- `holes`: an image of which a part is missing;
- `frames`: what a bad camera left of an image.

A kind's package has an `Observation` of its own, which is what a reconstructor is given, and the modules

- `row`, with `Row`, the class of its rows in the section `observations`;
- `writing`, with `write(row, name, shards_dir, out_dir)`, which draws, stores and gates what is left of the
  images of a data set;
- `store`, with `Stored(folder, shards_dir, settings)`, which reads that for a row of reconstructors; where parts go by
  several names, it has `located(folder)` too, the folder that is meant.

What is measured of a kind is in `evaluation`, how an image that a user hands over becomes one in `apply`, how it is
shown in `report`, each in a module of the kind's name.
"""

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

from pydantic import field_validator

from afterimage.core import shards
from afterimage.core.errors import ParamsError
from afterimage.core.params import Row

if TYPE_CHECKING:
    from afterimage.core.images import Uint8

KINDS = ("features", "holes", "frames")
PART = "/"
"""Between the name of a row of `observations` and that of a part of it, such as a layer: `vgg16/relu1_2`."""


class ObservationRow(Row):
    """What the rows of all kinds have in common; `kind` picks the class that knows the rest."""

    kind: str
    dataset: str
    path: str
    """What the kind reads beside the images, and DVC watches: the weights of an encoder, a file of masks. A row that
    reads nothing names the package of its kind."""

    @classmethod
    def kind_of(cls, value: Any) -> type[Self]:
        kind = value.get("kind") if isinstance(value, dict) else None
        return module(kind, "row").Row.kind_of(value) if kind in KINDS and cls is ObservationRow else cls

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        if kind not in KINDS:
            raise ValueError(f"no such kind of observation; there are {', '.join(KINDS)}")
        return kind


@dataclass(frozen=True)
class Observation:
    """What is left of some images: what a reconstructor is given. Each kind has a class of its own.

    Attributes:
        keys: a name an image; what is random about its reconstruction is drawn from that.
        size: (H, W) of the images to rebuild.
    """

    keys: Sequence[str]
    size: tuple[int, int]


class Given(NamedTuple):
    """Some stored observations, and the images that they are of."""

    keys: list[str]
    observation: Observation
    originals: "Uint8"
    """`[N, H, W, 3]`."""


class Stored(Protocol):
    """The stored observations of a row, beside the images that they are of."""

    indices: list[shards.Index]
    """What index.json says of each part that the row reads."""
    carried: list[Path]
    """Files that a model which is trained on them needs beside it."""
    size: int
    """Side in px of the images."""
    shards_dir: Path
    """The image shards."""

    def cases(self) -> list[str]:
        """What is measured one by one, such as the levels of damage; `["test"]` where there is but one."""
        ...

    def test_hash(self, case: str) -> str:
        """A SHA-256 of what decides the observations of the test images: numbers that two revisions measured on other
        ones cannot be compared."""
        ...

    def given(self, case: str, batch: int, keys: Sequence[str] | None = None) -> Iterator[Given]:
        """The observations of the test images in order, so many at a time; those of some `keys`, or all."""
        ...


def module(kind: str, name: str) -> ModuleType:
    """A module of the package of a kind of observation, such as its `store`.

    Raises:
        ParamsError: there is no such kind.
    """
    if kind not in KINDS:
        raise ParamsError(f"there is no kind of observation `{kind}`; there are {', '.join(KINDS)}")
    return importlib.import_module(f"{__name__}.{kind}.{name}")


def located(kind: str, folder: Path) -> Path:
    """The folder of an observation or of a part of it, which may go by another of its names."""
    found = getattr(module(kind, "store"), "located", None)
    return found(folder) if found else folder


def row_of(observation: str) -> str:
    """The name of the row of `observations` that `vgg16/relu1_2` is a part of."""
    return observation.partition(PART)[0]
