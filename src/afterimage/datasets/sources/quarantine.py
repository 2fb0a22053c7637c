"""What was set aside: a table with the reason of each file, and the kinds that reasons fall into.

A reason is a sentence about one file, with its sizes and names; counting needs kinds.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from afterimage.core import outputs

COLUMNS = ("origin", "kind", "reason")

KINDS = {
    "partner": "^its partner ",
    "empty": "^the file is empty|holds no image|^no video|^no frames|holds 0 frames",
    "too small": "smaller than",
    "too large": "larger than|more than the .* px allowed|^more than .* frames|holds .* frames of",
    "link": "^link that",
    "name": "^absolute name|^name that leads out|^a later file of the archive",
    "damaged": "^damaged|^decodes to|not a whole|claims to be|^frames without times",
    "unreadable": "^cannot be read|^not a regular file|^encrypted|^sparse file",
    "format": "^not an image|samples|expected uint8|expected .*corners|^no array",
}
"""The first kind whose pattern is found in a reason is its kind."""


def kind(reason: str) -> str:
    """The kind of a reason; `other` if it is of none."""
    return next((name for name, pattern in KINDS.items() if re.search(pattern, reason)), "other")


def write(path: Path, rejected: Iterable[tuple[str, str]]) -> None:
    """Write the table of origins and reasons, sorted."""
    outputs.write_csv(path, COLUMNS, ((origin, kind(reason), reason) for origin, reason in sorted(rejected)))
