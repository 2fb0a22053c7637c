"""A trained row on other images than those that it was trained beside: what it is worth on what it never saw.

Nothing is trained or searched here. The row stands among `searches`, with those that start from the model of another.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from afterimage import observations, reconstructors
from afterimage.core.errors import ParamsError
from afterimage.reconstructors import Kind, Reconstructor, ReconstructorRow

if TYPE_CHECKING:
    from afterimage.observations import Stored
    from afterimage.training.models import Model


class TransferRow(ReconstructorRow):
    """A row of the kind `transfer`."""

    decoder: str
    """The row that was trained."""
    batch: int = 8
    """Images that are rebuilt at once."""

    @property
    def together(self) -> int:
        return self.batch


class Transfers(Kind):
    """Rows of the kind, of those that observe one thing."""

    Row = TransferRow

    def __init__(self, observes: str):
        self.observes = observes

    def learner(self, row: TransferRow, stored: "Stored") -> None:
        return None

    def load(self, model: "Model") -> Mapping[str, Reconstructor]:
        """Raises:
        ParamsError: the row that was trained observes something else.
        WeightsError: it is not trained.
        """
        row = TransferRow.model_validate(model.settings)
        loaded = reconstructors.load(model.project, row.decoder)
        if loaded.row.observes != row.observes:
            raise ParamsError(
                f"{row.decoder} observes {loaded.row.observes}, expected one that observes {row.observes}"
            )
        return loaded.reconstructors


KINDS = {each: Transfers(each) for each in observations.KINDS}


def kind(values: Mapping[str, Any]) -> Transfers:
    """The kind of a row, which observes what the row that was trained does."""
    return KINDS.get(str(values.get("observes")), KINDS[observations.KINDS[0]])
