"""What a network says about a pixel: a distribution over its 256 levels a channel.

`nll` is for training and bits/dim, on whole maps in PyTorch; `draw` is for sampling, on one pixel of a batch in
NumPy. Parameters of a turn lie together: `[N, turns * size, H, W]`.
"""

import abc
import math

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = 256
HALF = 1 / (LEVELS - 1)
"""Half the distance of two levels in [-1, 1]."""
LOWEST = -7.0
"""Bound of the logarithm of a scale: below a third of a level nothing changes."""

Floats = npt.NDArray[np.float64]


class Likelihood(nn.Module, abc.ABC):
    """A distribution over the levels of a pixel."""

    turns: int
    """Three: R, G and B one after the other, each from features that know the ones before. One: all at once."""
    size: int
    """Parameters a turn."""

    @abc.abstractmethod
    def nll(self, parameters: Tensor, levels: Tensor) -> Tensor:
        """Negative log-likelihood in nats of a pixel's three channels, `[N, H, W]`.

        Args:
            parameters: `[N, turns * size, H, W]`.
            levels: 8-bit values as integers, `[N, 3, H, W]`.
        """

    def loss(self, parameters: Tensor, levels: Tensor) -> Tensor:
        """What training makes small, `[N, H, W]`."""
        return self.nll(parameters, levels)

    def around(self, parameters: Tensor, guess: Tensor) -> Tensor:
        """The parameters, means counted from a guess `[N, 3, H, W]` in [-1, 1]; classes have no mean.

        The same for NumPy is `parameters + lean(guess)`.
        """
        return parameters

    def lean(self, guess: Floats) -> Floats:
        """What `around` adds for guesses `[.., 3]`: `[.., turns * size]`."""
        return np.zeros((*guess.shape[:-1], self.turns * self.size))

    def begin(self, bias: Tensor) -> None:
        """Set the bias of the last layer, `[turns * size]`, to what training had better begin with."""

    @abc.abstractmethod
    def draw(self, parameters: Floats, turn: int, noise: Floats, temperature: float) -> Floats:
        """Levels of the channels of a turn, `[N, 3 / turns]`.

        Args:
            parameters: of this turn, `[N, size]`.
            noise: uniform in [0, 1), `[N, 3, 2]`: two numbers a channel.
            temperature: 1 draws from the distribution, less keeps closer to its peaks; 0 takes the peak.
        """


class Softmax(Likelihood):
    """One of 256 classes a channel (van den Oord et al., ICML 2016, section 2.3)."""

    turns, size = 3, LEVELS

    def nll(self, parameters: Tensor, levels: Tensor) -> Tensor:
        logits = parameters.unflatten(1, (3, LEVELS)).transpose(1, 2)
        return F.cross_entropy(logits, levels, reduction="none").sum(1)

    def draw(self, parameters: Floats, turn: int, noise: Floats, temperature: float) -> Floats:
        return pick(parameters, noise[:, turn, 0], temperature)[:, None].astype(np.float64)


