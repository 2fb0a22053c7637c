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
        self.nodes: list[subprocess.Popen[bytes]] = []
        self.add("--head", f"--port={port}", f"--temp-dir={folder}", "--include-dashboard=false")

    def add(self, *words: str) -> None:
        """Start a node."""
        words = words or (f"--address={self.address}",)
        size = ["--num-cpus=1", f"--node-ip-address=127.0.0.{len(self.nodes) + 1}", "--object-store-memory=80000000"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AFTERIMAGE_")}
        with (self.folder / f"node{len(self.nodes)}.log").open("wb") as log:
            node = subprocess.Popen(
                [str(RAY), "start", *words, *size, "--block"],
                env={**environment, **QUICK},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.nodes.append(node)

    def wait(self) -> None:
        """Until every node says that it runs."""
        until = time.monotonic() + 120
        for number, node in enumerate(self.nodes):
            log = self.folder / f"node{number}.log"
            while "Ray runtime started" not in log.read_text():
                assert node.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.1)

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
