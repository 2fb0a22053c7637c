"""Nothing is told to anybody: a run of the whole pipeline asks for no address outside of this machine."""

import ipaddress
import json
import os
import subprocess
import sys
from pathlib import Path

from conftest import Project

# 192.0.2.0/24 is nobody's (RFC 5737), and so is .invalid (RFC 2606)
PLANTED = """
import socket
for ask in (
    lambda: socket.create_connection(("192.0.2.1", 9), timeout=0.05),
    lambda: socket.getaddrinfo("telemetry.invalid", 443),
    lambda: socket.gethostbyname("telemetry.invalid"),
    lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"", ("192.0.2.2", 9)),
    lambda: socket.create_connection(("127.0.0.1", 9), timeout=0.05),
    lambda: socket.socket(socket.AF_UNIX).connect("/nowhere"),
):
    try:
        ask()
    except OSError:
        pass
"""


def leaving(project: Project) -> list[tuple[str, str]]:
    """Event and host of each address outside of the machine that a process of the project asked for."""
    path = project.connections
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
    return [(event, host) for event, host, _ in lines if not _here(host)]


def _here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def test_the_watcher_sees_what_leaves_the_machine(project: Project, tmp_path: Path) -> None:
    other = Project(tmp_path / "project", project.home)
    other.root.mkdir()
    other.run("python", "-c", PLANTED)
    assert leaving(other) == [
        ("socket.getaddrinfo", "192.0.2.1"),
        ("socket.connect", "192.0.2.1"),
        ("socket.getaddrinfo", "telemetry.invalid"),
        ("socket.gethostbyname", "telemetry.invalid"),
        ("socket.sendto", "192.0.2.2"),
    ]


class Telling(Project):
    """DVC as it is without settings, but for where it would tell it: nobody listens there."""

    @property
    def environment(self) -> dict[str, str]:
        nobody = "http://127.0.0.1:1"
        return {**super().environment, "DVC_ANALYTICS_ENDPOINT": nobody, "DVC_UPDATER_ENDPOINT": nobody}


def test_the_watcher_sees_dvcs_telemetry(project: Project, tmp_path: Path) -> None:
    other = Telling(tmp_path / "project", project.home)
    other.root.mkdir()
    other.dvc("init", "--no-scm")
    other.dvc("version")
    assert {("subprocess.Popen", "daemon analytics"), ("subprocess.Popen", "daemon updater")} == {*leaving(other)}


def test_a_whole_run_asks_for_no_address(project: Project) -> None:
    """`dvc repro` of every stage, and what other tests did in the project since."""
    assert not {"DVC_NO_ANALYTICS", "DVC_TEST", "CI"} & project.environment.keys(), "these would hide what DVC does"
    assert leaving(project) == []


def test_dvc_neither_tells_nor_asks(project: Project) -> None:
    for name in ("core.analytics", "core.check_update"):
        assert project.dvc("config", "--project", name).strip() == "false"


def test_the_hub_is_told_nothing_about_this_machine() -> None:
    program = (
        "from afterimage.datasets.sources import huggingface; from huggingface_hub import constants, utils\n"
        "assert constants.HF_HUB_DISABLE_TELEMETRY\n"
        "print(utils.build_hf_headers()['user-agent'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env={
        name: value for name, value in os.environ.items() if not name.endswith("TELEMETRY")
    })  # fmt: skip
    assert "torch" not in done.stdout and "session_id" not in done.stdout
