"""Networks that decode: from the features of one or more layers back to the image.

`light` is a stack of transposed convolutions with batch norm and ReLU; `upconv` is the up-convolution network of
Dosovitskiy and Brox, "Inverting Visual Representations with Convolutional Networks" (CVPR 2016), section 3. Both
take several layers at once: the coarsest starts, and each finer one joins where the picture has grown to its size.
Either can stand on a linear answer, which is fitted before training, and learn only what that leaves.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from afterimage.observations.features.linear import Linear, Whitening, halvings, resized
from afterimage.training.processes import BatchNorm2d

WIDEST = 128
FITTED_POSITIONS = 1 << 17
"""From which the linear answer is taken."""


class Tap(NamedTuple):
    """A layer that a decoder reads, and the shape of its features."""

    layer: str
    shape: tuple[int, int, int]


def taps(given: Sequence[Mapping[str, Any]]) -> list[Tap]:
    """The layers that observations are of, by the index of each."""
    return [Tap(index["layer"], tuple(index["shape"])) for index in given]


class Decoder(nn.Module):
    """From features to images in [0, 1].

    Args:
        taps: the layers and the shapes `(C, h, w)` of their features for training images.
        size: side of a training image in px.
        linear: whether it stands on the linear answer of the finest layer; else a sigmoid ends it.
    """

    def __init__(self, arch: str, width: int, taps: Sequence[Tap], size: int, linear: bool):
        super().__init__()
        self.order = sorted(range(len(taps)), key=lambda place: taps[place].shape[1])  # coarsest first
        self.whitenings = nn.ModuleList(Whitening(tap.shape[0]) for tap in taps)
        levels = [halvings(size, tap.shape[1]) for tap in taps]
        start = levels[self.order[0]]

        def channels(level: int) -> int:
            return min(width * 2**level, WIDEST)

        grow = _light_grow if arch == "light" else _upconv_grow
        stay = _light_stay if arch == "light" else _upconv_stay
        self.entries = nn.ModuleDict()
        self.ups = nn.ModuleDict()
        carried = 0
        self.joins: dict[int, list[int]] = {}
        for level in range(start, -1, -1):
            joined = [place for place in self.order if levels[place] == level]
            self.joins[level] = joined
            carried += sum(taps[place].shape[0] for place in joined)
            # `light` goes straight up from the features, as the original does; it stays only where it cannot go up
            if joined and (arch == "upconv" or level == 0):
                self.entries[str(level)] = stay(carried, channels(level))
                carried = channels(level)
            if level:
                self.ups[str(level)] = grow(carried, channels(level - 1))
                carried = channels(level - 1)
        self.last = nn.Conv2d(carried, 3, 3, padding=1)
        self.start = start
        self.linear: Linear | None = None
        if linear:
            finest = self.order[-1]
            self.linear = Linear(taps[finest].shape[0], 2 ** levels[finest])
            nn.init.zeros_(self.last.weight)  # nothing to add to the linear answer, at first
            nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, features: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Images `[N, 3, H, W]` of `size` (H, W) from features `[N, C, h, w]` in the order of the taps."""
        x: Tensor | None = None
        white: Tensor | None = None
        for level in range(self.start, -1, -1):
            for place in self.joins[level]:
                white = self.whitenings[place](features[place]).contiguous(memory_format=torch.channels_last)
                if x is not None and x.shape[-2:] != white.shape[-2:]:  # sides that no power of two divides
                    x = F.interpolate(x, size=white.shape[-2:], mode="bilinear", align_corners=False)
                x = white if x is None else torch.cat([x, white], dim=1)
            if str(level) in self.entries:
                x = self.entries[str(level)](x)
            if str(level) in self.ups:
                x = self.ups[str(level)](x)
        assert x is not None
        assert white is not None
        image = resized(self.last(x), size).float()
        if self.linear is None:
            return torch.sigmoid(image)
        image = image + resized(self.linear(white), size).float()
        # Beyond black and white nothing would pull a pixel back while it trains
        return image if self.training else image.clamp(0, 1)


def _light_grow(inside: int, outside: int) -> nn.Module:
    return nn.Sequential(nn.ConvTranspose2d(inside, outside, 4, 2, 1, bias=False), BatchNorm2d(outside), nn.ReLU())


def _light_stay(inside: int, outside: int) -> nn.Module:
    return nn.Sequential(nn.ConvTranspose2d(inside, outside, 3, 1, 1, bias=False), BatchNorm2d(outside), nn.ReLU())


def _upconv_grow(inside: int, outside: int) -> nn.Module:
    # Unpooling with zeros and a 5 x 5 convolution, as in the paper, is one transposed convolution of stride 2
    return nn.Sequential(nn.ConvTranspose2d(inside, outside, 5, 2, 2, output_padding=1), nn.LeakyReLU(0.2))


def _upconv_stay(inside: int, outside: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inside, outside, 3, padding=1), nn.LeakyReLU(0.2))
