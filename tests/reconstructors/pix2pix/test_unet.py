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


def generator(blocks: str = "plain", smooth: bool = True, size: int = 32, reduce: int = 1) -> Generator:
    torch.manual_seed(0)
    made = Generator(size, 4, blocks, smooth, reduce)  # type: ignore[arg-type]
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


@pytest.mark.parametrize("reduce", [1, 4])
@pytest.mark.parametrize("smooth", [True, False])
def test_known_pixels_are_exact_and_missing_ones_are_not_seen(smooth, reduce):
    made, given = generator(smooth=smooth, reduce=reduce), batch()
    other = torch.where(given["masks"] > 0.5, torch.rand_like(given["images"]), given["images"])
    with torch.no_grad():
        first, second = made(**given), made(other, given["masks"])
    known = (given["masks"] < 0.5).expand_as(first)
    assert first[known].equal(given["images"][known])
    assert first.equal(second)


def test_a_reduced_image_is_means_of_what_is_known():
    made, given = generator(reduce=4), batch()
    known, missing = made.reduced(**given)
    assert known.shape == (3, 3, 8, 8) and missing.shape == (3, 1, 8, 8)
    # Rows 5 to 14 and columns 8 to 19 are missing: of the blocks that they touch, those of which half or more is known
    # are means of that half
    assert missing[0, 0].nonzero().tolist() == [[y, x] for y in (1, 2, 3) for x in (2, 3, 4)]
    torch.testing.assert_close(known[0, :, 0, 0], given["images"][0, :, :4, :4].mean((1, 2)))
    masks = torch.zeros(1, 1, 32, 32)
    masks[..., :2, :4] = masks[..., 2, :2] = 1
    known, missing = made.reduced(given["images"][:1], masks)
    assert missing[0, 0, 0, 0] == 1  # 10 of 16 are
    masks[..., 1, :4] = 0
    known, missing = made.reduced(given["images"][:1], masks)
    assert missing.sum() == 0
    part = given["images"][0, :, :4, :4][:, masks[0, 0, :4, :4] < 0.5]
    torch.testing.assert_close(known[0, :, 0, 0], part.mean(1))


def test_detail_at_the_border_is_carried_into_a_reduced_answer():
    """A slope is coarse, so that an untrained network, which answers with its smooth start, is right about it, and a
    stripe as wide as the hole is continued though the U-Net sees only its mean."""
    made = Generator(64, 4, "plain", True, 4)
    slope = torch.linspace(0.2, 0.6, 64).expand(1, 3, 64, 64).clone()
    masks = torch.zeros(1, 1, 64, 64)
    masks[..., 24:44, 30:50] = 1
    with torch.no_grad():
        assert (made(slope, masks) - slope).abs().max() < 0.05
        bright = slope + 0.1
        torch.testing.assert_close(made(bright, masks), made(slope, masks) + 0.1, rtol=0, atol=0.02)


def test_depth_follows_the_size():
    assert [len(Generator(size, 1, "plain", True).downs) for size in (32, 64, 128, 256, 512)] == [5, 6, 7, 8, 8]
    coarse = Generator(256, 1, "plain", True, reduce=4)
    assert (len(coarse.downs), coarse.multiple) == (6, 256)


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
