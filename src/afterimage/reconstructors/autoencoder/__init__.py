"""Convolutional autoencoders with skip connections, from bad frames to images.

`network.py` has the networks, `learner.py` trains them, `restoring.py` uses what was trained, `row.py` is what a row
says.
"""

from collections.abc import Mapping

import torch

from afterimage.observations.frames.store import Stored
from afterimage.reconstructors import Kind
from afterimage.reconstructors.autoencoder.learner import AutoencoderLearner, network
from afterimage.reconstructors.autoencoder.restoring import Restoring
from afterimage.reconstructors.autoencoder.row import AutoencoderRow
from afterimage.training.models import Model


class Autoencoders(Kind):
    observes = "frames"
    Row = AutoencoderRow

    def learner(self, row: AutoencoderRow, stored: Stored) -> AutoencoderLearner:
        return AutoencoderLearner(row, stored)

    def load(self, model: Model) -> Mapping[str, Restoring]:
        row = AutoencoderRow.model_validate(model.settings)
        found = network(model.settings, model.card["size"])
        model.fill(found)
        return {"": Restoring(found.to(memory_format=torch.channels_last), row, model.device)}


KIND = Autoencoders()
