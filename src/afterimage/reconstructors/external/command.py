"""A command line that reads a folder of images and writes one. It is code: its row needs `trust`.

`{images}`, `{masks}` and `{answers}` in its words become folders: the images `<key>.png` as they are left (frames as
the camera gave them, holes black), of holes the masks under the same names, white where the image is missing, and where
it is to write `<key>.png`. It is run in the project's folder, once for so many images.
"""

import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from afterimage.core import images
from afterimage.core.errors import ImageError, WeightsError, one_line, shortened
from afterimage.core.images import Uint8
from afterimage.reconstructors import Reconstruction, Reconstructor
from afterimage.reconstructors.external.row import IMAGES, OutsideRow, Trusted

if TYPE_CHECKING:
    from afterimage.training.models import Model

SAID = 300
"""Letters of what a command that failed says last."""


class Row(OutsideRow, Trusted):
    """A row with `format: command`."""

    TAKES: ClassVar[tuple[str, ...]] = IMAGES
    format: Literal["command"]
    command: list[str] = Field(min_length=1)
    """Its words; no shell reads them."""
    version: str
    """Of its code, which DVC does not watch: another one that is written here makes the row run again."""
    batch: int = Field(default=256, gt=0)
    """Images that it is run for at once."""

    @property
    def together(self) -> int:
        return self.batch

    @field_validator("command")
    @classmethod
    def _reads_and_writes(cls, command: list[str]) -> list[str]:
        for name in ("{images}", "{answers}"):
            if not any(name in word for word in command):
                raise ValueError(
                    f"expected a word with {name}, the folder that it {'reads' if 'im' in name else 'writes'}"
                )
        return command

    def reconstructor(self, model: "Model") -> "Commanded":
        return Commanded(self, model.project)


class Commanded(Reconstructor):
    """Answers by running a command over folders."""

    def __init__(self, row: Row, project: Path):
        self.row, self.project = row, project

    def __call__(self, given: Any) -> Reconstruction:
        """Raises:
        WeightsError: the command cannot be run, or fails.
        ImageError: it leaves an image out, or writes none of any size.
        """
        import torch

        from afterimage.reconstructors.external.asking import resized

        with tempfile.TemporaryDirectory() as name:
            folders = {part: Path(name) / part for part in ("images", "masks", "answers")}
            for folder in folders.values():
                folder.mkdir()
            for key, pixels in zip(given.keys, self._images(given), strict=True):
                (folders["images"] / f"{key}.png").write_bytes(images.encode_png(pixels))
            if self.row.observes == "holes":
                for key, mask in zip(given.keys, given.masks, strict=True):
                    white = images.to_uint8(mask.expand(3, -1, -1))
                    (folders["masks"] / f"{key}.png").write_bytes(images.encode_png(white))
            self._run(folders)
            found = [images.to_tensor(_answer(folders["answers"], key))[None] for key in given.keys]
        answers = torch.cat([resized(each, given.size) for each in found])
        if self.row.observes == "holes":
            answers = torch.where(given.masks.cpu() > 0.5, answers, given.images.cpu())
        return Reconstruction(answers)

    def _images(self, given: Any) -> list[Uint8]:
        return list(images.to_uint8(given.images)) if self.row.observes == "holes" else list(given.frames)

    def _run(self, folders: dict[str, Path]) -> None:
        words = self.row.command
        for part, folder in folders.items():
            words = [word.replace(f"{{{part}}}", str(folder)) for word in words]
        try:
            done = subprocess.run(words, cwd=self.project, capture_output=True, text=True, check=False)
        except OSError as error:
            raise WeightsError(f"{words[0]}: cannot be run: {error.strerror}") from None
        if done.returncode:
            said = shortened(one_line("\n".join((done.stderr or done.stdout).strip().splitlines()[-1:])), SAID)
            raise WeightsError(f"{words[0]}: ended with status {done.returncode}: {said}")


def _answer(folder: Path, key: str) -> Uint8:
    try:
        return np.asarray(images.decode((folder / f"{key}.png").read_bytes()))
    except FileNotFoundError:
        raise ImageError(f"the command wrote no {key}.png") from None
    except ImageError as error:
        raise ImageError(f"what the command wrote as {key}.png: {error}") from None
