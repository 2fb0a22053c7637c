"""Completing images: each missing pixel is drawn from what the network says about it, known ones stay.

`plain` runs the whole network for each pixel and turn. It is the definition, and far too slow; `cached.Sampler` gives
the same levels. Both compute in double precision: in single precision the last bits, which depend on the order of a
sum, would turn one level in ten thousand, and all that come after it would follow another path. The trunk, which is
the same computation in both, may stay in single precision.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from afterimage.core import randomness
from afterimage.core.images import Uint8
from afterimage.reconstructors.pixelrnn.network import PixelRnn

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


def noise(seed: int, keys: Sequence[str | int], size: tuple[int, int]) -> Floats:
    """The uniform numbers behind completions, `[N, H, W, 3, 2]`: two a channel, a generator for each of `keys`."""
    return np.stack([randomness.generator(seed, "completion", key).random((*size, 3, 2)) for key in keys])


def precise(network: PixelRnn) -> PixelRnn:
    """Set a network to the precision of sampling, on the CPU: a GPU takes longer for products this small."""
    network = network.cpu().double().eval()
    if network.trunk is not None:
        network.trunk.float()
    return network


def plain(network: PixelRnn, images: Uint8, masks: Bools, draws: Floats, temperature: float) -> Uint8:
    """Complete images by running the whole network for each missing pixel and turn.

    Args:
        network: as `precise` leaves it.
        images: `[N, H, W, 3]`; missing pixels may hold anything.
        masks: `[N, H, W]`, true = missing.
        draws: what `noise` gives.
        temperature: see `Likelihood.draw`.
    """
    likelihood = network.likelihood
    levels = images * ~masks[..., None]
    missing = torch.from_numpy(masks[:, None])
    per_turn = 3 // likelihood.turns
    with torch.inference_mode():
        for y, x in np.argwhere(masks.any(0)):
            for turn in range(likelihood.turns):
                tensors = torch.from_numpy(levels).movedim(-1, 1).double() / 255
                parameters = network(tensors, network.evidence(tensors, missing.double()))[:, :, y, x]
                of_turn = parameters.unflatten(1, (likelihood.turns, likelihood.size))[:, turn].numpy()
                drawn = likelihood.draw(of_turn, turn, draws[:, y, x], temperature)
                here = masks[:, y, x]
                levels[here, y, x, turn * per_turn : (turn + 1) * per_turn] = drawn[here].astype(np.uint8)
    return levels
