"""Natural-image priors: a number an image that is small for what photographs look like.

Total variation and alpha-norm are those of Mahendran and Vedaldi, "Understanding Deep Image Representations by
Inverting Them" (CVPR 2015), section 2.2, as means instead of sums, so that a weight means the same at every size.
"""

from pydantic import Field
from torch import Tensor

from afterimage.core.params import Row

SMOOTH = 1e-8
"""Added to the squared gradient: below exponent 2, the power has no slope at zero."""


class TotalVariationRow(Row):
    """Piecewise smooth images."""

    weight: float = Field(ge=0)
    exponent: float = Field(gt=0)
    """Of the gradient's length: 1 is total variation proper, 2 prefers ramps to edges."""


class AlphaNormRow(Row):
    """Images that keep away from the ends of the range."""

    weight: float = Field(ge=0)
    alpha: float = Field(ge=1)
    """The power; 6 in the paper, which is flat in the middle and steep at the ends."""


class GaussianRow(Row):
    """Values of the parametrisation that are drawn from a normal distribution.

    Of waves (`fourier`) it is the spectrum of photographs; of pixels it prefers grey; of the weights of a network it
    is weight decay.
    """

    weight: float = Field(ge=0)


class PriorsRow(Row):
    """The `priors` of a row. A weight is the price of the prior beside the relative feature error."""

    total_variation: TotalVariationRow
    alpha_norm: AlphaNormRow
    gaussian: GaussianRow

    def __call__(self, images: Tensor, values: Tensor) -> Tensor:
        """The weighted sum of the priors, `[N]`, of images `[N, 3, H, W]` in [0, 1] and their values `[N, D]`."""
        total = images.new_zeros(len(images))
        if self.total_variation.weight:
            total = total + self.total_variation.weight * total_variation(images, self.total_variation.exponent)
        if self.alpha_norm.weight:
            total = total + self.alpha_norm.weight * alpha_norm(images, self.alpha_norm.alpha)
        if self.gaussian.weight:
            total = total + self.gaussian.weight * values.square().mean(1)
        return total


def total_variation(images: Tensor, exponent: float) -> Tensor:
    """The mean of `(dx^2 + dy^2)^(exponent / 2)` over pixels and channels, `[N]`.

    dx and dy are differences of neighbours, on the scale where white is 1; the last row and column have none.
    """
    corner = images[..., :-1, :-1]
    squares = (images[..., :-1, 1:] - corner).square() + (images[..., 1:, :-1] - corner).square()
    if exponent != 2:
        squares = (squares + SMOOTH) ** (exponent / 2)
    return squares.flatten(1).mean(1)


def alpha_norm(images: Tensor, alpha: float) -> Tensor:
    """The mean of `|2 x - 1|^alpha` over pixels and channels, `[N]`: 0 for middle grey, 1 for black and white."""
    return (2 * images - 1).abs().pow(alpha).flatten(1).mean(1)
