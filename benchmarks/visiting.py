"""`afterimage app` as a process, and visitors without a browser: for `benchmarks.page`, and for tests of the server."""

import http.client
import os
import re
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.sync.client import ClientConnection, connect

ROOT = Path(__file__).parents[1]


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    """Their names are in lower case."""
    body: bytes


class Served:
    """The page on a port of this machine."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, log: Path):
        self.process, self.port, self.log = process, port, log

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def ask(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
        """Send one request; `_` in the names of headers stands for `-`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        found = Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        connection.close()
        return found

    def memory(self, what: str = "VmRSS") -> float:
        """Megabytes that the process holds, or, of `VmHWM`, held at most."""
        text = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(text.partition(f"{what}:")[2].split()[0]) / 1000

    def written(self) -> int:
        """Bytes that the process had written to disks."""
        text = Path(f"/proc/{self.process.pid}/io").read_text(encoding="ascii")
        return int(text.partition("\nwrite_bytes:")[2].split()[0])


@contextmanager
def served(project: Path, home: Path, *words: str, change: str = "") -> Iterator[Served]:
    """`afterimage app` for a project, in a home of its own, until the block ends.

    Args:
        change: Python to run first, such as other limits.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (home / "tmp").mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "HOME": str(home), "TMPDIR": str(home / "tmp")}
    program = f"{change}from afterimage.cli import main; main()"
    command = [sys.executable, "-B", "-c", program, "app", "--project", str(project), "--port", str(port), *words]
    log = home.parent / "app.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(command, env=environment, cwd=home, stdout=stream, stderr=stream)
    page = Served(process, port, log)
    try:
        for _ in range(240):
            try:
                page.ask("/_stcore/health")
                break
            except OSError:
                assert process.poll() is None, log.read_text()
                time.sleep(0.25)
        yield page
    finally:
        process.terminate()
        process.wait(timeout=20)


class Visitor:
    """Streamlit's protocol, as far as a visit needs it."""

    def __init__(self, page: Served, socket: ClientConnection):
        self.page, self.socket = page, socket
        self.session = ""
        self.widgets: dict[str, str] = {}
        """The ids of the widgets that were shown, by their keys."""
        self.states: dict[str, WidgetState] = {}
        """What was set, by key."""
        self.cookie = page.ask("/_stcore/health").headers["set-cookie"].partition(";")[0]
        self.token = self.cookie.partition("=")[2]

    def run(self, name: str = "", seconds: float = 60) -> str:
        """Have a page run, and return the texts of all messages that it sent until it had ended."""
        message = BackMsg()
        message.rerun_script.page_name = name
        message.rerun_script.widget_states.widgets.extend(self.states.values())
        self.socket.send(message.SerializeToString())
        found = []
        while True:
            sent = ForwardMsg()
            sent.ParseFromString(self.socket.recv(timeout=seconds))  # type: ignore[arg-type]
            text = str(sent)
            found.append(text)
            self.widgets |= {key: id for id, key in re.findall(r'id: "(\$\$ID-\w+-([\w-]+))"', text)}
            kind = sent.WhichOneof("type")
            if kind == "new_session":
                self.session = sent.new_session.initialize.session_id
            if kind == "script_finished":
                return "\n".join(found)

    def choose(self, key: str, value: str) -> None:
        """Choose one of the values of a widget that was shown."""
        state = WidgetState(id=self.widgets[key])
        state.string_array_value.data.append(value)
        self.states[key] = state

    def hand_in(self, key: str, data: bytes, name: str = "a.png") -> Answer:
        """Upload a file with a widget that was shown."""
        file = str(uuid.uuid4())
        answer = self.send(data, name, file=file)
        state = WidgetState(id=self.widgets[key])
        address = f"/_stcore/upload_file/{self.session}/{file}"
        info = state.file_uploader_state_value.uploaded_file_info.add(file_id=file, name=name, size=len(data))
        info.file_urls.file_id, info.file_urls.upload_url, info.file_urls.delete_url = file, address, address
        self.states[key] = state
        return answer

    def send(self, data: bytes, name: str = "a.png", kind: str = "image/png", file: str = "") -> Answer:
        """Upload a file, as the browser does."""
        edge = uuid.uuid4().hex
        about = f'Content-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: {kind}'
        return self.page.ask(
            f"/_stcore/upload_file/{self.session}/{file or uuid.uuid4()}",
            "PUT",
            f"--{edge}\r\n{about}\r\n\r\n".encode() + data + f"\r\n--{edge}--\r\n".encode(),
            Content_Type=f"multipart/form-data; boundary={edge}",
            Cookie=self.cookie,
            X_Xsrftoken=self.token,
        )


@contextmanager
def visiting(page: Served, **headers: str) -> Iterator[Visitor]:
    """A visitor whose connection lasts for a block."""
    address = f"ws://{page.host}/_stcore/stream"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    origin = named.pop("Origin", f"http://{page.host}")
    with connect(
        address,
        origin=origin,
        subprotocols=["streamlit"],
        additional_headers=named,
        max_size=None,  # type: ignore
    ) as socket:
        yield Visitor(page, socket)
