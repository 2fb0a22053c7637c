"""Rows on their way out: as a file that other programs run, and as a repository of the Hugging Face hub.

    graphs.py       the network of a row as one graph for images of any size, a function a kind of reconstructor
    writing.py      that graph as ONNX, as TorchScript, or the weights alone as safetensors
    checking.py     what was written, asked for the same images as the row
    publishing.py   the folder that becomes a repository: a zoo of one row, a card, pictures
    hub.py          sending such a folder, and fetching one

`write` writes a file and keeps it only if its answers are those of the row.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from afterimage.core.errors import AfterimageError

if TYPE_CHECKING:
    from afterimage.export.checking import Difference

FORMATS = {"onnx": ".onnx", "torchscript": ".pt", "safetensors": ".safetensors"}
"""The extension of each."""
LARGEST, SHARE = 1, 0.01
"""What is tolerated: so many levels of 255, and in so large a part of the values. Sums in another order turn a few
values that lie between two levels; a graph that is wrong is wrong in most of them."""


class ExportError(AfterimageError):
    """A row cannot be written in a format, or what was written does not answer as the row does."""


class Written(NamedTuple):
    """A file that was written and checked."""

    row: str
    """With the case that went into the file."""
    sha256: str
    takes: str
    """What goes in and comes out, in words."""
    left_out: Sequence[str]
    """What the row does beside, a sentence each."""
    differences: "Sequence[Difference]"


def write(project: Path, row: str, form: str, out: Path) -> Written:
    """Write a trained row as a file.

    Args:
        row: of params.yaml or of the zoo; `/CASE` behind it picks one of its reconstructors.
        form: one of `FORMATS`.

    Raises:
        ParamsError: there is no such row.
        WeightsError: the row is not trained here, or its files are damaged.
        ExportError: rows of its kind, or such settings, do not go into a graph; or its answers differ from those of
            the row by more than is tolerated. There is no file then.
    """
    from afterimage import apply, reconstructors
    from afterimage.core import outputs, zoo
    from afterimage.export import checking, graphs, writing

    name, case = zoo.parted(row)
    loaded = reconstructors.load(project, name, "cpu")
    graph = graphs.of(name, loaded, apply.pick(loaded, name, case))
    with outputs.file(out) as partial:
        model = writing.write(graph, form, partial)
        differences = list(checking.differences(graph, model))
        worst = max(differences, key=lambda each: (each.largest, each.share))
        if worst.largest > LARGEST or worst.share > SHARE:
            raise ExportError(f"{graph.row}: as {form} {worst} from the row; tolerated are {tolerated()}")
        return Written(graph.row, outputs.sha256(partial), graph.takes, graph.left_out, differences)


def tolerated() -> str:
    return f"{LARGEST} level of 255 in {SHARE:.0%} of the values"
