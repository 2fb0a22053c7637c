"""The campaign finds what it is there to find, and nothing in the project."""

import os
import pickle
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from campaigns.fuzz import workers
from campaigns.fuzz.targets import TARGETS, Target, every

from afterimage.core.errors import ImageError


@pytest.fixture(autouse=True)
def _back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield


def test_a_hundred_inputs_end_well_or_with_a_clear_line() -> None:
    light = [name for name in TARGETS if name not in ("clips", "results")]
    jobs = [workers.Job(name, 7, number) for number in range(8) for name in light]
    for name in light:
        TARGETS[name].seeds()
    outcomes = list(workers.run(jobs, TARGETS, 1, 60))
    assert len(outcomes) == len(jobs) > 100
    assert [outcome for outcome in outcomes if outcome.is_finding] == []
    assert len({outcome.ended for outcome in outcomes}) > 5  # damage reached the readers


def test_a_seed_and_a_number_give_one_input() -> None:
    for name in ("images", "archives", "weights", "params", "results"):
        made = [TARGETS[name].make(3, number) for number in range(4)]
        assert made == [TARGETS[name].make(3, number) for number in range(4)]
        assert made != [TARGETS[name].make(4, number) for number in range(4)]


def crash() -> None:
    os.abort()


def surprise() -> None:
    raise KeyError("x")


def hang() -> None:
    time.sleep(60)


def two_lines() -> None:
    fault = ImageError("a")
    fault.args = ("a\nb",)
    raise fault


def nameless() -> None:
    raise ImageError("damaged")


def beside() -> None:
    Path("../beside").write_text("x")


def in_c() -> None:
    import numpy as np

    np.arange(3, dtype=np.uint8).tofile("../beside")


def hidden() -> None:
    every(lambda: os.system("true") and None)


class _Payload:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch ../executed",)


def executed() -> None:
    pickle.loads(pickle.dumps(_Payload()))


def hungry() -> None:
    bytearray(workers.ROOM + (1 << 30))


@pytest.mark.parametrize(
    ("reader", "ended"),
    [
        (crash, "died"),
        (surprise, "traceback"),
        (hang, "hang"),
        (two_lines, "text"),
        (nameless, "text"),
        (beside, "forbidden"),
        (in_c, "forbidden"),
        (hidden, "forbidden"),
        (executed, "forbidden"),
        (hungry, "memory"),
    ],
)
def test_a_faulty_reader_is_found_and_the_next_input_is_read(reader: Callable[[], None], ended: str) -> None:
    sound = Target("sound", lambda: [{"a.txt": b"a"}], lambda: None)
    faulty = Target("faulty", lambda: [{"a.txt": b"a"}], reader, None, ("a.txt",))
    jobs = [workers.Job("faulty", 1, 0), workers.Job("sound", 1, 0)]
    first, second = workers.run(jobs, {"faulty": faulty, "sound": sound}, 1, 2.0)
    assert (first.ended, first.is_finding) == (ended, True), first
    assert (second.ended, second.is_finding) == ("well", False), second
