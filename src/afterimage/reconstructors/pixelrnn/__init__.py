"""PixelRNN (van den Oord et al. 2016): images completed pixel by pixel, each from all that came before it.

`masked.py` has the convolutions that keep the order, `blocks.py` the layers built from them, `likelihoods.py` what is
said about a pixel, `network.py` puts them together. `sampling.py` completes images the plain way, `cached.py` with
`rows.py` the fast way. `learner.py` trains, `completing.py` uses what was trained, `row.py` is what a row says.
"""

from collections.abc import Mapping

from afterimage.observations.holes.store import Stored
from afterimage.reconstructors import Kind
from afterimage.reconstructors.pixelrnn.completing import Completing
from afterimage.reconstructors.pixelrnn.learner import PixelRnnLearner
from afterimage.reconstructors.pixelrnn.row import PixelRnnRow
from afterimage.training.models import Model


class PixelRnns(Kind):
    observes = "holes"
    Row = PixelRnnRow

    def learner(self, row: PixelRnnRow, stored: Stored) -> PixelRnnLearner:
        return PixelRnnLearner(row, stored)

    def load(self, model: Model) -> Mapping[str, Completing]:
        row = PixelRnnRow.model_validate(model.settings)
        network = row.network()
        model.fill(network)
        return {"": Completing(network, row, model.device)}


KIND = PixelRnns()
