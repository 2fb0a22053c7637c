"""Trained PixelRNNs as reconstructors: several completions of each image, and the bits that the truth takes."""

import copy
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch

from afterimage.core import images
from afterimage.core.images import Uint8
from afterimage.observations.holes import Holes
from afterimage.reconstructors import Reconstruction, Reconstructor
from afterimage.reconstructors.pixelrnn.cached import Sampler
from afterimage.reconstructors.pixelrnn.learner import bits
from afterimage.reconstructors.pixelrnn.network import PixelRnn
from afterimage.reconstructors.pixelrnn.row import PixelRnnRow
from afterimage.reconstructors.pixelrnn.sampling import noise


class Completing(Reconstructor):
    """Draws completions; the answer is their mean."""

    def __init__(self, network: PixelRnn, row: PixelRnnRow, device: torch.device):
        self.network, self.row, self.device = network, row, device
        self.sampler = Sampler(copy.deepcopy(network))

    def __call__(self, given: Holes) -> Reconstruction:
        draws = given.draws
        count = self.row.samples if draws.samples is None else draws.samples
        heat = self.row.temperature if draws.temperature is None else draws.temperature
        seed = self.row.training.seed if draws.seed is None else draws.seed
        pixels = images.to_uint8(given.images)
        masks = (given.masks[:, 0] > 0.5).cpu().numpy()
        found = []
        for key, image, mask in zip(given.keys, pixels, masks, strict=True):  # masks differ, so one by one
            chances = noise(seed, [f"{key}/{number}" for number in range(count)], mask.shape)
            found.append(self.sampler(image[None], mask[None], chances, heat))
        means = np.stack([mean(completions) for completions in found])
        return Reconstruction(images.to_tensor(means), torch.stack([images.to_tensor(each) for each in found]))

    def score(self, given: Holes, originals: Uint8, rebuilt: Uint8) -> Mapping[str, npt.NDArray[np.float64]]:
        """`bits` a channel of the hole, and `bits_whole` with all of the image missing."""
        pixels, masks = images.to_tensor(originals).to(self.device), given.masks.to(self.device)
        with torch.inference_mode():
            found = [bits(self.network, pixels, missing) for missing in (masks, torch.ones_like(masks))]
        return dict(zip(("bits", "bits_whole"), (each.double().cpu().numpy() for each in found), strict=True))


def mean(completions: Uint8) -> Uint8:
    """The mean of completions `[K, H, W, 3]`, rounded to the nearest level."""
    return np.rint(completions.mean(0)).astype(np.uint8)
