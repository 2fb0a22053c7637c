"""Whitening and the linear answer."""

import torch
import torch.nn.functional as F
from torch import Tensor

from afterimage.observations.features.linear import Linear, Whitening, halvings


def test_whitening_makes_channels_uncorrelated() -> None:
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(5, 5, generator=generator, dtype=torch.float32)
    values = torch.einsum("ij,njhw->nihw", mix, torch.randn(64, 5, 8, 8, generator=generator)) + 3
    whitening = Whitening(5)
    whitening.fit(iter(values.split(10)))
    white = whitening(values).movedim(1, -1).reshape(-1, 5)
    torch.testing.assert_close(torch.cov(white.T), torch.eye(5), atol=1e-3, rtol=0)
    torch.testing.assert_close(white.mean(0), torch.zeros(5), atol=1e-3, rtol=0)


def test_an_answer_from_neighbours_that_do_not_tell_is_the_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    images, features = torch.rand(24, 3, 16, 16, generator=generator), torch.randn(24, 4, 8, 8, generator=generator)
    linear, answer = answered(features, images)
    assert (linear.kernel, linear.window) == (3, 2)
    assert float((answer - images.mean()).abs().mean()) < 0.1


def test_positions_that_answer_alone_fade_into_each_other() -> None:
    generator = torch.Generator().manual_seed(0)
    images = F.interpolate(torch.rand(64, 3, 3, 3, generator=generator), size=(16, 16), mode="bilinear")
    # What a position knows: the mean of its square, among much that says nothing
    known = F.avg_pool2d(images, 4).repeat(1, 70, 1, 1)
    linear, answer = answered(known + 1e-3 * torch.randn(known.shape, generator=generator), images)
    assert (linear.kernel, linear.window) == (1, 8)
    assert float((answer - images).abs().mean()) < 0.05
    across, squares = (
        float((each[..., 4::4] - each[..., 3:-1:4]).abs().mean()) for each in (answer, F.interpolate(known, (16, 16)))
    )
    assert across < squares / 3


def test_halvings() -> None:
    assert [halvings(64, side) for side in (64, 33, 32, 5, 4, 100)] == [0, 1, 1, 4, 4, 0]


def answered(features: Tensor, images: Tensor) -> tuple[Linear, Tensor]:
    whitening, linear = Whitening(features.shape[1]), Linear(features.shape[1], images.shape[-1] // features.shape[-1])
    whitening.fit(iter([features]))
    pairs = zip(features.split(6), images.split(6), strict=True)
    linear.fit(((whitening(some), those) for some, those in pairs), 1)
    return linear, linear(whitening(features))
