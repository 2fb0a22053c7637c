"""A TorchScript program, such as LaMa's published `big-lama.pt`.

It is no Python, but it may call any operator of torch, and some of those read and write files: its row needs `trust`.
"""

import io
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from afterimage.core.errors import WeightsError
from afterimage.core.parsing import parsing
from afterimage.reconstructors.external import asking
from afterimage.reconstructors.external.asking import Asked
from afterimage.reconstructors.external.row import Declared, OutsideRow, Pinned, Trusted

if TYPE_CHECKING:
    from afterimage.training.models import Model


class Row(OutsideRow, Pinned, Declared, Trusted):
    """A row with `format: torchscript`."""

    format: Literal["torchscript"]

    def reconstructor(self, model: "Model") -> Asked:
        data, path = self.read(model.project), str(model.project / self.path)
        with parsing(WeightsError, f"{path}: not a TorchScript program"):
            program = torch.jit.load(io.BytesIO(data), map_location=model.device).eval()

        def ask(parts: list[Tensor]) -> Tensor:
            return asking.understood(self, program(*asking.declared(self, parts, self.observes)))

        return Asked(path, self.observes, ask, model.device, self.side)
