"""A Python callable: `package.module:name`, of a package that is installed.

It is given the tensors of `asking`, and returns the image `[1, 3, h, w]` in [0, 1]. It is code: its row needs `trust`.
"""

import pkgutil
from typing import TYPE_CHECKING, Literal

from afterimage.core.errors import ParamsError
from afterimage.core.parsing import parsing
from afterimage.reconstructors.external.asking import Asked
from afterimage.reconstructors.external.row import OutsideRow, Sized, Trusted

if TYPE_CHECKING:
    from torch import Tensor

    from afterimage.training.models import Model


class Row(OutsideRow, Sized, Trusted):
    """A row with `format: python`."""

    format: Literal["python"]
    call: str
    """`package.module:name`."""
    version: str
    """Of its code, which DVC does not watch: another one that is written here makes the row run again."""

    def reconstructor(self, model: "Model") -> Asked:
        with parsing(ParamsError, f"call {self.call!r}: cannot be imported"):
            function = pkgutil.resolve_name(self.call)
        if not callable(function):
            raise ParamsError(f"call {self.call!r}: is {type(function).__name__}, expected something to call")

        def ask(parts: "list[Tensor]") -> "Tensor":
            return function(*parts)

        return Asked(self.call, self.observes, ask, model.device, self.side)
