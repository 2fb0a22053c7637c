"""Decoders: networks that learn to turn features back into images.

`network.py` has the networks, `learner.py` trains them, `row.py` is what a row says.
"""

from collections.abc import Mapping

import torch

from afterimage.observations.features import Features
from afterimage.observations.features.store import Stored
from afterimage.reconstructors import Kind, Reconstruction, Reconstructor
from afterimage.reconstructors.decoder.learner import DecoderLearner
from afterimage.reconstructors.decoder.network import Decoder, taps
from afterimage.reconstructors.decoder.row import DecoderRow
from afterimage.training.models import Model


class Decoding(Reconstructor):
    """A trained decoder as a reconstructor."""

    def __init__(self, network: Decoder, device: torch.device):
        self.network, self.device = network, device

    def __call__(self, given: Features) -> Reconstruction:
        with torch.inference_mode():
            return Reconstruction(self.network([layer.to(self.device) for layer in given.layers], given.size))


class Decoders(Kind):
    observes = "features"
    Row = DecoderRow

    def learner(self, row: DecoderRow, stored: Stored) -> DecoderLearner:
        return DecoderLearner(row, stored)

    def load(self, model: Model) -> Mapping[str, Decoding]:
        settings = model.settings
        network = Decoder(
            settings["arch"], settings["width"], taps(model.given), model.card["size"], settings["linear"]
        )
        model.fill(network)
        return {"": Decoding(network.to(memory_format=torch.channels_last), model.device)}


KIND = Decoders()
