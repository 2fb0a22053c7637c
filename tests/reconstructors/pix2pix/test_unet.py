"""The networks of pix2pix: what the generator keeps, and what neither of the two looks at."""

import pytest
import torch

from afterimage.reconstructors.pix2pix.unet import Discriminator, Generator

BLOCKS = ("plain", "gated", "fourier")


def batch(count: int = 3, size: int = 32) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    masks = torch.zeros(count, 1, size, size)
    masks[:, :, 5:15, 8:20] = 1
    coarse = torch.rand(count, 3, size // 4, size // 4)
    return {"images": torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear"), "masks": masks}


def generator(blocks: str = "plain", smooth: bool = True, size: int = 32) -> Generator:
    torch.manual_seed(0)
    made = Generator(size, 4, blocks, smooth)  # type: ignore[arg-type]
    torch.nn.init.normal_(made.last.weight, std=0.1)  # it starts at zero, where much would be the same
    return made


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("blocks", BLOCKS)
def test_training_and_use_are_one_thing(blocks, smooth):
    """Instance norm and no dropout: neither the mode nor the rest of a batch changes an image's fill."""
    made, given = generator(blocks, smooth), batch()
    with torch.no_grad():
        trained = made.train()(**given)
        used = made.eval()(**given)
        alone = torch.cat([made(given["images"][i : i + 1], given["masks"][i : i + 1]) for i in range(3)])
    assert trained.equal(used)
    torch.testing.assert_close(alone, used, rtol=1e-4, atol=1e-5)
    assert used.min() >= 0 and used.max() <= 1


@pytest.mark.parametrize("smooth", [True, False])
def test_known_pixels_are_exact_and_missing_ones_are_not_seen(smooth):
    made, given = generator(smooth=smooth), batch()
    other = torch.where(given["masks"] > 0.5, torch.rand_like(given["images"]), given["images"])
    with torch.no_grad():
        first, second = made(**given), made(other, given["masks"])
    known = (given["masks"] < 0.5).expand_as(first)
    assert first[known].equal(given["images"][known])
    assert first.equal(second)


def test_depth_follows_the_size():
    assert [len(Generator(size, 1, "plain", True).downs) for size in (32, 64, 128, 256, 512)] == [5, 6, 7, 8, 8]


@pytest.mark.parametrize(("size", "field"), [(64, 16), (128, 34), (256, 70)])
def test_patches_shrink_with_the_image(size, field):
    layers = Discriminator(size, 1).layers
    seen = 1
    for layer in reversed([layer for layer in layers if isinstance(layer, torch.nn.Conv2d)]):
        seen = (seen - 1) * layer.stride[0] + layer.kernel_size[0]
    assert seen == field


def test_the_discriminator_does_not_see_the_answer():
    made, given = Discriminator(32, 4), batch()
    other = torch.where(given["masks"] > 0.5, 0.0, given["images"])
    filled = torch.rand_like(other)
    assert made(filled, given["images"], given["masks"]).equal(made(filled, other, given["masks"]))
