"""The networks: sizes, architectures, the linear answer under them."""

import pytest
import rows
import torch

from afterimage.reconstructors.decoder.network import Decoder, Tap


@pytest.mark.parametrize("arch", ["light", "upconv"])
@pytest.mark.parametrize("linear", [True, False])
@pytest.mark.parametrize("layers", [["relu2_1"], ["relu1_1", "relu2_1"], ["relu2_1", "relu1_1"]])
def test_shapes_for_any_taps_and_any_image_size(arch: str, linear: bool, layers: list[str]) -> None:
    shapes = {"relu1_1": (64, 32, 32), "relu2_1": (128, 16, 16)}
    network = Decoder(arch, 8, [Tap(layer, shapes[layer]) for layer in layers], 32, linear).eval()
    for size in ((32, 32), (45, 71)):
        found = rows.encoder()(torch.rand(2, 3, *size))
        image = network([found[layer] for layer in layers], size)
        assert image.shape == (2, 3, *size)
        assert 0 <= float(image.min()) <= float(image.max()) <= 1


def test_the_architectures_are_those_of_their_sources() -> None:
    kinds = {
        arch: [type(module).__name__ for module in Decoder(arch, 8, [Tap("x", (64, 8, 8))], 32, False).ups.modules()]
        for arch in ("light", "upconv")
    }
    assert kinds["light"].count("ConvTranspose2d") == kinds["light"].count("BatchNorm2d") == 2
    assert kinds["light"].count("ReLU") == 2
    assert kinds["upconv"].count("ConvTranspose2d") == kinds["upconv"].count("LeakyReLU") == 2
    assert "BatchNorm2d" not in kinds["upconv"]


def test_a_decoder_begins_with_the_linear_answer_and_stays_within_an_image() -> None:
    network = Decoder("upconv", 8, [Tap("x", (6, 8, 8))], 16, True)
    assert network.linear is not None
    network.linear.bias.fill_(1.5)
    features = [torch.rand(2, 6, 8, 8)]
    torch.testing.assert_close(network(features, (16, 16)), torch.full((2, 3, 16, 16), 1.5))
    torch.testing.assert_close(network.eval()(features, (16, 16)), torch.ones(2, 3, 16, 16))
