"""The engine on a cluster of two nodes, one of which dies."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clusters import Cluster, started
from conftest import ROOT

from afterimage.core import cluster, compute, engine
from afterimage.core.errors import DeviceError, EngineError, ImageError, ParamsError

PINNED = {"ATEN_CPU_CAPABILITY": "avx2", "OMP_NUM_THREADS": "3"}


@pytest.fixture(scope="module")
def nodes() -> Iterator[Cluster]:
    with started(2) as found:
        yield found
        cluster.disconnect()


@pytest.fixture
def ray(nodes: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cluster is the engine. Workers have what tests import by its source alone: no module of theirs."""
    monkeypatch.setenv("AFTERIMAGE_ENGINE", f"ray:{nodes.address}")
    monkeypatch.setattr(compute, "pinned", lambda: PINNED)
    monkeypatch.chdir(nodes.folder)


def sent() -> dict[str, Callable[..., Any]]:
    """Functions that are sent whole, as nothing of a worker's is called so."""

    def place(number: int) -> tuple[int, str, dict[str, str | None]]:
        return number, str(Path.cwd()), {name: os.environ.get(name) for name in (*PINNED, "AFTERIMAGE_ENGINE")}

    def fail(number: int) -> int:
        if number == 3:
            raise ImageError("the third")
        return number

    def die(marker: str, number: int) -> int:
        """Once, with the worker, where there is a marker; each time where the marker cannot be taken away."""
        if number == 3 and Path(marker).exists():
            if Path(marker).is_file():
                Path(marker).unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    def copy(number: int) -> list[str]:
        with Path(f"in/{number}").open("rb") as stream:
            stream.seek(5)
            data = stream.read(3)
        Path("out").mkdir(exist_ok=True)
        Path(f"out/{number}").write_bytes(data + Path("common").read_bytes())
        return [str(Path.cwd()), *sorted(map(str, Path("in").iterdir()))]

    return {"place": place, "fail": fail, "die": die, "copy": copy}


SENT = sent()


@pytest.mark.usefixtures("ray")
def test_results_come_in_the_order_of_the_units_from_workers_like_this_process(nodes: Cluster) -> None:
    found = list(engine.map(SENT["place"], range(20)))
    assert [number for number, *_ in found] == list(range(20))
    assert {folder for _, folder, _ in found} == {str(nodes.folder)}
    assert all(environment == {**PINNED, "AFTERIMAGE_ENGINE": None} for *_, environment in found)


@pytest.mark.usefixtures("ray")
def test_a_fault_is_raised_as_it_is_and_the_workers_go_on() -> None:
    with pytest.raises(ImageError, match="^the third$"):
        list(engine.map(SENT["fail"], range(6)))
    assert list(engine.map(SENT["fail"], range(3))) == [0, 1, 2]


@pytest.mark.usefixtures("ray")
def test_only_a_few_units_are_drawn_before_their_turn() -> None:
    drawn: list[int] = []

    def units() -> Iterator[int]:
        for number in range(50):
            drawn.append(number)
            yield number

    for number, result in enumerate(engine.map(abs, units())):
        assert result == number
        assert len(drawn) <= number + 1 + engine.AHEAD * 2


@pytest.mark.usefixtures("ray")
def test_a_function_is_sent_once_with_what_it_loads() -> None:
    class Loading:
        def __init__(self) -> None:
            self.loaded: list[int] = []

        def __call__(self, number: int) -> tuple[int, int]:
            self.loaded.append(number)
            return os.getpid(), len(self.loaded)

    found = list(engine.map(Loading(), range(10)))
    for worker in {worker for worker, _ in found}:
        counts = [count for each, count in found if each == worker]
        assert counts == list(range(1, len(counts) + 1))


@pytest.mark.usefixtures("ray")
def test_a_unit_whose_worker_is_lost_goes_to_another(nodes: Cluster) -> None:
    from functools import partial

    marker = nodes.folder / "marker"
    marker.touch()
    assert list(engine.map(partial(SENT["die"], str(marker)), range(6))) == list(range(6))
    assert not marker.exists()


