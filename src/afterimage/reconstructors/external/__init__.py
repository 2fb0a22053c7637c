"""Reconstructors from elsewhere: packages that register a `Kind` under the entry-point group
`afterimage.reconstructors`.

A row says which one it is, `entry`, and which version of its distribution it is written for, `version`. DVC watches
the row, so a new version that is written there makes it run again. All other keys are the package's own: the class of
its rows derives from `ExternalRow`.
"""

from collections.abc import Mapping
from importlib import metadata
from typing import Any

from afterimage.core.errors import ParamsError
from afterimage.reconstructors import Kind, ReconstructorRow

GROUP = "afterimage.reconstructors"


class ExternalRow(ReconstructorRow):
    """A row of a kind from elsewhere."""

    entry: str
    """The name of its entry point."""
    version: str
    """Of the distribution that registers it."""


def kind(values: Mapping[str, Any]) -> Kind:
    """The kind that a row names.

    Raises:
        ParamsError: it is not installed, or another version of it is.
    """
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
