"""Encoders: networks of torchvision or timm, cut off after the deepest layer that is asked for.

Layers of torchvision's go by its node names (`features.15`, `layer2.1.relu_2`) or by the names of the literature:

- VGG: `relu3_3`, `conv3_3` (before its ReLU), `pool3`, and Keras' `block3_conv3`, which means the layer after its ReLU;
- ResNet: `layer2`, and Keras' `conv3_block4_out`.

Those of timm's are in `timm_networks`.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import model_validator
from torch import Tensor, fx, nn

from afterimage.core import weights
from afterimage.core.errors import LayerError, WeightsError
from afterimage.core.params import Row
from afterimage.core.parsing import parsing
from afterimage.core.weights import IMAGENET_MEAN, IMAGENET_STD
from afterimage.observations.features import defences, graphs, timm_networks

CLASSIFIERS = ("classifier.", "fc.", "head.", "heads.", "AuxLogits.", "aux1.", "aux2.")
"""Where torchvision's networks keep what comes after their features."""


class EncoderRow(Row):
    """A row of `encoders`: a network and its weights."""

    arch: str
    """A name that `torchvision.models.get_model` knows, or `timm/` and one that `timm.create_model` knows."""
    weights: str
    """`random`, torchvision's or timm's by their name such as `IMAGENET1K_V1` or `lvd142m`, or a file."""
    sha256: str | None
    """Of the file, and of what timm's name stands for on the hub, where files change: while it is null, the stage
    `weights` ends with the hash that it found."""
    seed: int
    """Of the random weights."""

    @model_validator(mode="after")
    def _file_has_hash(self) -> Self:
        timm = timm_networks.holds(self.arch)
        if timm and self.weights != "random" and timm_networks.TAG.fullmatch(self.weights):
            return self
        published = not timm and weights.PUBLISHED.fullmatch(self.weights) is not None
        named = self.weights == "random" or published
        if named and self.sha256 is not None:
            raise ValueError(f"sha256 goes with weights from a file, and {self.weights} are none")
        if not named and self.sha256 is None:
            names = "timm's such as lvd142m" if timm else "torchvision's such as IMAGENET1K_V1"
            raise ValueError(
                f"weights {self.weights!r} are neither `random` nor a name of {names}, so they are a file and need its "
                "sha256"
            )
        return self


class Encoder(nn.Module):
    """A network that maps images to the features of its layers.

    Args:
        arch: as in `EncoderRow`.
        layers: names of layers, in any form.
        graph: what `graphs.described` says of the network; it is built from that, without torchvision.
        defence: what is done to the features of each layer before they are answered.

    Attributes:
        nodes: by layer, what the network itself calls it.
        normalisation: `mean` and `std` of timm's networks, which belong to the weights; others take ImageNet's.
        patch: side in px of a transformer's patches; 1: the network has none.

    Raises:
        LayerError: there is no such network, or the network has no such layer.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        arch: str,
        layers: list[str],
        graph: Mapping[str, Any] | None = None,
        defence: Sequence[defences.Step] = (),
    ):
        super().__init__()
        self.arch, self.defence = arch, defence
        self.uncut: frozenset[str] = frozenset()
        self.normalisation: dict[str, list[float]] = {}
        self.body: nn.Module
        self.reading: timm_networks.Reading | None = None
        self.patch = 1
        if timm_networks.holds(arch):
            self.body, self.reading, self.uncut = timm_networks.cut(arch, layers)
            self.nodes = {layer: layer for layer in layers}
            self.patch = self.reading.patch
            self.normalisation = timm_networks.normalisation(arch, "random")
        elif graph is None:
            self.body = self._traced(arch, layers).to_empty(device="cpu")
        else:
            with torch.device("meta"):
                self.body = graphs.built(graph, layers)
            self.body.to_empty(device="cpu")
            self.nodes = {layer: graph["layers"][layer] for layer in layers}
        self.body.to(memory_format=torch.channels_last)
        for name, default in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            values = torch.tensor(self.normalisation.get(name, default))
            self.register_buffer(name, values.view(1, 3, 1, 1), persistent=False)
        self.eval().requires_grad_(False)

    def _traced(self, arch: str, layers: list[str]) -> fx.GraphModule:
        from torchvision.models.feature_extraction import create_feature_extractor

        with torch.device("meta"):  # shapes only: filling 138 million values to cut most of them off takes seconds
            network = _network(arch)
        self.nodes = resolve(network, arch, layers)
        self.uncut = frozenset(network.state_dict())
        for module in network.modules():
            if isinstance(module, nn.ReLU | nn.ReLU6):
                module.inplace = False  # or a tap before it would see its output
        return create_feature_extractor(network, {node: layer for layer, node in self.nodes.items()})

    def forward(self, images: Tensor, keys: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Features by layer name, each `[N, C, h, w]`, of images `[N, 3, H, W]` in [0, 1].

        Args:
            keys: a name an image, from which a defence draws its noise; None: there is no noise on them.
        """
        normalised = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        features = self.reading(self.body, normalised) if self.reading else self.body(normalised)
        return {layer: defences.defended(each, self.defence, layer, keys) for layer, each in features.items()}

    def load(self, path: Path) -> dict[str, Any]:
        """Take the weights and their normalisation from a file that the pipeline keeps; returns what it says of itself.

        Raises:
            WeightsError: the file is missing, damaged, or of another network.
        """
        about, state = weights.load(path)
        weights.fit(self.body, state, str(path), optional=self.uncut)
        with parsing(WeightsError, f"{path}: says nothing of how its images are normalised"):
            for name in self.normalisation:
                self.normalisation[name] = about[name]
                setattr(self, name, torch.tensor(about[name], dtype=torch.float32).view(1, 3, 1, 1))
        return about


