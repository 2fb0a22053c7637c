"""Searches as reconstructors: `optimisation` from the features alone, `hybrid` from what a decoder makes of them.

The decoder itself is measured beside them, on the same images.
"""

import inspect
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from afterimage import reconstructors
from afterimage.core import images, outputs
from afterimage.core.errors import ParamsError, ShardError
from afterimage.core.images import Uint8
from afterimage.observations.features import Features
from afterimage.observations.features.encoders import Encoder
from afterimage.reconstructors import Reconstruction, Reconstructor
from afterimage.reconstructors.inversion import descent, parametrisations, priors, search
from afterimage.reconstructors.inversion.checkpoint import Checkpoint
from afterimage.reconstructors.inversion.row import InversionRow
from afterimage.reconstructors.inversion.search import Inverter
from afterimage.training.models import Model

ERROR = "feature_error"
DECODED = 8
"""Images that go through the decoder at once. The last bits of its answers depend on it."""


class Start(Reconstructor):
    """A trained decoder, whose answers searches start from.

    Raises:
        ParamsError: it reads other layers than the search.
        ShardError: it was trained on features from other weights.
    """

    def __init__(self, model: Model, row: InversionRow, encoder: Encoder):
        found = reconstructors.load(model.project, row.decoder, model.device.type)  # type: ignore[arg-type]
        self.folder = found.folder
        where = f"{model.card['row']}.decoder: {row.decoder!r}"
        theirs, ours = found.card["given"], model.given
        if any(theirs[0][key] != ours[0][key] for key in ("observation", "layer")):
            raise ParamsError(f"{where} decodes {found.row.observation}, expected {row.observation}")
        if theirs[0]["weights"] != ours[0]["weights"]:
            raise ShardError(f"{where} was trained on features from other weights; run dvc repro")
        self.decode = next(iter(found.reconstructors.values()))
        self.layer, self.row, self.encoder = model.given[0]["layer"], row, encoder

    def __call__(self, given: Features) -> Reconstruction:
        return Reconstruction(self.begin(given))

    def begin(self, given: Features) -> Tensor:
        features = given.layers[0].float()
        starts = range(0, len(given.keys), DECODED)
        parts = [Features(given.keys[at : at + DECODED], given.size, [features[at : at + DECODED]]) for at in starts]
        # The search needs slopes, which a tensor of inference mode cannot have
        return torch.cat([self.decode(part).images for part in parts]).clone()

    def score(self, given: Features, originals: Uint8, rebuilt: Uint8) -> Mapping[str, npt.NDArray[np.float64]]:
        return _errors(Inverter(self.encoder, self.layer, self.row, given.size), given, rebuilt)


class Searching(Reconstructor):
    """A search.

    Args:
        name: of the search, in the checkpoint and beside the bar.
        start: whose answer it starts from; None: from the features alone.
    """

    def __init__(self, name: str, model: Model, row: InversionRow, encoder: Encoder, start: Start | None):
        self.name, self.model, self.row, self.encoder, self.start = name, model, row, encoder, start
        self.layer: str = model.given[0]["layer"]

    def __call__(self, given: Features) -> Reconstruction:
        inverter = Inverter(self.encoder, self.layer, self.row, given.size)
        starts = None if self.start is None else self.start.begin(given)
        checkpoint = Checkpoint(self._state(), self._identity(given))
        found = inverter(given.keys, given.layers[0], starts, checkpoint, f"{self.model.card['row']} {self.name}")
        if hasty := sum(not one.converged for one in found):
            text = f"{self.name}: {hasty} of {len(found)} searches not converged after {self.row.steps} steps"
            tqdm.write(text, file=sys.stderr)
        values = {
            ERROR: [one.error for one in found],
            "steps": [float(one.steps) for one in found],
            "converged": [float(one.converged) for one in found],
        }
        return Reconstruction(torch.stack([one.image for one in found]), values=values)

    def score(self, given: Features, originals: Uint8, rebuilt: Uint8) -> Mapping[str, npt.NDArray[np.float64]]:
        """The feature error of the 8-bit image that is kept."""
        return _errors(Inverter(self.encoder, self.layer, self.row, given.size), given, rebuilt)

    def forget(self) -> None:
        if path := self._state():
            path.unlink(missing_ok=True)

    def _state(self) -> Path | None:
        return None if self.model.state is None else self.model.state / f"{self.name}.pt"

    def _identity(self, given: Features) -> Mapping[str, object]:
        """All that the result depends on, the code among it."""
        start = None if self.start is None else outputs.sha256(self.start.folder / "model.safetensors")
        return {
            "card": dict(self.model.card),
            "keys": list(given.keys),
            "start": start,
            "code": [inspect.getsource(module) for module in (search, descent, parametrisations, priors)],
        }


def _errors(inverter: Inverter, given: Features, rebuilt: Uint8) -> Mapping[str, npt.NDArray[np.float64]]:
    errors = inverter.errors(images.to_tensor(rebuilt), given.layers[0])
    return {ERROR: errors.double().cpu().numpy()}
