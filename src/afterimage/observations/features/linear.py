"""What can be read from features by linear maps: fixed ones, fitted in closed form."""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from afterimage.core.compute import sqrt

EIGENVALUE_FLOOR = 1e-5
"""Of the largest: what varies less than this drowns in the rounding of float16 features."""
RIDGE = 1e-3
"""What keeps the linear answer small, as a share of the variance of whitened features, which is 1."""
MOST_NUMBERS = 1200
"""Numbers around a position that the linear answer reads: more take longer to fit than training takes."""


class Whitening(nn.Module):
    """A fixed linear map that makes feature channels uncorrelated and of unit variance (PCA whitening).

    Deep features of an untrained network vary almost only along a few directions; the picture's detail is in the
    others, where gradient descent would find it a thousand times more slowly.
    """

    mean: Tensor
    matrix: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("matrix", torch.eye(channels).view(channels, channels, 1, 1))

    def fit(self, batches: Iterator[Tensor]) -> None:
        """Take mean and covariance from batches of features `[N, C, h, w]`."""
        channels = self.mean.shape[1]
        count, total = 0, torch.zeros(channels, dtype=torch.float64)
        products = torch.zeros(channels, channels, dtype=torch.float64)
        for batch in batches:
            vectors = batch.float().movedim(1, -1).reshape(-1, channels)
            count += len(vectors)
            total += vectors.double().sum(0)
            products += (vectors.T @ vectors).double()
        mean = total / count
        values, vectors = torch.linalg.eigh(products / count - torch.outer(mean, mean))
        floor = max(float(values[-1]) * EIGENVALUE_FLOOR, 1e-12)
        matrix = (vectors / sqrt(values.clamp_min(floor))).flip(1).T
        self.mean.copy_(mean.view_as(self.mean))
        self.matrix.copy_(matrix.reshape(self.matrix.shape))

    def forward(self, features: Tensor) -> Tensor:
        return F.conv2d(features.float() - self.mean, self.matrix)


class Linear(nn.Module):
    """The linear answer: from the whitened features around a position to the pixels that it stands for, as least
    squares have it (ridge regression). What a decoder is worth beyond that is what it learns.

    A position that answers alone, since those around it would be too many numbers, answers for a window of twice its
    own square, and windows fade into each other: side by side, squares of pixels would show.

    Args:
        channels: of the features.
        scale: side of a position's square in px, a power of two.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, channels: int, scale: int):
        super().__init__()
        self.kernel = 3 if 9 * channels <= MOST_NUMBERS else 1
        self.scale = scale
        self.window = 2 * scale if self.kernel == 1 < scale else scale
        self.register_buffer("weight", torch.zeros(3 * self.window**2, channels, self.kernel, self.kernel))
        self.register_buffer("bias", torch.zeros(3 * self.window**2))

    def fit(self, batches: Iterator[tuple[Tensor, Tensor]], every: int) -> None:
        """Take the answer from batches of whitened features `[N, C, h, w]` and images `[N, 3, H, W]`.

        Args:
            every: of so many positions one is taken.
        """
        inside, outside = self.weight[0].numel() + 1, len(self.bias)
        products = torch.zeros(inside, inside, dtype=torch.float64)
        answers = torch.zeros(inside, outside, dtype=torch.float64)
        for features, image in batches:
            sides = [self.scale * side for side in features.shape[-2:]]
            margin = (self.window - self.scale) // 2
            image = F.pad(resized(image, (sides[0], sides[1])), [margin] * 4, mode="replicate")
            answer = F.unfold(image, self.window, stride=self.scale)
            around = _rows(F.unfold(features, self.kernel, padding=self.kernel // 2))[::every]
            around = torch.cat([around, torch.ones(len(around), 1)], dim=1)
            products += (around.T @ around).double()
            answers += (around.T @ _rows(answer)[::every]).double()
        penalty = torch.full((inside,), RIDGE * float(products[-1, -1]), dtype=torch.float64)
        penalty[-1] = 0.0
        found = torch.linalg.solve(products + torch.diag(penalty), answers).float()
        self.weight.copy_(found[:-1].T.reshape(self.weight.shape))
        self.bias.copy_(found[-1])

    def forward(self, white: Tensor) -> Tensor:
        windows = F.conv2d(white, self.weight, self.bias, padding=self.kernel // 2)
        if self.window == self.scale:
            return F.pixel_shuffle(windows, self.scale)
        fade = 1 - (torch.arange(self.window, device=white.device) + 0.5 - self.scale).abs() / self.scale
        shares = torch.outer(fade, fade).flatten().repeat(3)[:, None]
        down, across = (self.scale * (side + 1) for side in white.shape[-2:])
        parts = windows.flatten(2) * shares, shares.expand_as(windows[:1].flatten(2))
        sums, weights = (F.fold(part, (down, across), self.window, stride=self.scale) for part in parts)
        margin = self.scale // 2
        return (sums / weights)[..., margin : down - margin, margin : across - margin]


def halvings(size: int, side: int) -> int:
    """How often the side of an image is halved to that of its features, to the nearest whole number."""
    return max(0, round(math.log2(size / side)))


def resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Images at a size (H, W)."""
    if image.shape[-2:] == size:
        return image
    return F.interpolate(image, size=size, mode="bilinear", align_corners=False)


def _rows(values: Tensor) -> Tensor:
    """Vectors `[N, C, positions]` as rows `[N * positions, C]`."""
    return values.transpose(1, 2).flatten(0, 1)
