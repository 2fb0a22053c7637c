import threading
from collections.abc import Iterator

import pytest

from afterimage.core import engine
from afterimage.core.errors import ImageError, ParamsError


def square(number: int) -> int:
    return number * number


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_results_come_in_the_order_of_the_units(jobs: int) -> None:
    assert list(engine.map(square, range(20), jobs=jobs)) == [n * n for n in range(20)]


def test_one_job_runs_inline() -> None:
    threads = set(engine.map(lambda _: threading.current_thread(), range(3), jobs=1))
    assert threads == {threading.current_thread()}


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_fault_is_raised_as_it_is(jobs: int) -> None:
    def fail(number: int) -> int:
        if number == 3:
            raise ImageError("the third")
        return number

    with pytest.raises(ImageError, match="the third"):
        list(engine.map(fail, range(6), jobs=jobs))


def test_results_are_worked_out_ahead_of_their_use_and_no_further() -> None:
    started: list[int] = []
    came = threading.Condition()

    def work(number: int) -> int:
        with came:
            started.append(number)
            came.notify()
        if number == 4:
            raise ImageError("the fourth")
        return number

    results = engine.ahead(work, range(9), 2)
    assert next(results) == 0
    with came:
        assert came.wait_for(lambda: started == [0, 1, 2], timeout=10)
    assert [next(results) for _ in range(3)] == [1, 2, 3]
    with pytest.raises(ImageError, match="the fourth"):
        next(results)
    assert 7 not in started


def test_units_are_drawn_as_workers_become_free() -> None:
    drawn: list[int] = []
    early: list[int] = []
    gate = threading.Event()

    def units() -> Iterator[int]:
        for number in range(100):
            drawn.append(number)
            yield number

    def release() -> None:
        early.extend(drawn)
        gate.set()

    threading.Timer(0.3, release).start()
    assert list(engine.map(lambda _: gate.wait(10), units(), jobs=2)) == [True] * 100
    assert 2 <= len(early) <= 8


def test_jobs_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFTERIMAGE_JOBS", "1")
    assert set(engine.map(lambda _: threading.current_thread(), range(2))) == {threading.current_thread()}
    monkeypatch.setenv("AFTERIMAGE_JOBS", "many")
    with pytest.raises(ParamsError, match="AFTERIMAGE_JOBS=many"):
        list(engine.map(square, range(2)))


def test_an_unknown_engine_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFTERIMAGE_ENGINE", "abacus")
    with pytest.raises(ParamsError, match="AFTERIMAGE_ENGINE=abacus") as caught:
        list(engine.map(square, range(2)))
    assert "\n" not in str(caught.value)
