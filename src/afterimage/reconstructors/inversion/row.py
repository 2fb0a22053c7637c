"""Rows of the kind `inversion`."""

from afterimage.reconstructors import ReconstructorRow
from afterimage.reconstructors.inversion.search import Settings


class InversionRow(Settings, ReconstructorRow):
    """A layer of `observation`, and how images are searched from its features."""

    decoder: str
    """The row of `reconstructors` whose answer starts the second search."""

    @property
    def together(self) -> int:
        return self.batch
