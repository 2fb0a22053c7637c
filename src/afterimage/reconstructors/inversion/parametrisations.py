"""Ways to write images as the numbers that an optimiser changes: `[N, D]` values, a row an image.

Where gradient descent ends, when many images have nearly the same features, follows from what the values mean:

- `pixel`: each value is a pixel;
- `fourier`: each value is the amplitude of a wave, scaled by the spectrum of photographs and mixed into colours that
  do not correlate (Olah, Mordvintsev and Schubert, "Feature Visualization", Distill 2017; the code is lucid's);
- `deep_image_prior`: the values are the weights of an untrained network that draws the image (Ulyanov, Vedaldi and
  Lempitsky, "Deep Image Prior", CVPR 2018).
"""

import abc
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from afterimage.core.compute import sqrt

Range = Literal["sigmoid", "projection"]
Generators = Sequence[np.random.Generator]

NOISE = 0.1
"""Spread of the random start, where photographs have about 1."""
CONTRASTS, COLOURFUL = (0.3, 1.5), 0.3
"""Of drawn photographs, in the units of a sigmoid's input: the range of the waves' spread, and how far the mean colour
is from grey where its brightness has a spread of 1."""
EDGE = 1e-2
"""A start nearer to black or white than this is moved here, because a sigmoid has no slope there."""
COLOURS = (
    (0.26, 0.09, 0.02),
    (0.27, 0.00, -0.05),
    (0.27, -0.09, 0.03),
)
"""lucid's square root of the covariance of RGB in ImageNet: uncorrelated colours to RGB."""


class Parametrisation(abc.ABC):
    """Images of one size as rows of values.

    Args:
        size: (H, W).
        bounded: how images keep to [0, 1]. `sigmoid`: by a squashing function, at every step; `projection`: what
            leaves the range is put back onto its end after each step.
    """

    def __init__(self, size: tuple[int, int], bounded: Range):
        self.size, self.bounded = size, bounded

    @abc.abstractmethod
    def random(self, generators: Generators) -> Tensor:
        """Values `[N, D]` to start from, a row from each generator."""

    @abc.abstractmethod
    def of(self, images: Tensor, generators: Generators) -> Tensor:
        """Values that give these images `[N, 3, H, W]`."""

    @abc.abstractmethod
    def images(self, values: Tensor) -> Tensor:
        """Images `[N, 3, H, W]` of values `[N, D]`."""

    def project(self, values: Tensor) -> Tensor:
        """Values of images that are within [0, 1]."""
        return values

    def _squash(self, plain: Tensor) -> Tensor:
        return torch.sigmoid(plain) if self.bounded == "sigmoid" else plain + 0.5

    def _unsquash(self, images: Tensor) -> Tensor:
        return torch.logit(images.clamp(EDGE, 1 - EDGE)) if self.bounded == "sigmoid" else images - 0.5


class Pixel(Parametrisation):
    """Each value is a pixel."""

    def random(self, generators: Generators) -> Tensor:
        return NOISE * _normal(generators, 3 * math.prod(self.size))

    def of(self, images: Tensor, generators: Generators) -> Tensor:
        return self._unsquash(images).flatten(1)

    def images(self, values: Tensor) -> Tensor:
        return self._squash(values.view(-1, 3, *self.size))

    def project(self, values: Tensor) -> Tensor:
        return values if self.bounded == "sigmoid" else values.clamp(-0.5, 0.5)


class Fourier(Parametrisation):
    """Each value is the real or imaginary part of a wave's amplitude.

    With values from a normal distribution the image has the spectrum of photographs, 1 / frequency, and spread 1 in
    the units of a sigmoid's input. One step of the same size for all values changes a coarse wave much and a fine
    one little, which keeps out the fine patterns that fool a network.
    """

    def __init__(self, size: tuple[int, int], bounded: Range):
        super().__init__(size, bounded)
        height, width = size
        down = torch.fft.fftfreq(height)[:, None]
        across = torch.fft.rfftfreq(width)[None]
        scale = 1 / sqrt(down**2 + across**2).clamp_min(1 / max(size))
        twice = torch.full_like(scale, 2.0)  # a real image's half spectrum counts twice, but for what mirrors itself
        twice[:, 0] = 1
        if width % 2 == 0:
            twice[:, -1] = 1
        self.scale = scale / sqrt((2 * twice * scale**2).sum() / (height * width))
        colours = torch.tensor(COLOURS)
        self.colours = colours / torch.linalg.matrix_norm(colours) * math.sqrt(3)

    def random(self, generators: Generators) -> Tensor:
        return NOISE * _normal(generators, 6 * self.scale.numel())

    def photographs(self, generators: Generators) -> Tensor:
        """Images with the spectrum of photographs, and with contrasts and mean colours as theirs vary, a
        generator each."""
        plain = self._plain(_normal(generators, 6 * self.scale.numel()))
        contrasts = [one.uniform(*CONTRASTS) for one in generators]
        means = [one.normal(0, 1) + one.normal(0, COLOURFUL, 3) for one in generators]
        plain = plain * torch.tensor(contrasts, dtype=torch.float32).view(-1, 1, 1, 1)
        return self._squash(plain + torch.tensor(np.array(means), dtype=torch.float32)[:, :, None, None])

    def of(self, images: Tensor, generators: Generators) -> Tensor:
        return self._values(self._unsquash(images))

    def images(self, values: Tensor) -> Tensor:
        return self._squash(self._plain(values))

    def project(self, values: Tensor) -> Tensor:
        return values if self.bounded == "sigmoid" else self._values(self._plain(values).clamp(-0.5, 0.5))

    def _plain(self, values: Tensor) -> Tensor:
        parts = values.view(-1, 3, *self.scale.shape, 2) * self.scale.to(values.device)[..., None]
        waves = torch.fft.irfft2(torch.view_as_complex(parts), s=self.size, norm="ortho")
        return torch.einsum("rc,nchw->nrhw", self.colours.to(values.device), waves)

    def _values(self, plain: Tensor) -> Tensor:
        waves = torch.einsum("cr,nrhw->nchw", torch.linalg.inv(self.colours).to(plain.device), plain)
        parts = torch.view_as_real(torch.fft.rfft2(waves, norm="ortho"))
        return (parts / self.scale.to(plain.device)[..., None]).flatten(1)


