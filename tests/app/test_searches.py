"""Searches of visitors: a process each, a queue before them, and ends of all kinds."""

import base64
import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pictures
import pytest
from PIL import Image

from afterimage.app import searches
from afterimage.app.places import Places
from afterimage.app.searches import Phase, Search
from afterimage.core.errors import AfterimageError
from afterimage.core.images import encode_png

PICTURE = Image.new("RGB", (40, 32), "red")
SEEN = base64.b64encode(encode_png(PICTURE)).decode()


def step(number: int, of: int = 5, over: bool = False) -> dict[str, Any]:
    return {"number": number, "of": of, "error": 1 / (1 + number) if number else None, "image": SEEN, "over": over}


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Search]:
    """Start a search whose process says these lines, and then waits for so many seconds."""
    real = searches.Run.through

    def start(*lines: dict[str, Any], waits: float = 0) -> Search:
        said = "\n".join(json.dumps(line) for line in lines)
        program = f"import sys, time; sys.stdin.buffer.read(); print({said!r}, flush=True); time.sleep({waits})"
        monkeypatch.setattr(
            searches.Run, "through", lambda self, words, given: real(self, [sys.executable, "-c", program], given)
        )
        return Search(Path(), "row", pictures.noise(48, 40))

    return start


def until(true: Callable[[], bool]) -> None:
    for _ in range(600):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("it does not come to this")


def test_a_search_tells_of_its_steps_and_its_end(search: Callable[..., Search]) -> None:
    mine = search(step(0), step(2), step(4, over=True), waits=600)  # what ended is not waited for
    run = mine.run
    until(lambda: run.over)
    assert (run.phase, run.number, run.of, run.error) == (Phase.DONE, 4, 5, 0.2)
    assert run.begins is not None and run.image is not None
    assert run.image.getpixel((0, 0)) == (255, 0, 0)
    assert run.seconds_left is not None and run.seconds_left >= 0


def test_what_was_found_stays_when_it_is_stopped_or_out_of_time(
    search: Callable[..., Search], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = search(step(0), step(2), waits=600)
    until(lambda: mine.run.number == 2)
    assert mine.run.phase == Phase.RUNNING
    mine.run.stop()
    until(lambda: mine.run.over)
    assert (mine.run.phase, mine.run.number, mine.run.image is None) == (Phase.STOPPED, 2, False)
    monkeypatch.setattr(searches, "SEARCH_SECONDS", 1)
    late = search(step(0), step(1), waits=600)
    until(lambda: late.run.over)
    assert (late.run.phase, late.run.number, late.run.image is None) == (Phase.LATE, 1, False)


def test_a_fault_is_one_sentence(search: Callable[..., Search]) -> None:
    named = search({"fault": "the row is not whole"})
    until(lambda: named.run.over)
    assert (named.run.phase, named.run.fault) == (Phase.FAILED, "the row is not whole")
    silent = search(step(0))
    until(lambda: silent.run.over)
    assert (silent.run.phase, silent.run.fault) == (Phase.FAILED, "The search failed; the server's log says why.")


def test_others_wait_in_a_queue_that_has_an_end(search: Callable[..., Search], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searches, "PLACES", Places(1))
    monkeypatch.setattr(searches, "MAX_WAITING", 2)
    begun = [search(step(0), waits=600) for _ in range(3)]
    run, second, third = begun[0].run, begun[1], begun[2]
    until(lambda: run.phase == Phase.RUNNING)
    assert [each.run.phase for each in (second, third)] == [Phase.WAITING] * 2
    assert [each.run.ahead for each in (second, third)] == [0, 1]
    with pytest.raises(AfterimageError, match=r"^2 searches wait already; try again in a minute\.$"):
        search(step(0))
    second.run.stop()
    until(lambda: second.run.over)
    assert (second.run.phase, second.run.image, third.run.ahead) == (Phase.STOPPED, None, 0)
    del begun
    gc.collect()  # the visitor left
    until(lambda: run.over and third.run.phase == Phase.RUNNING)
    assert run.phase == Phase.STOPPED
    third.run.stop()
    until(lambda: third.run.over)
