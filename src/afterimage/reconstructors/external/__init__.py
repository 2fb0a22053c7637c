"""Reconstructors from elsewhere: a package with a `Kind` of its own, or a model outside that is taken as it is.

A row with `entry` names a package that registers a `Kind` under the entry-point group `afterimage.reconstructors`, and
which version of its distribution the row is written for. All other keys are the package's own: the class of its rows
derives from `ExternalRow`.

A row with `format` says what a model outside comes as; nothing is trained, and it is measured like any other row.

    folder.py       the images that it made already
    checkpoint.py   a checkpoint of a published architecture, which spandrel finds out
    torchscript.py  a TorchScript program
    onnx.py         an ONNX graph
    python.py       a Python callable
    command.py      a command line that reads and writes folders

`row.py` has what their rows have in common, `asking.py` how a model is asked for one image at a time.

DVC watches the row. So what lies outside is pinned there: a file or a folder by its `sha256`, code by its `version`.
"""

from collections.abc import Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any

from afterimage.core.errors import ParamsError
from afterimage.reconstructors import Kind, Reconstructor, ReconstructorRow

if TYPE_CHECKING:
    from afterimage.observations import Stored
    from afterimage.reconstructors.external.row import OutsideRow
    from afterimage.training.models import Model

GROUP = "afterimage.reconstructors"


class ExternalRow(ReconstructorRow):
    """A row of a kind from elsewhere."""

    entry: str
    """The name of its entry point."""
    version: str
    """Of the distribution that registers it."""


class Outside(Kind):
    """Rows of models outside, of those that come in one format and observe one thing."""

    def __init__(self, row: "type[OutsideRow]", observes: str):
        self.Row, self.observes = row, observes

    def learner(self, row: "OutsideRow", stored: "Stored") -> None:
        return None

    def load(self, model: "Model") -> Mapping[str, Reconstructor]:
        """Raises:
        WeightsError: a file is missing, altered, or not what the format says.
        ParamsError: the model is not for such observations, or there is no such callable.
        """
        row = self.Row.model_validate(model.settings)
        return {"": row.reconstructor(model)}


def kind(values: Mapping[str, Any]) -> Kind:
    """The kind that a row names.

    Raises:
        ParamsError: it is not installed, or another version of it is; or there is no such format.
    """
    if "format" in values:
        return _outside(values["format"], values.get("observes"))
    there = {entry.name: entry for entry in metadata.entry_points(group=GROUP)}
    name = values.get("entry")
    if name not in there:
        known = ", ".join(sorted(there)) or "none"
        raise ParamsError(f"entry {name!r} is not among the installed entry points of {GROUP}; there are {known}")
    entry = there[name]
    installed = entry.dist.version if entry.dist else None
    if str(values.get("version")) != installed:
        raise ParamsError(f"version {values.get('version')!r} of {name!r} is expected, and {installed} is installed")
    loaded = entry.load()
    return loaded() if isinstance(loaded, type) else loaded


def _outside(name: Any, observes: Any) -> Outside:
    from afterimage.reconstructors.external import checkpoint, command, folder, onnx, python, torchscript

    formats: Mapping[str, type[OutsideRow]] = {
        "folder": folder.Row,
        "checkpoint": checkpoint.Row,
        "torchscript": torchscript.Row,
        "onnx": onnx.Row,
        "python": python.Row,
        "command": command.Row,
    }
    row = formats.get(name) if isinstance(name, str) else None
    if row is None:
        raise ParamsError(f"format {name!r}: there is no such format; there are {', '.join(formats)}")
    if observes not in row.TAKES:
        raise ParamsError(f"format {name!r} takes {' and '.join(row.TAKES)}, and the row observes {observes!r}")
    return Outside(row, observes)
