"""Where a search stands, kept in a file: one that is killed goes on there and ends with the same bits."""

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from afterimage.core import checkpoints

CHECKPOINT_SECONDS = 30.0


class Checkpoint:
    """The state of a run that consists of descents, each with a name: the results of those that ended, and where the
    one that runs is.

    Args:
        path: the file, outside the outputs; None keeps nothing.
        identity: all that the result depends on. A checkpoint of another identity is not used.
    """

    def __init__(self, path: Path | None, identity: Mapping[str, Any]):
        self.path = path
        fingerprint = hashlib.sha256(json.dumps(dict(identity), sort_keys=True).encode()).hexdigest()
        self.data: dict[str, Any] = {"fingerprint": fingerprint, "done": {}, "name": None, "running": {}}
        if path is not None:
            self.data = checkpoints.read(path, fingerprint) or self.data
        self._saved = time.monotonic()

    def done(self, name: str) -> dict[str, Tensor] | None:
        """The result of a descent that came to its end."""
        return self.data["done"].get(name)

    def running(self, name: str) -> dict[str, Any]:
        """Where a descent was; empty if it has not begun."""
        return self.data["running"] if self.data["name"] == name else {}

    def keep(self, name: str, state: Mapping[str, Any]) -> None:
        """Note where a descent is, if the file is old enough."""
        if self._due():
            self.data |= {"name": name, "running": dict(state)}
            self._write()

    def finish(self, name: str, result: Mapping[str, Tensor]) -> None:
        """Note the result of a descent."""
        self.data["done"][name] = dict(result)
        self.data |= {"name": None, "running": {}}
        if self._due():
            self._write()

    def forget(self) -> None:
        """Remove the file, once everything is written."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _due(self) -> bool:
        return self.path is not None and time.monotonic() - self._saved >= CHECKPOINT_SECONDS

    def _write(self) -> None:
        assert self.path is not None
        checkpoints.write(self.path, self.data)
        self._saved = time.monotonic()
