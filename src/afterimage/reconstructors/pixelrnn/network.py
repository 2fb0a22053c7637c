"""A network of `completers`: layers that keep the order, what they say about a pixel, and a trunk that sees the rest.

The hybrid conditions PixelRNN on evidence: a convolutional trunk sees the occluded image and the mask, thus also the
known pixels below and right of a hole. It adds to the gates of every layer, and it guesses the missing pixels: what
the layers see of earlier pixels, and what they say of the next, is how far these lie from the guess.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from afterimage.observations.holes.smooth import smooth_fill
from afterimage.reconstructors.pixelrnn import likelihoods
from afterimage.reconstructors.pixelrnn.blocks import BLOCKS, Entry
from afterimage.reconstructors.pixelrnn.masked import Along


class Evidence(NamedTuple):
    """What the trunk makes of the known pixels."""

    features: Tensor
    """`[N, width, H, W]`."""
    guess: Tensor
    """Images in [-1, 1], `[N, 3, H, W]`: what the missing pixels would be on average."""


class Trunk(nn.Module):
    """Sees the known pixels and the mask.

    Its guess begins as a smooth fill, so that little is left to learn for plain parts.
    Dilated convolutions at a quarter of the size look across the hole, two skips keep the detail around it.
    """

    DILATIONS = (1, 2, 4)

    def __init__(self, width: int, rounds: int):
        super().__init__()
        self.enter = nn.Conv2d(4, width, 3, padding=1)
        self.down = nn.ModuleList([nn.Conv2d(width, 2 * width, 3, 2, 1), nn.Conv2d(2 * width, 2 * width, 3, 2, 1)])
        self.across = nn.ModuleList(
            nn.Conv2d(2 * width, 2 * width, 3, padding=dilation, dilation=dilation)
            for dilation in self.DILATIONS * rounds
        )
        self.up = nn.ModuleList(
            [nn.Conv2d(2 * width, 2 * width, 3, padding=1), nn.Conv2d(2 * width, width, 3, padding=1)]
        )
        self.last = nn.Conv2d(width, width, 3, padding=1)
        self.correction = nn.Conv2d(width, 3, 1)
        nn.init.zeros_(self.correction.weight)

    def forward(self, images: Tensor, masks: Tensor) -> Evidence:
        known = (1 - masks).to(self.last.weight.dtype)
        fill = smooth_fill(images.to(known.dtype), masks)
        surface = 2 * torch.where(known.amax((2, 3), keepdim=True) > 0, fill, 0.5) - 1  # grey where nothing is known
        levels = [F.relu(self.enter(torch.cat([surface, known], 1)))]
        for layer in self.down:
            levels.append(F.relu(layer(levels[-1])))
        x = levels.pop()
        for layer in self.across:
            x = x + F.relu(layer(x))
        for layer in self.up:
            skip = levels.pop()
            x = skip + F.relu(layer(F.interpolate(x, size=skip.shape[-2:])))
        features = F.relu(self.last(x))
        return Evidence(features, surface + self.correction(features))


class PixelRnn(nn.Module):
    """From images to what is said about each of their pixels, given the earlier ones and, with a trunk, all known.

    Args:
        arch: a key of `BLOCKS`.
        width: channels of the features.
        layers: blocks behind the first convolution.
        kernel: side in px of what a block sees.
        head: channels between the last features and the likelihood's parameters.
        likelihood: what is said about a pixel; its turns decide the masks.
        trunk: channels and rounds of the trunk; None: unconditional.
    """

    def __init__(
        self,
        arch: str,
        width: int,
        layers: int,
        kernel: int,
        head: int,
        residual: bool,
        dropout: float,
        likelihood: likelihoods.Likelihood,
        trunk: tuple[int, int] | None,
    ):
        super().__init__()
        kind = BLOCKS[arch]
        turns = likelihood.turns
        self.likelihood = likelihood
        self.gates = kind.gates * width
        self.entry = Entry(width, turns, split=arch == "gated")
        self.blocks = nn.ModuleList(kind(width, kernel, turns, residual, dropout) for _ in range(layers))
        self.head = Along(width, head, 1, turns)
        self.parameters_of = Along(head, turns * likelihood.size, 1, turns)
        self.trunk = Trunk(*trunk) if trunk else None
        self.condition = nn.Conv2d(trunk[0], layers * self.gates + head, 1) if trunk else None
        with torch.no_grad():
            for layer in self.modules():
                if isinstance(layer, nn.Conv1d | nn.Conv2d) and layer is not self.parameters_of:
                    layer.weight *= 3**0.5  # as PyTorch draws them, each layer would keep a third of the variance
            assert self.parameters_of.bias is not None
            likelihood.begin(self.parameters_of.bias)

    def evidence(self, images: Tensor, masks: Tensor) -> Evidence | None:
        """What the trunk sees; None without a trunk.

        Args:
            images: `[N, 3, H, W]` in [0, 1]; missing pixels may hold anything.
            masks: float `[N, 1, H, W]`, 1 = missing.
        """
        return None if self.trunk is None else self.trunk(images, masks)

    def forward(self, images: Tensor, evidence: Evidence | None) -> Tensor:
        """Parameters of the likelihood of each pixel, `[N, turns * size, H, W]`."""
        pixels = 2 * images - 1
        stacks = self.entry(pixels if evidence is None else pixels - evidence.guess)
        *parts, last = self._parts(evidence)
        for block, part in zip(self.blocks, parts, strict=True):
            stacks = block(stacks, part)
        features = self.head(F.relu(stacks.row))
        parameters = self.parameters_of(F.relu(features if last is None else features + last))
        return parameters if evidence is None else self.likelihood.around(parameters, evidence.guess)

    def _parts(self, evidence: Evidence | None) -> list[Tensor | None]:
        """What is added to the gates of each block, and to the head."""
        if evidence is None or self.condition is None:
            return [None] * (len(self.blocks) + 1)
        said = self.condition(evidence.features.to(self.condition.weight.dtype))
        return list(said.split([self.gates] * len(self.blocks) + [self.head.out_channels], 1))
