"""Completing images with cached activations: each feature is computed once, and only where a missing pixel needs it.

A row of the picture is one round. What its gates take from the rows above and from the trunk is computed for the
whole row; what they take from the left, for a run of known pixels at once, or for one missing pixel of all layers at
once; what they take from the pixel itself, layer by layer and turn by turn. `rows.py` knows the kinds of layers.

The inner loop is NumPy: at these sizes the cost is that of calls, and NumPy's cost a third of PyTorch's.
"""

import numpy as np
import torch

from afterimage.core.images import Uint8
from afterimage.reconstructors.pixelrnn.network import PixelRnn
from afterimage.reconstructors.pixelrnn.rows import ROWS, Bools, Floats, Rows
from afterimage.reconstructors.pixelrnn.sampling import precise


class Sampler:
    """A network, ready to complete images.

    Args:
        network: it is set to the precision of sampling.
    """

    def __init__(self, network: PixelRnn):
        self.network = precise(network)
        self.kind: type[Rows] = ROWS[type(network.blocks[0])]

    def __call__(self, images: Uint8, masks: Bools, draws: Floats, temperature: float) -> Uint8:
        """Complete a batch, each image K times: `[N * K, H, W, 3]`, those of the first image first.

        Args:
            images: `[N, H, W, 3]`; missing pixels may hold anything.
            masks: `[N, H, W]`, true = missing. Every image is computed wherever any is missing: images whose masks
                differ much are better given one by one.
            draws: what `sampling.noise` gives for `N * K` keys.
            temperature: see `Likelihood.draw`.
        """
        repeats = len(draws) // len(images)
        completed, missing = np.repeat(images, repeats, 0), np.repeat(masks, repeats, 0)
        if not masks.any():
            return completed
        window = self._window(np.asarray(masks.any(0)))
        part = (slice(None), *window)
        levels = completed[part] * ~missing[part][..., None]
        rows = self.kind(self.network, levels, missing[part], *self._evidence(images, masks, window))
        found = rows.complete(draws[part], temperature)
        completed[part][missing[part]] = found[missing[part]]
        return completed

    def _evidence(
        self, images: Uint8, masks: Bools, window: tuple[slice, slice]
    ) -> tuple[Floats | None, Floats | None]:
        """The trunk's features and its guess, once for all completions of an image: `[H, W, N, ..]` of the window."""
        with torch.inference_mode():
            tensors = torch.tensor(images).movedim(-1, 1).double() / 255
            evidence = self.network.evidence(tensors, torch.from_numpy(masks[:, None]).double())
        if evidence is None:
            return None, None
        features, guess = (part.permute(2, 3, 0, 1).numpy()[window].astype(np.float64) for part in evidence)
        return features, guess

    def _window(self, missing: Bools) -> tuple[slice, slice]:
        """The part of the picture that missing pixels can see."""
        (top, bottom), (left, right) = (np.flatnonzero(missing.any(axis))[[0, -1]] for axis in (1, 0))
        reach = self.kind.reach(self.network)
        if reach is None:
            return slice(0, bottom + 1), slice(None)
        return slice(max(0, top - reach), bottom + 1), slice(max(0, left - reach), right + reach + 1)
