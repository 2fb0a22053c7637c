"""Rows of the kind `inversion`."""

import sys

from afterimage.reconstructors import ReconstructorRow
from afterimage.reconstructors.inversion.search import Settings


class InversionRow(Settings, ReconstructorRow):
    """A layer of `observation`, and how images are searched from its features."""

    decoder: str
    """The row of `reconstructors` whose answer starts the second search."""

    @property
    def together(self) -> int:
        """All of them: a search goes by batches of its own, so that one checkpoint covers a whole row."""
        return sys.maxsize
