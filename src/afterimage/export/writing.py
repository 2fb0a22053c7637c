"""The formats that a graph is written in, each with what reads it again."""

import json
import shutil
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from afterimage import reconstructors
from afterimage.core import weights
from afterimage.core.parsing import parsing
from afterimage.export import ExportError
from afterimage.export.graphs import Graph
from afterimage.reconstructors import Reconstructor
from afterimage.reconstructors.external.onnx import Graph as Session
from afterimage.training import models

Answering = Callable[[Sequence[Tensor], Any], Tensor]
"""From the inputs of a graph, or the observation that they are of, to the image `[1, 3, H, W]`."""
OPSET = 18
"""The version of ONNX's operators: the first with all that is needed here."""
ABOUT = "afterimage"
"""Under which a file says what it is."""


def _about(graph: Graph) -> dict[str, Any]:
    """What a file says of itself."""
    licence = graph.loaded.card.get("about", {}).get("licence")
    said = {"row": graph.row, "takes": graph.takes, "range": "float32 in [0, 1], RGB"}
    return {**said, **({"licence": licence} if licence else {})}


def write(graph: Graph, form: str, path: Path) -> Answering:
    """Write a graph, and read it again.

    Raises:
        ExportError: the format has no such operator, or the row does more than a graph can.
    """
    if form == "safetensors":
        return _safetensors(graph, path)
    if graph.refused:
        raise ExportError(f"{graph.row}: {graph.refused}; `--format safetensors` writes its weights")
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of each branch that is taken as the example does, and of the exporter's age
        return {"onnx": _onnx, "torchscript": _torchscript}[form](graph, path)


def _onnx(graph: Graph, path: Path) -> Answering:
    import onnx

    names = [*graph.inputs, "answer"]
    axes = {name: {2: f"height of {name}", 3: f"width of {name}"} for name in names}
    with parsing(ExportError, f"{graph.row}: does not go into an ONNX graph"):
        torch.onnx.export(
            graph.module,
            tuple(graph.example),
            path,
            input_names=list(graph.inputs),
            output_names=["answer"],
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,  # by tracing; the other exporter wants to know at which sizes each branch is taken
        )
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {ABOUT: json.dumps(_about(graph))})
    onnx.save(model, path)
    session = Session(path.read_bytes(), graph.row, torch.device("cpu"))
    return lambda parts, given: session(list(parts))


def _torchscript(graph: Graph, path: Path) -> Answering:
    with parsing(ExportError, f"{graph.row}: does not go into a TorchScript program"):
        traced = torch.jit.trace(graph.module, tuple(graph.example), check_trace=False)
    torch.jit.save(traced, path, _extra_files={f"{ABOUT}.json": json.dumps(_about(graph))})
    program = torch.jit.load(path)
    return lambda parts, given: program(*parts)


def _safetensors(graph: Graph, path: Path) -> Answering:
    """The weights as the row has them, and with them what it takes to build the network: its card."""
    state = weights.load(graph.loaded.folder / models.MODEL)[1]
    card = {key: graph.loaded.card[key] for key in ("row", "kind", "settings", "given", "size")}
    weights.save(path, state, {**_about(graph), "card": card})
    read = _read(path)
    return lambda parts, given: read(given).images


def _read(path: Path) -> Reconstructor:
    """The reconstructor of a file of weights, of a row with several the one that the graph is of."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(path, Path(folder) / models.MODEL)
        model = models.Model(Path(folder), weights.read_about(path)["card"])
        found = reconstructors.kind_of(model.settings).load(model)
    return next(each for each in found.values() if not getattr(each, "exemplar", False))
