"""Small HTTP servers on this machine, with faults on demand, for tests of what comes from a network."""

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import unquote


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    """Their names are in lower case."""
    body: bytes


class Answer(NamedTuple):
    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = MappingProxyType({})
    file: bool = False
    """Whether parts of the body may be asked for, and its transfer may break."""


class Server:
    """Answers by a function, keeps the requests, and can go wrong.

    Attributes:
        url: where it listens.
        requests: what it was asked.
        ranges: whether it gives parts of files.
        sized: whether it says how long files are.
        breaks: after how many bytes each of the next files breaks off.
    """

    def __init__(self, url: str, answer: Callable[[Request], Answer]):
        self.url = url
        self.answer = answer
        self.requests: list[Request] = []
        self.ranges = True
        self.sized = True
        self.breaks: list[int] = []

    def asked(self, method: str = "GET") -> list[str]:
        """The byte ranges that were asked for, `all` for none."""
        return [request.headers.get("range", "all") for request in self.requests if request.method == method]


@contextmanager
def serving(answer: Callable[[Request], Answer]) -> Iterator[Server]:
    """A server on a free port of this machine."""
    server: Server

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, unquote(self.path.partition("?")[0]), headers, body)
            server.requests.append(request)
            self._send(request, server.answer(request))

        do_HEAD = do_POST = do_GET  # noqa: N815

        def _send(self, request: Request, answer: Answer) -> None:
            body, status, headers = answer.body, answer.status, dict(answer.headers)
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
            if answer.file and server.ranges:
                headers["Accept-Ranges"] = "bytes"
                if wanted:
                    start, end = int(wanted[1]), int(wanted[2] or len(body) - 1)
                    headers["Content-Range"] = f"bytes {start}-{min(end, len(body) - 1)}/{len(body)}"
                    status, body = (206, body[start : end + 1]) if start < len(body) else (416, b"")
            elif answer.file:
                headers["Accept-Ranges"] = "none"
            if not answer.file or server.sized:
                headers["Content-Length"] = str(len(body))
            else:
                headers["Connection"] = "close"
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "HEAD":
                return
            if answer.file and server.breaks:
                self.wfile.write(body[: server.breaks.pop(0)])
                self.close_connection = True
                return
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    server = Server(f"http://127.0.0.1:{listener.server_port}", answer)
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()


def files(held: dict[str, bytes]) -> Callable[[Request], Answer]:
    """A web server of files; paths begin with `/`."""

    def answer(request: Request) -> Answer:
        data = held.get(request.path)
        return Answer(status=404) if data is None else Answer(data, file=True)

    return answer


class Hub:
    """A stand-in for the Hugging Face hub with one data set, which speaks its protocol.

    Attributes:
        token: who may read it; None: all.
        gated: whether a token is needed because its owner asks for one.
        moved: the id that it has now.
    """

    def __init__(self, id: str, commit: str, held: dict[str, bytes]):
        self.id, self.commit, self.held = id, commit, held
        self.token: str | None = None
        self.gated = False
        self.moved: str | None = None
        self.altered: dict[str, bytes] = {}
        """Files whose bytes are not those that the hub says."""

    def __call__(self, request: Request) -> Answer:
        id = self.moved or self.id
        if self.moved and f"/{self.id}/" in request.path:
            return Answer(status=307, headers={"Location": request.path.replace(self.id, self.moved) + "?blobs=true"})
        match = re.fullmatch(rf"(/api/datasets/{id}/revision|/datasets/{id}/resolve)/(\w+)/?(.*)", request.path)
        if not match:
            return Answer(status=401, headers={"X-Error-Code": "RepoNotFound"})
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            api = match[1].startswith("/api") and self.gated  # anyone may see that a gated data set exists
            code = "GatedRepo" if self.gated else "RepoNotFound"
            if not api:
                return Answer(status=401, headers={"X-Error-Code": code, "X-Error-Message": "Access is restricted"})
        if match[2] != self.commit:
            return Answer(status=404, headers={"X-Error-Code": "RevisionNotFound"})
        if match[1].startswith("/api"):
            siblings = [
                {
                    "rfilename": name,
                    "size": len(data),
                    "blobId": sha256(data).hexdigest()[:40],
                    "lfs": {"sha256": sha256(data).hexdigest(), "size": len(data), "pointerSize": 134},
                }
                for name, data in self.held.items()
            ]
            info = {"_id": "0", "id": id, "sha": self.commit, "private": False, "siblings": siblings}
            return Answer(json.dumps(info).encode(), headers={"Content-Type": "application/json"})
        data = self.held.get(match[3])
        headers = {"X-Repo-Commit": self.commit}
        if data is None:
            return Answer(status=404, headers={**headers, "X-Error-Code": "EntryNotFound"})
        headers |= {"ETag": f'"{sha256(data).hexdigest()}"', "X-Linked-Size": str(len(data))}
        return Answer(self.altered.get(match[3], data), headers=headers, file=True)


class Kaggle:
    """A stand-in for Kaggle with one data set or competition, which speaks its protocol.

    Attributes:
        status: what it answers to known users.
        wanted: the body of the request that it was asked with.
    """

    def __init__(self, call: str, data: bytes):
        self.call, self.data = call, data
        self.status = 200
        self.wanted: Any = None

    def __call__(self, request: Request) -> Answer:
        if request.path == "/storage/archive.zip":
            return Answer(self.data, file=True)
        if request.method != "POST" or request.path != f"/api/v1/{self.call}":
            return Answer(status=404)
        if request.headers.get("authorization") != "Bearer secret":
            return Answer(status=401)
        if self.status != 200:
            return Answer(status=self.status)
        self.wanted = json.loads(request.body)
        return Answer(status=302, headers={"Location": "/storage/archive.zip"})
