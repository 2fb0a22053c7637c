"""Searches that visitors start: each in a process of its own, so that nobody else's picture waits for it.

A process, since a search takes a minute, can be ended at any moment, and must not run beside what patches torch
(`models.TURN`).
"""

import base64
import io
import json
import logging
import subprocess
import sys
import threading
import time
import weakref
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Any

from PIL import Image

from afterimage.app.places import Places
from afterimage.core.errors import AfterimageError
from afterimage.core.images import encode_png

MAX_SEARCHES = 2
"""That run at a time; the others wait."""
MAX_WAITING = 16
SEARCH_SECONDS = 600
"""That one may take, the loading of its row with it."""
PLACES = Places(MAX_SEARCHES)


class Phase(StrEnum):
    """Where a search is; the last four are ends."""

    WAITING = "waiting"
    LOADING = "loading"
    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"
    LATE = "late"
    FAILED = "failed"


class Run:
    """What a search has come to: a thread tells, and pages look.

    Attributes:
        number, of: the step that it is at, and how many there are at most.
        begins: what it begins with, where that is an image.
        image, error: the best so far, and its feature error.
        steps_seconds: that the steps so far took.
        fault: why it failed, in a sentence.
    """

    def __init__(self) -> None:
        self.phase = Phase.WAITING
        self.number, self.of, self.steps_seconds = 0, 0, 0.0
        self.begins: Image.Image | None = None
        self.image: Image.Image | None = None
        self.error: float | None = None
        self.fault = ""
        self._began = 0.0
        self._ticket = PLACES.enter()
        self._end: Phase | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    @property
    def over(self) -> bool:
        return self.phase in (Phase.DONE, Phase.STOPPED, Phase.LATE, Phase.FAILED)

    @property
    def ahead(self) -> int:
        """How many wait before this one."""
        return PLACES.ahead(self._ticket)

    @property
    def seconds(self) -> float:
        """Since it began to load, or since its first step."""
        return time.monotonic() - self._began if self._began else 0.0

    @property
    def seconds_left(self) -> float | None:
        """At the pace so far, if no rule ends it before; None while there is no pace."""
        return self.steps_seconds / self.number * (self.of - self.number) if self.number else None

    def stop(self, end: Phase = Phase.STOPPED) -> None:
        """End it, or its wait; what was found stays."""
        with self._lock:
            self._end = self._end or end
            if self._process is not None:
                self._process.kill()

    def through(self, words: list[str], given: bytes) -> None:
        """Wait for a place, start a process by these words, and listen to it until it ends."""
        late = threading.Timer(SEARCH_SECONDS, self.stop, (Phase.LATE,))
        try:
            while not self._ticket.wait(0.1):
                if self._end:
                    return
            late.start()
            self._listen(words, given)
        except Exception:
            logging.getLogger(__name__).exception("A search failed")
        finally:
            late.cancel()
            PLACES.leave(self._ticket)
            if not self._end:
                self._end = Phase.FAILED
                self.fault = "The search failed; the server's log says why."
            self.phase = self._end

    def _listen(self, words: list[str], given: bytes) -> None:
        with self._lock:
            if self._end:
                return
            self.phase, self._began = Phase.LOADING, time.monotonic()
            self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        with suppress(BrokenPipeError), self._process as process:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(given)
            process.stdin.close()
            for line in process.stdout:
                self._take(json.loads(line))
                if self._end:
                    process.kill()  # rather than wait until it has let go of all that it loaded

    def _take(self, told: dict[str, Any]) -> None:
        if "fault" in told:
            self.fault, self._end = told["fault"], Phase.FAILED
            return
        image = Image.open(io.BytesIO(base64.b64decode(told["image"]))) if told["image"] else None
        if told["number"] == 0:
            self.phase, self.begins, self._began = Phase.RUNNING, image, time.monotonic()
        self.steps_seconds = time.monotonic() - self._began
        self.number, self.of, self.error = told["number"], told["of"], told["error"]
        self.image = image or self.image
        if told["over"]:
            self._end = Phase.DONE


class Search:
    """A visitor's search; it ends at the latest when nobody holds on to this.

    Attributes:
        row: of `searches`.
        given: the picture, whose features alone are searched by.

    Raises:
        AfterimageError: too many wait already.
    """

    def __init__(self, project: Path, row: str, given: Image.Image):
        if PLACES.waiting() >= MAX_WAITING:
            raise AfterimageError(f"{MAX_WAITING} searches wait already; try again in a minute.")
        self.row, self.given, self.run = row, given, Run()
        words = [sys.executable, "-m", "afterimage.app.searcher", str(project.resolve()), row]
        threading.Thread(target=self.run.through, args=(words, encode_png(given)), daemon=True).start()
        weakref.finalize(self, self.run.stop)
