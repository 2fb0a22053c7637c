"""Inpainting by pix2pix (Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017)
from images with holes to whole images, and what its parts are worth: each can be left out or replaced.

`unet.py` has the networks, `learner.py` trains them, `row.py` is what a row says.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from afterimage.observations.holes import Holes
from afterimage.observations.holes.exemplar import exemplar_fill
from afterimage.observations.holes.store import Stored
from afterimage.reconstructors import Kind, Reconstruction, Reconstructor
from afterimage.reconstructors.pix2pix.learner import Pix2PixLearner, generator
from afterimage.reconstructors.pix2pix.row import Pix2PixRow
from afterimage.reconstructors.pix2pix.unet import Generator
from afterimage.training.models import Model

SMALLEST = 32
"""A thinner image is continued by its edge up to so many px."""


class Filling(Reconstructor):
    """A trained generator as a reconstructor.

    Args:
        size: of the training images in px.
        exemplar: continue its fill by patches of the known part, which are as sharp as that.
    """

    def __init__(self, network: Generator, size: int, device: torch.device, exemplar: bool = False):
        self.network, self.device, self.exemplar = network, device, exemplar
        self.multiple = min(network.multiple, size)

    def __call__(self, given: Holes) -> Reconstruction:
        images, masks = given.images.to(self.device), given.masks.to(self.device)
        height, width = given.size
        below, beside = (-(-max(side, SMALLEST) // self.multiple) * self.multiple - side for side in (height, width))
        if below or beside:  # sides that are no multiples; what is added counts as known
            images = F.pad(images, (0, beside, 0, below), mode="replicate")
            masks = F.pad(masks, (0, beside, 0, below))
        with torch.inference_mode():
            filled = self.network(images, masks)[..., :height, :width]
            return Reconstruction(self.detailed(given, filled))

    def detailed(self, given: Holes, filled: Tensor) -> Tensor:
        if not self.exemplar:
            return filled
        # On the CPU whatever the device is: its search goes by indices, a few at a time
        return exemplar_fill(given.images.cpu(), given.masks.cpu(), start=filled.cpu())


class Pix2Pix(Kind):
    observes = "holes"
    Row = Pix2PixRow

    def learner(self, row: Pix2PixRow, stored: Stored) -> Pix2PixLearner:
        return Pix2PixLearner(row, stored)

    def load(self, model: Model) -> Mapping[str, Filling]:
        network = generator(model.settings, model.card["size"])
        model.fill(network)
        details = model.settings["detail"]
        return {
            detail if len(details) > 1 else "": Filling(
                network, model.card["size"], model.device, exemplar=detail == "exemplar"
            )
            for detail in reversed(details)  # the last one is the one to use
        }


KIND = Pix2Pix()
