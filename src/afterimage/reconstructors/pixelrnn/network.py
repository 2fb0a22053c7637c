"""A network of `completers`: layers that keep the order, what they say about a pixel, and a trunk that sees the rest.

The hybrid conditions PixelRNN on evidence: a convolutional trunk sees the occluded image and the mask, thus also the
known pixels below and right of a hole, and adds to the gates of every layer.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from afterimage.reconstructors.pixelrnn import likelihoods
from afterimage.reconstructors.pixelrnn.blocks import BLOCKS, Entry
from afterimage.reconstructors.pixelrnn.masked import Along


class Trunk(nn.Module):
    """Sees the known pixels and the mask; gives features `[N, width, H, W]`.

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

    def forward(self, images: Tensor, masks: Tensor) -> Tensor:
        known = ((2 * images - 1) * (1 - masks)).to(self.last.weight.dtype)
        levels = [F.relu(self.enter(torch.cat([known, masks.to(known.dtype)], 1)))]
        for layer in self.down:
            levels.append(F.relu(layer(levels[-1])))
        x = levels.pop()
        for layer in self.across:
            x = x + F.relu(layer(x))
        for layer in self.up:
            skip = levels.pop()
            x = skip + F.relu(layer(F.interpolate(x, size=skip.shape[-2:])))
        return F.relu(self.last(x))


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

    def context(self, images: Tensor, masks: Tensor) -> Tensor | None:
        """What the trunk says to all layers: `[N, layers * gates + head, H, W]`; None without a trunk.

        Args:
            images: `[N, 3, H, W]` in [0, 1]; missing pixels may hold anything.
            masks: float `[N, 1, H, W]`, 1 = missing.
        """
        if self.trunk is None or self.condition is None:
            return None
        return self.condition(self.trunk(images, masks).to(self.condition.weight.dtype))

    def forward(self, images: Tensor, context: Tensor | None) -> Tensor:
        """Parameters of the likelihood of each pixel, `[N, turns * size, H, W]`."""
        stacks = self.entry(2 * images - 1)
        *parts, last = self.parts(context)
        for block, part in zip(self.blocks, parts, strict=True):
            stacks = block(stacks, part)
        features = self.head(F.relu(stacks.row))
        return self.parameters_of(F.relu(features if last is None else features + last))

    def parts(self, context: Tensor | None) -> list[Tensor | None]:
        """The context of each block, and of the head."""
        if context is None:
            return [None] * (len(self.blocks) + 1)
        head = context.shape[1] - len(self.blocks) * self.gates
        return list(context.split([self.gates] * len(self.blocks) + [head], 1))