@pytest.mark.usefixtures("ray")
def test_a_unit_that_no_worker_survives_is_one_line(nodes: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    from functools import partial

    monkeypatch.setattr(cluster, "TRIES", 2)
    with pytest.raises(EngineError, match="the cluster lost 2 workers with one unit: .+") as caught:
        list(engine.map(partial(SENT["die"], str(nodes.folder)), range(6)))
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("ray")
@pytest.mark.parametrize(
    ("variable", "fault", "line"),
    [
        ("AFTERIMAGE_FILES=some", ParamsError, "AFTERIMAGE_FILES=some: expected shared or carried"),
        ("AFTERIMAGE_JOBS=none", ParamsError, "AFTERIMAGE_JOBS=none: expected a whole number"),
    ],
)
def test_settings_that_are_none(
    monkeypatch: pytest.MonkeyPatch, variable: str, fault: type[Exception], line: str
) -> None:
    monkeypatch.setenv(*variable.split("="))
    with pytest.raises(fault, match=line):
        list(engine.map(abs, range(2)))


@pytest.mark.usefixtures("ray")
def test_a_gpu_that_no_node_has() -> None:
    assert list(engine.map(abs, range(2), device="auto")) == [0, 1]
    with pytest.raises(DeviceError, match="`cuda` is not available here: the cluster has 2 CPUs and 0 GPUs"):
        list(engine.map(abs, range(2), device="cuda"))


@pytest.mark.usefixtures("ray")
def test_files_travel_where_no_folder_is_shared(
    nodes: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFTERIMAGE_FILES", "carried")
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for number in range(4):
        Path(f"in/{number}").write_bytes(bytes([number]) * 10)
    Path("common").write_text("C")
    files = engine.Files(
        common=[Path("common")],
        reads=lambda number: [engine.Piece(Path(f"in/{number}"), 5, 3)],
        writes=lambda number: [Path(f"out/{number}")],
    )
    found = list(engine.map(SENT["copy"], range(4), files=files))
    assert [Path(f"out/{number}").read_bytes() for number in range(4)] == [bytes([n]) * 3 + b"C" for n in range(4)]
    assert [names for _, *names in found] == [[f"in/{number}"] for number in range(4)]
    assert not {folder for folder, *_ in found} & {str(tmp_path), str(nodes.folder)}
    files = engine.Files(reads=lambda number: [engine.Piece(tmp_path / f"in/{number}")])
    with pytest.raises(ParamsError, match=r"carried: .*/in/0 is not in the project's folder"):
        list(engine.map(SENT["copy"], range(4), files=files))


@pytest.mark.usefixtures("ray")
def test_a_node_that_is_lost_loses_nothing(nodes: Cluster) -> None:
    found = engine.map(SENT["place"], range(30))
    first = [next(found)]
    nodes.kill(1)
    assert [number for number, *_ in [*first, *found]] == list(range(30))


def test_no_cluster_and_no_ray_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFTERIMAGE_ENGINE", "ray:127.0.0.1:1")
    cluster.disconnect()
    with pytest.raises(EngineError, match=r"AFTERIMAGE_ENGINE=ray:127.0.0.1:1: no cluster: .*refused; `ray start`"):
        list(engine.map(abs, range(2)))
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EngineError, match=r"Ray is not installed; `pip install 'afterimage\[cluster\]'`"):
        list(engine.map(abs, range(2)))


PROGRAM = """
import os, sys, time
from afterimage.core import engine
from afterimage.core.errors import EngineError
def slow(number):
    import time
    time.sleep(0.2)
try:
    for _ in engine.map(slow, range(10_000)):
        print("one", flush=True)
except EngineError as error:
    sys.exit(f"line: {error}")
"""


@pytest.mark.usefixtures("ray")
def test_a_head_that_is_lost_is_one_line(nodes: Cluster) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    while (line := program.stdout.readline()) != "one\n":
        assert line, program.communicate()  # before it Ray itself may say, in several lines, that a node died
    nodes.kill(0)
    _, said = program.communicate(timeout=60)
    assert program.returncode == 1
    assert "line: the head of the cluster, " in said.splitlines()[-1]
