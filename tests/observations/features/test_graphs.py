"""Encoders as plain data: the same features without torchvision, and nothing but what is listed."""

import json
import subprocess
import sys

import pytest
import torch

from afterimage.observations.features import graphs
from afterimage.observations.features.encoders import Encoder


def random_weights(encoder: Encoder) -> None:
    torch.manual_seed(0)
    for tensor in encoder.body.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape) / tensor.numel() ** 0.5)


@pytest.mark.parametrize(
    ("arch", "layers"),
    [
        ("vgg11", ["relu1_1", "relu2_1", "relu3_2"]),
        ("resnet18", ["relu", "layer1", "layer2"]),
        ("densenet121", ["features.pool0", "features.denseblock1"]),
    ],
)
def test_a_described_encoder_has_the_same_features_bit_for_bit(arch: str, layers: list[str]):
    encoder = Encoder(arch, layers)
    random_weights(encoder)
    described = graphs.described(encoder.body, layers[-1])
    assert described is not None
    twin = Encoder(arch, [layers[0], layers[-1]], json.loads(json.dumps(described)))
    state = encoder.body.state_dict()
    twin.body.load_state_dict({key: state[key] for key in twin.body.state_dict()})
    images = torch.rand(2, 3, 40, 40)
    wanted, found = encoder(images), twin(images)
    assert list(found) == [layers[0], layers[-1]]
    assert all(torch.equal(found[layer], wanted[layer]) for layer in found)


@pytest.mark.parametrize(("arch", "layer"), [("vgg11", "conv2_1"), ("resnet18", "layer1"), ("vit_b_16", "encoder.ln")])
def test_the_weights_up_to_a_layer_are_those_of_the_network_cut_there(arch: str, layer: str):
    deeper = {"vgg11": "relu3_2", "resnet18": "layer3", "vit_b_16": "getitem_5"}[arch]
    cut = Encoder(arch, [layer]).body.state_dict()
    assert graphs.weights(Encoder(arch, [layer, deeper]).body, layer) == set(cut)


def test_a_description_ends_at_its_layer():
    encoder = Encoder("vgg11", ["relu1_1", "relu3_2"])
    shallow = graphs.described(encoder.body, "relu1_1")
    assert shallow is not None
    assert list(shallow["layers"]) == ["relu1_1"]
    assert [module["class"] for module in shallow["modules"].values()] == ["Conv2d", "ReLU"]


def test_a_network_that_takes_more_is_left_to_torchvision():
    assert (
        graphs.described(Encoder("vit_b_16", ["encoder.layers.encoder_layer_0"]).body, "encoder.layers.encoder_layer_0")
        is None
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda graph: graph["modules"]["features.0"].update({"class": "Module"}),
        lambda graph: graph["modules"]["features.0"]["options"].update(device="cpu"),
        lambda graph: graph["nodes"][1].update(inputs=[{"node": "nowhere"}]),
        lambda graph: graph["nodes"].append({"op": "call_function", "name": "x", "target": "system", "inputs": []}),
        lambda graph: graph.pop("layers"),
    ],
)
def test_what_is_not_listed_is_refused(change):
    graph = graphs.described(Encoder("vgg11", ["relu1_1"]).body, "relu1_1")
    change(graph)
    with pytest.raises((KeyError, TypeError, AttributeError)):
        graphs.built(graph, ["relu1_1"])


def test_a_described_encoder_needs_no_torchvision():
    graph = graphs.described(Encoder("resnet18", ["layer1"]).body, "layer1")
    code = (
        "import json, sys; from afterimage.observations.features.encoders import Encoder;"
        "Encoder('resnet18', ['layer1'], json.loads(sys.stdin.read())); assert 'torchvision' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], input=json.dumps(graph), text=True, check=True)
