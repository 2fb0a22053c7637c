"""Encoders without torchvision: what a network computes up to a layer, as plain data beside its weights.

torchvision builds a network and finds its layers, but importing it takes longer than most uses of an encoder. So a
store of features keeps the traced graph of its encoder as JSON: the modules by class and options, and the nodes between
them. Only what is listed here is ever built, so the file holds no code. A network that takes more than this is left to
torchvision, and timm's are left to timm.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import fx, nn

MODULES: dict[str, Sequence[str]] = {
    "Conv2d": ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode"),
    "BatchNorm2d": ("num_features", "eps"),
    "ReLU": (),
    "ReLU6": (),
    "SiLU": (),
    "Hardswish": (),
    "MaxPool2d": ("kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    "AvgPool2d": ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad"),
    "Identity": (),
}
"""Classes of torch.nn with the options that they are built from; a convolution also says whether it has a bias."""
FUNCTIONS: dict[str, Callable[..., Any]] = {"add": operator.add, "mul": operator.mul, "cat": torch.cat}

Described = dict[str, Any]


def described(network: nn.Module, layer: str) -> Described | None:
    """A traced network up to a layer, and the other layers on the way, as JSON takes it; None if it takes too much.

    Args:
        network: as `create_feature_extractor` makes it: its answer is a mapping from layers to features. Any other
            network is left to the library that has it.
    """
    if not isinstance(network, fx.GraphModule):
        return None
    answer = next(node for node in network.graph.nodes if node.op == "output").args[0]
    needed = _before(answer[layer])
    nodes, modules = [], {}
    for node in network.graph.nodes:
        if node not in needed:
            continue
        if node.op == "call_module":
            module = network.get_submodule(str(node.target))
            kind = type(module).__name__
            if MODULES.get(kind) is None or type(module) is not getattr(nn, kind):
                return None
            options = {name: getattr(module, name) for name in MODULES[kind]}
            if kind == "Conv2d":
                options["bias"] = module.bias is not None
            modules[str(node.target)] = {"class": kind, "options": options}
            target = str(node.target)
        elif node.op == "call_function":
            names = [name for name, function in FUNCTIONS.items() if function is node.target]
            if not names:
                return None
            target = names[0]
        elif node.op == "placeholder":
            target = str(node.target)
        else:
            return None
        try:
            inputs = [_plain(value) for value in (node.args if node.op != "placeholder" else ())]
        except TypeError:
            return None
        if node.kwargs:
            return None
        nodes.append({"op": node.op, "name": node.name, "target": target, "inputs": inputs})
    layers = {name: found.name for name, found in answer.items() if found in needed}
    return {"nodes": nodes, "modules": modules, "layers": layers}


def weights(network: nn.Module, layer: str) -> set[str] | None:
    """The keys of the weights that a traced network needs up to a layer; None of a network that is not traced."""
    if not isinstance(network, fx.GraphModule):
        return None
    answer = next(node for node in network.graph.nodes if node.op == "output").args[0]
    read = tuple(f"{node.target}." for node in _before(answer[layer]) if node.op in ("call_module", "get_attr"))
    return {key for key in network.state_dict() if f"{key}.".startswith(read)}


def built(graph: Mapping[str, Any], layers: Sequence[str]) -> fx.GraphModule:
    """The network of a description, which answers with the features of some of its layers. It has no weights yet.

    Raises:
        KeyError, TypeError, AttributeError: it is no such description.
    """
    root = nn.Module()
    for path, module in graph["modules"].items():
        given = module["options"].items()
        options = {name: tuple(value) if isinstance(value, list) else value for name, value in given}
        if not set(options) <= {*MODULES[module["class"]], "bias"}:
            raise TypeError(f"unknown options of {module['class']}")
        _put(root, path.split("."), getattr(nn, module["class"])(**options))
    drawn = fx.Graph()
    known: dict[str, fx.Node] = {}
    for node in graph["nodes"]:
        inputs = tuple(_nodes(value, known) for value in node["inputs"])
        if node["op"] == "placeholder":
            known[node["name"]] = drawn.placeholder(node["target"])
        elif node["op"] == "call_module":
            known[node["name"]] = drawn.call_module(node["target"], inputs)
        else:
            known[node["name"]] = drawn.call_function(FUNCTIONS[node["target"]], inputs)
    drawn.output({layer: known[graph["layers"][layer]] for layer in layers})
    network = fx.GraphModule(root, drawn)
    network.graph.eliminate_dead_code()
    network.delete_all_unused_submodules()
    network.recompile()
    return network


def _before(node: fx.Node) -> set[fx.Node]:
    """A node and all that it is computed from."""
    found, left = set(), [node]
    while left:
        here = left.pop()
        if here not in found:
            found.add(here)
            left += here.all_input_nodes
    return found


def _plain(value: Any) -> Any:
    """An input of a node as JSON takes it: nodes by name, numbers as they are."""
    if isinstance(value, fx.Node):
        return {"node": value.name}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, int | float | bool):
        return value
    raise TypeError(type(value))


def _nodes(value: Any, known: Mapping[str, fx.Node]) -> Any:
    if isinstance(value, dict):
        return known[value["node"]]
    return [_nodes(each, known) for each in value] if isinstance(value, list) else value


def _put(root: nn.Module, path: Sequence[str], module: nn.Module) -> None:
    """Put a module into a tree of modules under a dotted path."""
    for part in path[:-1]:
        if not hasattr(root, part):
            root.add_module(part, nn.Module())
        root = root.get_submodule(part)
    root.add_module(path[-1], module)
