"""A Ray cluster of several nodes on this machine, as `ray start` makes it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RAY = Path(sys.executable).with_name("ray")
QUICK = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "3"}


class Cluster:
    """Nodes with a CPU each; the first is the head."""

    def __init__(self, folder: Path):
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        self.words: list[list[str]] = []
        self.nodes: list[subprocess.Popen[bytes]] = []
        self.add("--head", f"--port={port}", f"--temp-dir={folder}", "--include-dashboard=false")

    def add(self, *words: str) -> None:
        """Start a node."""
        words = words or (f"--address={self.address}",)
        size = ["--num-cpus=1", f"--node-ip-address=127.0.0.{len(self.nodes) + 1}", "--object-store-memory=80000000"]
        self.words.append([str(RAY), "start", *words, *size, "--block"])
        self.nodes.append(self._start(len(self.nodes)))

    def wait(self) -> None:
        """Until every node says that it runs. Ray gives up after 30 s of its own, which a busy machine may need."""
        until = time.monotonic() + 180
        for number in range(len(self.nodes)):
            while "Ray runtime started" not in (told := self._log(number).read_text()):
                assert time.monotonic() < until, told
                if self.nodes[number].poll() is not None:
                    self.nodes[number] = self._start(number)
                time.sleep(0.1)

    def _log(self, number: int) -> Path:
        return self.folder / f"node{number}.log"

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AFTERIMAGE_")}
        with self._log(number).open("wb") as log:
            return subprocess.Popen(
                self.words[number],
                env={**environment, **QUICK},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self, number: int) -> None:
        """End all processes of a node at once, as a loss of power does."""
        os.killpg(self.nodes[number].pid, signal.SIGKILL)
        self.nodes[number].wait()


@contextmanager
def started(nodes: int) -> Iterator[Cluster]:
    """A cluster with so many nodes, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="ray"))  # pytest's own are too long for the names of sockets
    cluster = Cluster(folder)
    try:
        cluster.wait()
        for _ in range(nodes - 1):
            cluster.add()
        cluster.wait()
        yield cluster
    finally:
        for number in reversed(range(len(cluster.nodes))):
            if cluster.nodes[number].poll() is None:
                cluster.kill(number)
        shutil.rmtree(folder, ignore_errors=True)
