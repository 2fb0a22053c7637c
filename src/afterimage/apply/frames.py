"""Rows that observe frames, applied to images and frames of any size."""

from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from afterimage.core import images, outputs
from afterimage.core.errors import ParamsError
from afterimage.core.images import Uint8

if TYPE_CHECKING:
    from afterimage.core import devices
    from afterimage.reconstructors import Loaded, Reconstructor

TOGETHER = 4 << 20
"""Pixels of the frames that are restored at once, but at least one frame: it bounds the memory of long series."""


class Applied:
    """A row that restores frames; see `apply.load`."""

    kind = "frames"

    def __init__(self, name: str, loaded: "Loaded", reconstructor: "Reconstructor", device: "devices.Name"):
        self.name, self.card, self.reconstructor = name, loaded.card, reconstructor
        self._folder, self._changes = loaded.folder, dict[str, float]()
        self.times = 1

    @property
    def about(self) -> dict[str, Any]:
        """What tells this model from others, as JSON: work that another one began is not gone on with."""
        files = sorted(path for path in self._folder.glob("*") if path.suffix in (".json", ".safetensors"))
        changes = {**self._changes, **({"times": self.times} if self.times > 1 else {})}
        return {"row": self.name, "files": {path.name: outputs.sha256(path) for path in files}, **changes}

    @property
    def sets_light(self) -> bool:
        """Whether the row brings a frame into another light, so that `brightness` means something."""
        return bool(self.card.get("settings", {}).get("tone"))

    def adjusted(self, brightness: float, strength: float) -> "Applied":
        """The same row, held back: it shares the network with this one, which stays as it is.

        Args:
            brightness: 0 keeps the light of the frame, 1 is what the row makes of it.
            strength: 0 gives the frame, in that light; 1 is all that the row restores.

        Raises:
            ParamsError: the row does not set the light of frames, or cannot be restrained.
        """
        if brightness != 1 and not self.sets_light:
            raise ParamsError(f"{self.name}: this row does not set the light of frames apart; `tone: true` rows do")
        found = copy(self)
        found.reconstructor = copy(self.reconstructor)
        found._changes = {
            name: value for name, value in (("brightness", brightness), ("strength", strength)) if value != 1
        }
        for name, value in found._changes.items():
            if not hasattr(self.reconstructor, name):
                raise ParamsError(f"{self.name}: rows of its kind have no {name} to set")
            setattr(found.reconstructor, name, value)
        return found

    @property
    def factor(self) -> int:
        """How many times larger than what it sees the row's answer is."""
        return int(self.card.get("settings", {}).get("factor", 1))

    def enlarging(self) -> "Applied":
        """The same row, whose answers are `factor` times as high and wide as the frames, which it sees as they are.

        Otherwise they keep the frames' size, and a row of super-resolution sees them reduced by that factor.

        Raises:
            ParamsError: it is no row of super-resolution.
        """
        if self.factor == 1:
            raise ParamsError(f"{self.name}: this row does not enlarge; rows with `factor: 2` or 4 do")
        found = copy(self)
        found.times = self.factor
        return found

    def __call__(self, image: Image.Image) -> Image.Image:
        """An RGB image restored."""
        return Image.fromarray(self.frames(np.asarray(image)[None])[0])

    def frames(self, frames: Uint8) -> Uint8:
        """Frames `[N, H, W, 3]` of one size restored, 8-bit; `times` as large."""
        from afterimage.observations.frames import Frames

        count, height, width = len(frames), self.times * frames.shape[1], self.times * frames.shape[2]
        step = max(1, TOGETHER // (height * width))
        result = np.empty((count, height, width, 3), np.uint8)
        for start in range(0, count, step):
            some = frames[start : start + step]
            keys = [str(start + place) for place in range(len(some))]
            found = self.reconstructor(Frames(keys, (height, width), list(some)))
            result[start : start + step] = images.to_uint8(found.images)
        return result