class Logistics(Likelihood):
    """A mixture of discretised logistics (Salimans et al., "PixelCNN++", ICLR 2017, sections 2.1 and 2.2).

    All channels share the choice of the component; the mean of G leans on R, that of B on both, linearly: on how far
    the true level lies from its own mean, which says the same as the paper's term in the level and learns faster.
    """

    turns = 1

    def __init__(self, components: int):
        super().__init__()
        self.components = components
        self.size = 10 * components

    def begin(self, bias: Tensor) -> None:
        # Humps of some levels, side by side; channels that lean on each other, as in nearly every photograph
        rows = bias.view(10, self.components)
        rows[1:4] = torch.linspace(-0.3, 0.3, self.components)
        rows[4:7] = -1.5
        rows[7] = rows[9] = 1.0

    def around(self, parameters: Tensor, guess: Tensor) -> Tensor:
        weights, means, rest = parameters.split([self.components, 3 * self.components, 6 * self.components], 1)
        return torch.cat([weights, means + guess.repeat_interleave(self.components, 1), rest], 1)

    def lean(self, guess: Floats) -> Floats:
        found = np.zeros((*guess.shape[:-1], self.size))
        found[..., self.components : 4 * self.components] = guess.repeat(self.components, -1)
        return found

    def nll(self, parameters: Tensor, levels: Tensor) -> Tensor:
        weights, means, scales, leans = parameters.unflatten(1, (10, self.components)).split([1, 3, 3, 3], 1)
        x = (levels.to(parameters.dtype) * (2 * HALF) - 1)[:, :, None]  # [N, 3, 1, H, W]
        leans = torch.tanh(leans)
        red, green, blue = (x - means).unbind(1)
        blue = blue - leans[:, 1] * red - leans[:, 2] * green
        green = green - leans[:, 0] * red
        distance = torch.stack([red, green, blue], 1)
        scales = scales.clamp_min(LOWEST)
        inverse = torch.exp(-scales)
        upper, lower = (distance + HALF) * inverse, (distance - HALF) * inverse
        width = torch.sigmoid(upper) - torch.sigmoid(lower)
        middle = distance * inverse
        # Where a level holds next to nothing its density is as good, and does not lose its gradient
        density = middle - scales - 2 * F.softplus(middle) + math.log(2 * HALF)
        inner = torch.where(width > 1e-5, torch.log(width.clamp_min(1e-10)), density)
        edged = torch.where(x > 1 - HALF, -F.softplus(lower), inner)
        edged = torch.where(x < HALF - 1, upper - F.softplus(upper), edged)
        joint = edged.sum(1) + F.log_softmax(weights[:, 0], 1)
        return -torch.logsumexp(joint, 1)

    def draw(self, parameters: Floats, turn: int, noise: Floats, temperature: float) -> Floats:
        grid = parameters.reshape(-1, 10, self.components)
        component = pick(grid[:, 0], noise[:, 0, 0], temperature)
        chosen = grid[np.arange(len(grid)), :, component]
        scales = temperature * np.exp(np.maximum(chosen[:, 4:7], LOWEST))
        spread = scales * (np.log(noise[:, :, 1] + 1e-12) - np.log1p(-noise[:, :, 1]))
        leans = np.tanh(chosen[:, 7:])
        means = chosen[:, 1:4]
        red = to_level(means[:, 0] + spread[:, 0])
        off_red = red * (2 * HALF) - 1 - means[:, 0]
        green = to_level(means[:, 1] + leans[:, 0] * off_red + spread[:, 1])
        off_green = green * (2 * HALF) - 1 - means[:, 1]
        blue = to_level(means[:, 2] + leans[:, 1] * off_red + leans[:, 2] * off_green + spread[:, 2])
        return np.stack([red, green, blue], 1)


class SquaredError(Likelihood):
    """A mean a channel, fitted by squared error; the seed's choice, and the same as a Gaussian of fixed width.

    The width, one a channel, is fitted to the error that remains, so that bits/dim and samples can be had. It does
    not pull on the mean.
    """

    turns, size = 3, 1

    def __init__(self) -> None:
        super().__init__()
        self.log_width = nn.Parameter(torch.full((3, 1, 1), -1.0))

    def around(self, parameters: Tensor, guess: Tensor) -> Tensor:
        return parameters + guess

    def lean(self, guess: Floats) -> Floats:
        return guess

    def nll(self, parameters: Tensor, levels: Tensor) -> Tensor:
        distance = levels.to(parameters.dtype) * (2 * HALF) - 1 - parameters
        scale = torch.exp(-self.log_width) / math.sqrt(2)
        upper, lower = torch.erf((distance + HALF) * scale), torch.erf((distance - HALF) * scale)
        upper = torch.where(levels == LEVELS - 1, torch.ones_like(upper), upper)
        lower = torch.where(levels == 0, -torch.ones_like(lower), lower)
        return -torch.log((0.5 * (upper - lower)).clamp_min(1e-12)).sum(1)

    def loss(self, parameters: Tensor, levels: Tensor) -> Tensor:
        error = (levels.to(parameters.dtype) * (2 * HALF) - 1 - parameters).square()
        width = self.log_width + 0.5 * error.detach() * torch.exp(-2 * self.log_width)
        return (error + width).sum(1)

    def draw(self, parameters: Floats, turn: int, noise: Floats, temperature: float) -> Floats:
        first, second = noise[:, turn].T
        normal = np.sqrt(-2 * np.log1p(-first)) * np.cos(2 * np.pi * second)  # Box and Muller, 1958
        width = float(torch.exp(self.log_width.detach()[turn]))
        return to_level(parameters[:, 0] + temperature * width * normal)[:, None]


def make(name: str, components: int | None) -> Likelihood:
    """The likelihood of a row: `softmax`, `logistics` (of so many components) or `mse`."""
    if name == "logistics":
        assert components is not None
        return Logistics(components)
    return Softmax() if name == "softmax" else SquaredError()


def pick(logits: Floats, noise: Floats, temperature: float) -> npt.NDArray[np.int64]:
    """One class a line of `[N, K]`, by where the noise falls in the cumulative distribution."""
    if temperature == 0:
        return logits.argmax(1)
    powers = np.exp((logits - logits.max(1, keepdims=True)) / temperature)
    bounds = powers.cumsum(1)
    return np.minimum((bounds <= noise[:, None] * bounds[:, -1:]).sum(1), logits.shape[1] - 1)


def to_level(values: Floats) -> Floats:
    """The nearest level of values in [-1, 1]; others go to the ends."""
    return np.clip(np.rint((values + 1) * (0.5 / HALF)), 0, LEVELS - 1)
