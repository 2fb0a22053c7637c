import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from afterimage.reconstructors.pixelrnn import likelihoods
from afterimage.reconstructors.pixelrnn.blocks import BLOCKS, skew, unskew
from afterimage.reconstructors.pixelrnn.masked import Above, Along, turn_of
from afterimage.reconstructors.pixelrnn.network import PixelRnn

SIDE = 6


def network(arch: str, likelihood: str = "logistics", residual: bool = True, trunk: bool = False) -> PixelRnn:
    torch.manual_seed(1)
    words = likelihoods.make(likelihood, 2 if likelihood == "logistics" else None)
    return PixelRnn(arch, 48, 2, 3, 48, residual, 0.0, words, (4, 1) if trunk else None).double().eval()


def depends(net: PixelRnn) -> Tensor:
    """Which turn of which pixel depends on which channel of which pixel: bool `[pixels * turns, pixels * 3]`."""
    count = SIDE * SIDE * 3
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(1, 3, SIDE, SIDE, dtype=torch.float64, generator=generator).repeat(count + 1, 1, 1, 1)
    for number in range(count):
        pixel, channel = divmod(number, 3)
        images[number, channel, pixel // SIDE, pixel % SIDE] += 0.5
    with torch.inference_mode():
        said = net(images, None).unflatten(1, (net.likelihood.turns, -1)).movedim(1, 4)  # [count, P, H, W, turns]
    changed = (said[:-1] != said[-1]).any(1)
    return changed.flatten(1).T


def allowed(turns: int) -> Tensor:
    seer, seen = torch.arange(SIDE * SIDE * turns)[:, None], torch.arange(SIDE * SIDE * 3)[None]
    pixel, turn, other, channel = seer // turns, seer % turns, seen // 3, seen % 3
    return (other < pixel) | ((other == pixel) & (channel < turn))


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("likelihood", ["softmax", "logistics", "mse"])
@pytest.mark.parametrize("arch", BLOCKS)
def test_no_output_depends_on_a_pixel_or_channel_that_comes_later(arch: str, likelihood: str, residual: bool) -> None:
    net = network(arch, likelihood, residual)
    found = depends(net)
    assert not (found & ~allowed(net.likelihood.turns)).any()
    assert found.any(1)[net.likelihood.turns :].all()  # it does look at what came before


@pytest.mark.parametrize("likelihood", ["softmax", "logistics"])
def test_the_gated_stacks_see_all_that_came_before_and_pixelcnn_has_a_blind_spot(likelihood: str) -> None:
    earlier = allowed(network("gated", likelihood).likelihood.turns)
    assert torch.equal(depends(network("gated", likelihood)), earlier)
    blind = earlier & ~depends(network("pixelcnn", likelihood))
    pixels = blind.nonzero() // torch.tensor([network("pixelcnn", likelihood).likelihood.turns, 3])
    assert len(pixels) > 0
    rows, columns = pixels // SIDE, pixels % SIDE
    assert (columns[:, 1] > columns[:, 0] + rows[:, 0] - rows[:, 1]).all()  # right of the diagonal upwards


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("kernel", [3, 7])
def test_above_and_along_are_a_masked_convolution(first: bool, kernel: int) -> None:
    torch.manual_seed(0)
    above, along = Above(6, 9, kernel), Along(6, 9, kernel, turns=3, first=first)
    reach = kernel // 2
    weight = torch.zeros(9, 6, kernel, kernel)
    weight[:, :, :reach] = above.weight
    weight[:, :, reach, : reach + 1] = along.weight[:, :, 0]
    seen, seeing = turn_of(6, 3)[None], turn_of(9, 3)[:, None]
    weight[:, :, reach, reach] *= (seen < seeing) if first else (seen <= seeing)
    x = torch.randn(2, 6, 8, 9)
    assert above.bias is not None and along.bias is not None
    expected = F.conv2d(x, weight, above.bias + along.bias, padding=reach)
    torch.testing.assert_close(above(x) + along(x), expected)


def test_skew_moves_each_row_by_its_number() -> None:
    x = torch.rand(2, 3, 4, 6)
    moved = skew(x)
    assert moved.shape == (2, 3, 4, 9)
    for row in range(4):
        assert torch.equal(moved[:, :, row, row : row + 6], x[:, :, row])
    assert float(moved.sum()) == pytest.approx(float(x.sum()), rel=1e-5)
    assert torch.equal(unskew(moved), x)


@pytest.mark.parametrize("arch", BLOCKS)
def test_the_trunk_sees_known_pixels_on_all_sides_and_no_missing_one(arch: str) -> None:
    net = network(arch, trunk=True)
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(1, 3, 8, 8, dtype=torch.float64, generator=generator)
    masks = torch.zeros(1, 1, 8, 8, dtype=torch.float64)
    masks[..., 3:5, 3:5] = 1

    def said(changed: tuple[int, int]) -> Tensor:
        other = images.clone()
        other[..., changed[0], changed[1]] = 1 - other[..., changed[0], changed[1]]
        with torch.inference_mode():
            return net(other, net.evidence(other, masks))[..., 3, 3]

    with torch.inference_mode():
        before = net(images, net.evidence(images, masks))[..., 3, 3]
    assert not torch.equal(said((7, 7)), before) and not torch.equal(said((3, 5)), before)
    for missing in ((3, 3), (3, 4), (4, 3), (4, 4)):
        assert torch.equal(said(missing), before)