def described(row: EncoderRow) -> dict[str, Any]:
    """What the weights of a row say of themselves: `arch`, `origin`, and of timm's how images are normalised."""
    about = {"arch": row.arch, "origin": weights.describe(row.weights, row.seed, row.sha256)}
    return {**about, **timm_networks.normalisation(row.arch, row.weights)} if timm_networks.holds(row.arch) else about


def trunk(arch: str, source: str, seed: int, sha256: str | None) -> weights.State:
    """The weights of a network without its classifier: `random`, torchvision's or timm's by name, or a file's.

    Which layers are looked at makes no difference, so adding a layer to a row leaves the weights as they were.
    `random` is torchvision's or timm's own initialisation, seeded.

    Raises:
        LayerError: there is no such network.
        WeightsError: the weights cannot be had, or do not fit.
    """
    if timm_networks.holds(arch):
        return timm_networks.trunk(arch, source, seed, sha256)
    if source == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = _network(arch)
        state: weights.State = network.state_dict()
    else:
        with torch.device("meta"):
            network = _network(arch)
        if weights.PUBLISHED.fullmatch(source):
            state = weights.from_torchvision(arch, source)
        elif sha256 is None:
            raise WeightsError(f"{source}: weights from a file need their sha256")
        else:
            state = weights.from_file(Path(source), sha256)
    keys = {key for key in network.state_dict() if key.startswith(CLASSIFIERS)}
    for name, module in list(network.named_children()):
        if f"{name}.".startswith(CLASSIFIERS):
            setattr(network, name, nn.Identity())
            del module
    weights.check(network, state, source, optional=keys)
    return {key: value for key, value in state.items() if key not in keys}


def node(arch: str, layer: str) -> str:
    """What a network itself calls a layer, which may have several names.

    Raises:
        LayerError: there is no such network, or the network has no such layer.
    """
    if timm_networks.holds(arch):
        return layer
    with torch.device("meta"):
        network = _network(arch)
    return resolve(network, arch, [layer])[layer]


def resolve(network: nn.Module, arch: str, layers: list[str]) -> dict[str, str]:
    """The node of each layer.

    Raises:
        LayerError: the network has no such layer; the text lists those it has.
    """
    from torchvision.models.feature_extraction import get_graph_node_names

    names = _literature(network)
    nodes = [node for node in get_graph_node_names(network)[1] if node != "x"]
    modules = {name for name, _ in network.named_modules() if name}
    found = {}
    for layer in layers:
        node = names.get(layer, layer)
        if node not in nodes and not (node in modules and any(name.startswith(f"{node}.") for name in nodes)):
            known = list(names) or [node for node in nodes if node.count(".") < 2]
            raise LayerError(f"{arch} has no layer `{layer}`; it has {', '.join(known)}, and torchvision's node names")
        found[layer] = node
    return found


def _network(arch: str) -> nn.Module:
    from torchvision.models import get_model

    try:
        return get_model(arch, weights=None).eval()
    except ValueError:
        from torchvision.models import list_models

        close = [name for name in list_models() if name[:3] == arch[:3].lower()]
        hint = f"; it has {', '.join(close)}" if close else ""
        raise LayerError(f"torchvision has no network `{arch}`{hint}") from None


def _literature(network: nn.Module) -> dict[str, str]:
    """Names of the literature, where the network is a VGG or a ResNet, with the nodes that they mean."""
    from torchvision.models import VGG, ResNet

    names: dict[str, str] = {}
    if isinstance(network, VGG):
        block, conv = 1, 0
        for index, module in enumerate(network.features):
            node = f"features.{index}"
            if isinstance(module, nn.Conv2d):
                conv += 1
                names[f"conv{block}_{conv}"] = node
            elif isinstance(module, nn.ReLU):
                names[f"relu{block}_{conv}"] = names[f"block{block}_conv{conv}"] = node
            elif isinstance(module, nn.MaxPool2d):
                names[f"pool{block}"] = names[f"block{block}_pool"] = node
                block, conv = block + 1, 0
    elif isinstance(network, ResNet):
        names |= {"conv1": "conv1", "relu": "relu", "maxpool": "maxpool"}
        for name, module in network.named_children():
            if match := re.fullmatch(r"layer(\d)", name):
                stage = int(match[1])
                names[name] = name
                for index, _ in enumerate(module.children()):
                    names[f"conv{stage + 1}_block{index + 1}_out"] = f"{name}.{index}"
    return names
