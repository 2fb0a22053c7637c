import numpy as np
import pytest
import torch

from afterimage.reconstructors.inversion.parametrisations import PARAMETRISATIONS, Fourier

SIZE = (32, 32)


def generators(count: int) -> list[np.random.Generator]:
    return [np.random.default_rng(number) for number in range(count)]


@pytest.mark.parametrize("size", [(32, 32), (17, 24), (9, 9)])
@pytest.mark.parametrize(
    ("name", "bounded"),
    [
        ("pixel", "sigmoid"),
        ("pixel", "projection"),
        ("fourier", "sigmoid"),
        ("fourier", "projection"),
        ("deep_image_prior", "sigmoid"),
    ],
)
def test_values_of_an_image_give_the_image(name: str, bounded: str, size: tuple[int, int]) -> None:
    form = PARAMETRISATIONS[name](size, bounded)
    images = 0.02 + 0.96 * torch.rand(2, 3, *size)
    values = form.of(images, generators(2))
    assert values.ndim == 2
    torch.testing.assert_close(form.images(values), images, atol=1e-4, rtol=0)
    random = form.project(form.random(generators(2)))
    assert random.shape == values.shape
    found = form.images(random)
    assert found.shape == images.shape
    assert -1e-5 <= float(found.min()) <= float(found.max()) <= 1 + 1e-5
    assert not torch.equal(found[0], found[1])


@pytest.mark.parametrize("name", ["pixel", "fourier"])
def test_projection_puts_back_what_leaves_the_range(name: str) -> None:
    form = PARAMETRISATIONS[name]((8, 8), "projection")
    images = torch.rand(1, 3, 8, 8) * 2 - 0.5
    projected = form.images(form.project(form.of(images, generators(1))))
    torch.testing.assert_close(projected, images.clamp(0, 1), atol=1e-5, rtol=0)


def test_waves_have_the_spectrum_of_photographs() -> None:
    form = Fourier((64, 64), "projection")
    drawn = torch.randn(200, 6 * form.scale.numel(), generator=torch.Generator().manual_seed(0))
    plain = form.images(drawn) - 0.5
    assert float(plain.std()) == pytest.approx(1.0, abs=0.1)
    power = torch.fft.fft2(plain).abs().square().mean((0, 1))[0]
    assert float(power[2] / power[16]) == pytest.approx(64, rel=0.3)  # 1 / frequency squared


def test_each_image_has_a_network_of_its_own() -> None:
    form = PARAMETRISATIONS["deep_image_prior"](SIZE, "sigmoid")
    both = form.images(form.random(generators(2)))
    for number in range(2):
        alone = PARAMETRISATIONS["deep_image_prior"](SIZE, "sigmoid")
        values = alone.random([np.random.default_rng(number)])
        torch.testing.assert_close(alone.images(values)[0], both[number], atol=1e-5, rtol=0)
