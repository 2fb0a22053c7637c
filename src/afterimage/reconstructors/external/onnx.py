"""An ONNX graph, run by onnxruntime. It is data: its operators are onnxruntime's own, and none reaches files.

Weights have to lie in the file: what it names beside it would be of no hash, and is refused.

Inputs are taken in the order of the graph, in the type that it says; its first output is the answer.
"""

import tempfile
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from afterimage.core.errors import WeightsError
from afterimage.core.parsing import parsing
from afterimage.reconstructors.external import asking
from afterimage.reconstructors.external.asking import Asked
from afterimage.reconstructors.external.row import Declared, OutsideRow, Pinned

if TYPE_CHECKING:
    from afterimage.training.models import Model

TYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
}
ELSEWHERE = "session.model_external_initializers_file_folder_path"
"""onnxruntime's setting for the folder in which it looks for weights outside of a file; the default is this one."""
FATAL = 4
"""onnxruntime's level of logging at which it writes nothing but what ends the process."""


class Row(OutsideRow, Pinned, Declared):
    """A row with `format: onnx`."""

    format: Literal["onnx"]

    def reconstructor(self, model: "Model") -> Asked:
        path = str(model.project / self.path)
        graph = Graph(self.read(model.project), path, model.device)

        def ask(parts: list[Tensor]) -> Tensor:
            return asking.understood(self, graph(asking.declared(self, parts, self.observes)))

        return Asked(path, self.observes, ask, model.device, self.side)


class Graph:
    """A graph in a session of its own.

    Raises:
        WeightsError: it is none that onnxruntime can run.
    """

    def __init__(self, data: bytes, path: str, device: torch.device):
        import onnxruntime

        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()  # else one a core, and other bits on other machines
        options.log_severity_level = FATAL
        wanted = {"cuda": ["CUDAExecutionProvider"]}.get(device.type, [])
        there = onnxruntime.get_available_providers()
        providers = [*(name for name in wanted if name in there), "CPUExecutionProvider"]
        fault = f"{path}: not an ONNX graph that onnxruntime {onnxruntime.__version__} runs"
        with tempfile.TemporaryDirectory() as empty, parsing(WeightsError, fault):
            options.add_session_config_entry(ELSEWHERE, empty)
            self.session: Any = onnxruntime.InferenceSession(data, options, providers=providers)
        self.inputs = self.session.get_inputs()
        if unknown := [each for each in self.inputs if each.type not in TYPES]:
            raise WeightsError(f"{path}: the input {unknown[0].name} is of the type {unknown[0].type}")

    def __call__(self, parts: list[Tensor]) -> Tensor:
        if len(parts) != len(self.inputs):
            names = ", ".join(each.name for each in self.inputs)
            raise ValueError(f"it has the inputs {names}, and there are {len(parts)} tensors for them")
        arrays = {
            each.name: part.cpu().numpy().astype(TYPES[each.type])
            for each, part in zip(self.inputs, parts, strict=True)
        }
        return torch.from_numpy(self.session.run(None, arrays)[0])
