"""Convolutions that look only at what comes earlier.

Pixels come row by row, from the left. Within a pixel the channels R, G, B come in `turns`: three, one a channel, as in
van den Oord et al., "Pixel Recurrent Neural Networks" (ICML 2016), section 3; or one, where the likelihood takes a
pixel as a whole. Feature channels belong to turns in equal, contiguous parts: the first third to R and so on.

A masked convolution of k x k px is the sum of `Above` and `Along`, whose kernels hold no weights that a mask would
blank but those of the centre.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def turn_of(channels: int, turns: int) -> Tensor:
    """The turn that each channel belongs to, `[channels]`."""
    return torch.arange(channels) * turns // channels


class Above(nn.Conv2d):
    """Sees rows above: the `kernel // 2` next ones, `kernel` px wide; and the row itself with `row=True`.

    Rows above are earlier with all their channels, so nothing is masked. `row=True` is for features that hold only
    rows above already.
    """

    def __init__(self, inside: int, outside: int, kernel: int, row: bool = False, bias: bool = True):
        reach = kernel // 2
        super().__init__(inside, outside, (reach + row, kernel), padding=(reach, reach), bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[..., : x.shape[-2], :]


class Along(nn.Conv2d):
    """Sees the row: `kernel // 2` px on the left, and the pixel itself as far as its turns allow.

    Args:
        turns: how many turns a pixel's channels come in.
        first: mask A, for the first layer: a turn sees the turns before it. Else mask B: and itself too, because
            features of a turn hold only what that turn may see.
        gates: the output holds so many maps of `outside / gates` channels, each with all turns.
    """

    mask: Tensor

    def __init__(self, inside: int, outside: int, kernel: int, turns: int, first: bool = False, gates: int = 1):
        reach = kernel // 2
        super().__init__(inside, outside, (1, reach + 1), padding=(0, reach))
        seen = turn_of(inside, turns)[None, :]
        seeing = turn_of(outside // gates, turns).repeat(gates)[:, None]
        mask = torch.ones_like(self.weight)
        mask[..., -1] = ((seen < seeing) if first else (seen <= seeing))[..., None]
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.mask
        return F.conv2d(x, weight, self.bias, padding=self.padding)[..., : x.shape[-1]]
