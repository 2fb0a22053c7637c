import pytest
import torch

from afterimage.reconstructors.inversion.priors import PriorsRow, alpha_norm, total_variation


def row(smooth: float, grey: float, normal: float) -> PriorsRow:
    return PriorsRow.model_validate(
        {
            "total_variation": {"weight": smooth, "exponent": 2.0},
            "alpha_norm": {"weight": grey, "alpha": 2.0},
            "gaussian": {"weight": normal},
        }
    )


@pytest.mark.parametrize("exponent", [1.0, 1.5, 2.0, 3.0])
def test_total_variation_of_a_ramp_is_its_slope(exponent: float) -> None:
    """dx = 0.3, dy = 0.4 everywhere: the gradient is 0.5 long."""
    down, across = torch.meshgrid(torch.arange(5.0), torch.arange(6.0), indexing="ij")
    ramp = (0.4 * down + 0.3 * across).expand(2, 3, 5, 6)
    found = total_variation(ramp, exponent)
    torch.testing.assert_close(found, torch.full((2,), 0.5**exponent), rtol=1e-5, atol=1e-6)
    assert float(total_variation(torch.full((1, 3, 4, 4), 0.3), exponent)) < 2e-4


def test_total_variation_has_a_slope_on_a_flat_image() -> None:
    flat = torch.full((1, 3, 4, 4), 0.5, requires_grad=True)
    (slope,) = torch.autograd.grad(total_variation(flat, 1.0).sum(), flat)
    assert bool(torch.isfinite(slope).all())


@pytest.mark.parametrize("alpha", [1.0, 2.0, 6.0])
def test_alpha_norm_of_known_images(alpha: float) -> None:
    images = torch.stack([torch.full((3, 4, 4), value) for value in (0.0, 0.5, 0.75, 1.0)])
    torch.testing.assert_close(alpha_norm(images, alpha), torch.tensor([1.0, 0.0, 0.5**alpha, 1.0]))


def test_priors_add_up_with_their_weights() -> None:
    priors = row(2.0, 3.0, 5.0)
    images, values = torch.rand(2, 3, 6, 6), torch.randn(2, 10)
    expected = 2 * total_variation(images, 2.0) + 3 * alpha_norm(images, 2.0) + 5 * values.square().mean(1)
    torch.testing.assert_close(priors(images, values), expected)
    assert not bool(row(0.0, 0.0, 0.0)(images, values).any())
