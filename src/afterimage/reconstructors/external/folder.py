"""A folder with the images that a model made already of the test images: `<key>.png`, or under the file's own name.

Of frames there is a folder for each level, `<level>/<key>.png`, as a row's reconstructions have it. Which level a frame
is of is found by the frame. Known pixels of an image with holes are the original's, whatever the file has there.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from afterimage.core import images, layout, outputs, shards
from afterimage.core.errors import ImageError, WeightsError
from afterimage.core.images import Uint8
from afterimage.reconstructors import Reconstruction, Reconstructor
from afterimage.reconstructors.external.row import OutsideRow, Pinned

if TYPE_CHECKING:
    from afterimage.training.models import Model

EXTENSIONS = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


class Row(OutsideRow, Pinned):
    """A row with `format: folder`; its `sha256` is that of `digest`."""

    format: Literal["folder"]

    def reconstructor(self, model: "Model") -> "Results":
        return Results(model.project / self.path, self, model)


class Results(Reconstructor):
    """Answers from files, and so to nothing but the test images.

    Raises:
        WeightsError: there is no such folder, it was altered, or two files are of one image.
    """

    stored_only = True

    def __init__(self, folder: Path, row: Row, model: "Model"):
        self.folder, self.row, self.project = folder, row, model.project
        self.levels = [str(index["level"]) for index in model.given] if row.observes == "frames" else [""]
        if not folder.is_dir():
            raise WeightsError(f"{folder}: there is no such folder")
        if (found := digest(folder)) != row.sha256:
            raise WeightsError(f"{folder}: the sha256 of its images is {found}, expected {row.sha256}")
        self.files = {level: _by_key(folder / level) for level in self.levels}

    def __call__(self, given: Any) -> Reconstruction:
        """Raises:
        ImageError: a file is missing, no image, or of another size than the original.
        """
        import torch

        answers = images.to_tensor(np.stack([self._pixels(given, place) for place in range(len(given.keys))]))
        if self.row.observes == "holes":
            answers = torch.where(given.masks.cpu() > 0.5, answers, given.images.cpu())
        return Reconstruction(answers)

    def _pixels(self, given: Any, place: int) -> Uint8:
        key = given.keys[place]
        level = self._level(key, given.frames[place]) if self.row.observes == "frames" else ""
        path = self.files[level].get(key)
        if path is None:
            raise ImageError(f"{self.folder / level}: has no {key}.png; there are results of test images only")
        try:
            pixels = np.asarray(images.decode(path.read_bytes()))
        except ImageError as error:
            raise ImageError(f"{path}: {error}") from None
        if pixels.shape[:2] != tuple(given.size):
            sizes = [f"{width} x {height} px" for height, width in (pixels.shape[:2], given.size)]
            raise ImageError(f"{path}: is {sizes[0]}, and its original {sizes[1]}")
        return pixels

    @cached_property
    def _frames(self) -> Mapping[str, shards.Table]:
        """The stored frames of each level."""
        folder = self.project / layout.observation(self.row.observation)
        return {level: shards.Table(folder / level, "test") for level in self.levels}

    def _level(self, key: str, frame: Uint8) -> str:
        for level, table in self._frames.items():
            if key in table.keys and np.array_equal(np.asarray(images.decode(table.of(key))), frame):
                return level
        raise ImageError(f"{self.folder}: there are results of test images only, and `{key}` is none")


def digest(folder: Path) -> str:
    """One SHA-256 for the images of a folder: their names and what they hold."""
    return outputs.digest({path.relative_to(folder).as_posix(): outputs.sha256(path) for path in _images(folder)})


def key_of(name: str) -> str:
    """The key of a file's name, as data sets make it (`datasets.sources.key`, which no stage that measures needs)."""
    plain = (chr(byte) for byte in name.encode("utf-8", "surrogateescape"))
    return "".join(
        "--" if letter == "/" else letter if letter.isascii() and (letter.isalnum() or letter in "_-") else
        f"={ord(letter):02x}"
        for letter in plain
    )  # fmt: skip


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS and path.is_file())


def _by_key(folder: Path) -> dict[str, Path]:
    """Files by the key of the image that they are of: their names are keys, or have one."""
    found: dict[str, Path] = {}
    for path in _images(folder):
        name = path.relative_to(folder).with_suffix("").as_posix()
        for key in {name, key_of(name)}:
            if key in found:
                raise WeightsError(f"{path}: {found[key]} is of the same image; expected one file an image")
            found[key] = path
    return found
