"""Inversion: the search for an image whose features are the given ones, by optimisation.

`search.py` has the method, with `parametrisations.py`, `priors.py` and `descent.py`; `checkpoint.py` keeps where a
search stands; `searching.py` makes reconstructors of it; `row.py` is what a row says.
"""

from collections.abc import Mapping

from afterimage.core import devices
from afterimage.observations.features import store
from afterimage.reconstructors import Kind, Reconstructor
from afterimage.reconstructors.inversion.row import InversionRow
from afterimage.reconstructors.inversion.searching import Searching, Start
from afterimage.training.models import Model


class Inversions(Kind):
    observes = "features"
    Row = InversionRow

    def learner(self, row: InversionRow, stored: store.Stored) -> None:
        return None

    def load(self, model: Model) -> Mapping[str, Reconstructor]:
        devices.be_deterministic()
        row = InversionRow.model_validate(model.settings)
        encoder = store.encoder(model.folder, model.given).to(model.device)
        start = Start(model, row, encoder)
        return {
            "decoder": start,
            "optimisation": Searching("optimisation", model, row, encoder, None),
            "hybrid": Searching("hybrid", model, row, encoder, start),
        }


KIND = Inversions()
