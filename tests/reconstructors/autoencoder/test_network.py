"""The networks: sizes, parameters, and how they start."""

import pytest
import torch

from afterimage.reconstructors.autoencoder.network import ChannelAttention, Restorer

NETWORKS = [
    dict(arch="lenet", width=32, fold=1, factor=1),
    dict(arch="skip", width=4, fold=1, factor=1),
    dict(arch="skip", width=4, fold=2, factor=2),
    dict(arch="nafnet", width=4, fold=2, factor=1),
    dict(arch="nafnet", width=4, fold=1, factor=4),
    dict(arch="nafnet", width=4, fold=2, factor=1, blocks=[1, 2, 1, 3]),
]


def network(window: int = 32, **options) -> Restorer:
    torch.manual_seed(0)
    return Restorer(**options, window=window).eval()


def test_the_seeds_network_has_its_parameters():
    lenet = network(**NETWORKS[0])
    assert sum(parameter.numel() for parameter in lenet.parameters()) == 13_428
    filters = [layer.out_channels for layer in lenet.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert filters == [32, 16, 16, 32, 3]
    assert [layer.in_channels for layer in lenet.modules() if isinstance(layer, torch.nn.Conv2d)][-1] == 32 + 3


def test_a_sigmoid_keeps_the_seeds_output_within_its_range():
    linear, bounded = network(**NETWORKS[0]), network(**NETWORKS[0], output="sigmoid")
    image = 40 * torch.rand(1, 3, 16, 16)
    assert torch.equal(bounded(image), torch.sigmoid(linear(image)))
    assert linear(image).max() > 1 > bounded(image).max()


def test_blocks_are_so_many_at_each_scale_and_in_the_middle():
    found = network(**NETWORKS[-1])
    depths = [len(part) for part in (*found.body.encoders, found.body.middle, *found.body.decoders)]
    assert depths == [1, 2, 1, 3, 1, 2, 1]
    assert found.multiple == 2 * 2**3
    assert [block.attention.window for part in found.body.encoders for block in part] == [16, 8, 8, 4]


@pytest.mark.parametrize("options", NETWORKS, ids=str)
@pytest.mark.parametrize("size", [(32, 32), (1, 1), (37, 5), (50, 70)])
def test_any_size_goes_in_and_comes_out_by_the_factor(options, size):
    image = torch.rand(2, 3, *size)
    with torch.inference_mode():
        found = network(**options)(image)
    assert found.shape == (2, 3, size[0] * options["factor"], size[1] * options["factor"])


@pytest.mark.parametrize("options", NETWORKS[1:], ids=str)
def test_residual_networks_start_as_the_identity_or_the_bicubic_enlargement(options):
    image = torch.rand(1, 3, 32, 32)
    found = network(**options)(image)
    if options["factor"] == 1:
        assert torch.equal(found, image)
    else:
        wanted = torch.nn.functional.interpolate(image, scale_factor=options["factor"], mode="bicubic")
        assert torch.allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("options", NETWORKS, ids=str)
def test_every_parameter_learns(options):
    net = network(**options).train()
    with torch.no_grad():  # what starts at zero lets nothing through to what lies before it
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.rand_like(parameter))
    net(torch.rand(2, 3, 32, 32)).square().mean().backward()
    still = [name for name, parameter in net.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert still == []


def test_attention_is_over_the_whole_of_a_training_image_and_local_beyond():
    attention = ChannelAttention(3, window=8)
    small = torch.rand(1, 3, 8, 8)
    whole = small * attention.mix(small.mean((2, 3), keepdim=True))
    assert torch.allclose(attention(small), whole)
    large = torch.rand(1, 3, 64, 64)
    before = attention(large)[..., :8, :8]
    large[..., 40:, 40:] += 5
    assert torch.allclose(attention(large)[..., :8, :8], before)
    constant = torch.full((1, 3, 40, 24), 0.3)
    assert torch.allclose(attention(constant), constant * attention.mix(constant[..., :1, :1]), atol=1e-6)