class DeepImagePrior(Parametrisation):
    """The values are the weights of an untrained network, one network an image.

    The network is the hourglass of the paper made small: noise goes down to an eighth of the size and up again, with
    a narrow connection across at each size. A start of its own is drawn as a change to that start, at first none.
    """

    CHANNELS, ACROSS, INPUT, LEVELS = 24, 4, 16, 3

    def __init__(self, size: tuple[int, int], bounded: Range):
        super().__init__(size, bounded)
        wide, narrow = self.CHANNELS, self.ACROSS
        self.shapes: dict[str, tuple[int, ...]] = {}
        for level in range(self.LEVELS):
            inside = wide if level else self.INPUT
            self.shapes[f"across{level}"] = (narrow, inside, 1, 1)
            self.shapes[f"down{level}"] = (wide, inside, 3, 3)
        for level in reversed(range(self.LEVELS)):
            self.shapes[f"up{level}"] = (wide, wide + narrow, 3, 3)
        self.shapes["last"] = (3, wide, 1, 1)
        self.noise = self.base = torch.zeros(0)

    def random(self, generators: Generators) -> Tensor:
        self.noise = _normal(generators, self.INPUT * math.prod(self.size)).view(-1, self.INPUT, *self.size)
        self.base = torch.zeros(len(self.noise), 3, *self.size)
        parts = [
            _normal(generators, math.prod(shape)) * math.sqrt(2 / math.prod(shape[1:]))
            for shape in self.shapes.values()
        ]
        return torch.cat(parts, dim=1)

    def of(self, images: Tensor, generators: Generators) -> Tensor:
        values = self.random(generators).to(images.device)
        self.base = self._unsquash(images)
        values[:, -math.prod(self.shapes["last"]) :] = 0
        return values

    def images(self, values: Tensor) -> Tensor:
        count = len(values)
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        weights = {
            name: part.reshape(count, *shape)
            for (name, shape), part in zip(self.shapes.items(), values.split(sizes, dim=1), strict=True)
        }
        x = self.noise.to(values.device)
        across = []
        for level in range(self.LEVELS):
            across.append(F.leaky_relu(_normed(_conv(x, weights[f"across{level}"])), 0.2))
            x = F.leaky_relu(_normed(_conv(x, weights[f"down{level}"], stride=2)), 0.2)
        for level in reversed(range(self.LEVELS)):
            x = F.interpolate(x, size=across[level].shape[-2:], mode="bilinear", align_corners=False)
            x = torch.cat([x, across[level]], dim=1)
            x = F.leaky_relu(_normed(_conv(x, weights[f"up{level}"])), 0.2)
        return self._squash(self.base.to(values.device) + _conv(x, weights["last"]))


PARAMETRISATIONS: dict[str, type[Parametrisation]] = {
    "pixel": Pixel,
    "fourier": Fourier,
    "deep_image_prior": DeepImagePrior,
}


def _conv(images: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    """A convolution of images `[N, C, h, w]` with a weight `[N, O, C, k, k]` each."""
    count, outside, inside, side, _ = weight.shape
    joined = images.reshape(1, count * inside, *images.shape[-2:])
    found = F.conv2d(joined, weight.reshape(-1, inside, side, side), stride=stride, padding=side // 2, groups=count)
    return found.view(count, outside, *found.shape[-2:])


def _normed(images: Tensor) -> Tensor:
    # Not F.instance_norm, which refuses a single position: a small image's coarsest level has no more
    centred = images - images.mean((2, 3), keepdim=True)
    return centred / sqrt(centred.square().mean((2, 3), keepdim=True) + 1e-5)


def _normal(generators: Generators, count: int) -> Tensor:
    return torch.from_numpy(np.stack([one.standard_normal(count, dtype=np.float32) for one in generators]))
