import numpy as np
import pytest
import torch

from afterimage.reconstructors.pixelrnn import likelihoods, sampling
from afterimage.reconstructors.pixelrnn.blocks import BLOCKS
from afterimage.reconstructors.pixelrnn.cached import Sampler
from afterimage.reconstructors.pixelrnn.network import PixelRnn

SIZE = (12, 13)
IMAGES = np.random.default_rng(0).integers(0, 256, (2, *SIZE, 3), dtype=np.uint8)
MASKS = np.zeros((2, *SIZE), dtype=bool)
MASKS[0, 4:7, 5:9] = MASKS[1, 5:8, 3:5] = MASKS[1, 10, 11:] = MASKS[0, 0, 0] = True


def network(arch: str, likelihood: str, kernel: int, trunk: bool, residual: bool = True) -> PixelRnn:
    torch.manual_seed(0)
    words = likelihoods.make(likelihood, 2 if likelihood == "logistics" else None)
    net = PixelRnn(arch, 12, 2, kernel, 9, residual, 0.3, words, (4, 1) if trunk else None)
    return sampling.precise(net)


@pytest.mark.parametrize(("kernel", "trunk", "residual"), [(3, True, True), (5, False, False)])
@pytest.mark.parametrize("likelihood", ["softmax", "logistics", "mse"])
@pytest.mark.parametrize("arch", BLOCKS)
def test_cached_activations_give_the_same_pixels(
    arch: str, likelihood: str, kernel: int, trunk: bool, residual: bool
) -> None:
    net = network(arch, likelihood, kernel, trunk, residual)
    draws = sampling.noise(3, ["a", "b"], SIZE)
    plain = sampling.plain(net, IMAGES, MASKS, draws, 0.9)
    cached = Sampler(net)(IMAGES, MASKS, draws, 0.9)
    np.testing.assert_array_equal(cached, plain)
    np.testing.assert_array_equal(cached[~MASKS], IMAGES[~MASKS])
    assert (cached[MASKS] != IMAGES[MASKS]).mean() > 0.9


def test_several_completions_of_an_image_are_those_of_each_alone() -> None:
    net = network("gated", "logistics", 3, True)
    draws = sampling.noise(0, range(4), SIZE)
    together = Sampler(net)(IMAGES, MASKS, draws, 1.0)
    assert together.shape == (4, *SIZE, 3)
    for number in range(4):
        image = slice(number // 2, number // 2 + 1)
        alone = Sampler(net)(IMAGES[image], MASKS[image], draws[number : number + 1], 1.0)
        np.testing.assert_array_equal(together[number], alone[0])
    assert (together[0] != together[1]).any()


def test_what_is_hidden_under_the_mask_does_not_matter() -> None:
    net = network("gated", "logistics", 3, True)
    draws = sampling.noise(0, range(2), SIZE)
    other = np.where(MASKS[..., None], 255 - IMAGES, IMAGES)
    np.testing.assert_array_equal(Sampler(net)(IMAGES, MASKS, draws, 1.0), Sampler(net)(other, MASKS, draws, 1.0))


def test_nothing_missing_is_nothing_to_do() -> None:
    net = network("pixelcnn", "mse", 3, True)
    found = Sampler(net)(IMAGES, np.zeros_like(MASKS), sampling.noise(0, range(2), SIZE), 1.0)
    np.testing.assert_array_equal(found, IMAGES)
