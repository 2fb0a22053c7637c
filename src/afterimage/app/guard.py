"""What stands between the network and the page: who is answered, for how long one waits, and how many come at once.

Streamlit checks a visitor's origin on the websocket alone, waits for slow clients for ever, and lets anybody in. So
`Guard` is around all of it, and `Protocol` around each connection.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

import h11
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MAX_CONNECTIONS = 512
MAX_SESSIONS = 64
"""Visitors at a time; each has a websocket."""
MAX_UPLOADING = 8
"""Uploads that are received at a time; the others wait for their turn."""
HEADER_SECONDS = 10
"""That the head of a request may take."""
STALL_SECONDS = 20
"""That may pass with nothing sent or taken."""
UPLOAD_SECONDS = 300
"""That an upload may take."""
PIECE = 1 << 18
"""Bytes of an answer that wait for a slow reader; of the rest there is no copy."""

STREAM = "/_stcore/stream"
UPLOAD = "/_stcore/upload_file/"
MEDIA = "/media/"
CLOSED = ("/_stcore/metrics", "/_stcore/agent")
"""What Streamlit serves and the page does not need."""
PARTS = ("/_stcore/", "/static/", "/component/", MEDIA)
"""What is no page to open."""

POLICY = (
    "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'none'"
)
"""The browser asks no other host for anything, whatever may get into the page, and no other page frames this one."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Protocol(H11Protocol):
    """HTTP that waits for no client for ever."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
            return
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux: who takes nothing of what was sent is cut off
            connection = transport.get_extra_info("socket")
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALL_SECONDS * 1000)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._wait()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._waiting is None:
            self._waiting = self.loop.call_later(HEADER_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


class Guard:
    """An ASGI app that lets through what is meant for the page, at a pace and in numbers that the machine can bear.

    Attributes:
        hosts: names by which the page may be called, beside addresses. A page elsewhere that gives this machine a name
            of its own (DNS rebinding) is called by a name, which is none of these.
        sessions: visitors who are here.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] = ()):
        self.app = app
        self.hosts = {host.lower().rstrip(".") for host in hosts}
        self.sessions = 0
        self._uploading = asyncio.Semaphore(MAX_UPLOADING)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        refused = self._refused(scope)
        if scope["type"] == "websocket":
            if refused is not None:
                await send({"type": "websocket.close", "code": 1008, "reason": refused[1]})
                return
            # Streamlit compares an origin that it does not know with this machine's address, and asks a site for that
            headers = [each for each in scope["headers"] if each[0] != b"origin"]
            self.sessions += 1
            try:
                await self.app({**scope, "headers": headers}, receive, send)
            finally:
                self.sessions -= 1
        elif refused is not None:
            status, sentence = refused
            await PlainTextResponse(sentence, status)(scope, receive, _careful(scope, send))
        elif scope["path"].startswith(UPLOAD):
            async with self._uploading:
                await self.app(scope, _patient(receive), _careful(scope, send))
        else:
            await self.app(scope, _patient(receive), _careful(scope, send))

    def _refused(self, scope: Scope) -> tuple[int, str] | None:
        """The status and the sentence for a request that is not answered."""
        headers, path = Headers(scope=scope), scope["path"]
        host = headers.get("host")
        if not self._known(_name(f"//{host}")):
            return 421, "This page has another name. Its owner allows names by `afterimage app --host NAME`."
        if not self._own(headers, str(host)):
            return 403, "This page answers no other pages."
        if path.startswith(CLOSED):
            return 404, "Not Found"
        full = self.sessions >= MAX_SESSIONS
        if full and (scope["type"] == "websocket" or not path.startswith(PARTS)):
            return 503, f"All {MAX_SESSIONS} places on this page are taken; try again in a minute."
        return None

    def _known(self, name: str | None) -> bool:
        return name is not None and (name in LOOPBACK or name in self.hosts or _is_address(name))

    def _own(self, headers: Headers, host: str) -> bool:
        """Whether a request comes from a page of this server, or from no page."""
        site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode")
        if site not in ("same-origin", "none") and mode != "navigate":
            return False
        origin = headers.get("origin")
        return origin is None or origin.partition("://")[2] == host or _name(origin) in self.hosts


def _name(address: str) -> str | None:
    """The host in an address, without its port; None where there is none."""
    try:
        parts = urlsplit(address)
        name = parts.hostname
        if parts.username is not None or parts.path or parts.query or parts.fragment or not name:
            return None
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError:
        return None
    return name.lower().rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _patient(receive: Receive) -> Receive:
    """What a client sends, as long as it comes: a slow body ends in one sentence."""
    loop = asyncio.get_running_loop()
    last, whole = loop.time() + UPLOAD_SECONDS, False

    async def received() -> Message:
        nonlocal whole
        if whole:  # what is awaited now is the end of the connection
            return await receive()
        try:
            async with asyncio.timeout_at(min(last, loop.time() + STALL_SECONDS)):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, "The upload takes too long.") from None
        whole = not message.get("more_body", False)
        return message

    return received


def _careful(scope: Scope, send: Send) -> Send:
    """Answers with what a browser must know about them, in pieces, as fast as the client takes them."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(HEADERS)
            headers["Content-Security-Policy"] = "sandbox" if scope["path"].startswith(MEDIA) else POLICY
            if message["status"] >= 400:
                headers["Connection"] = "close"  # rather than read what is left of the request
        body = message.get("body", b"")
        view = memoryview(body)
        while len(view) > PIECE:
            await _taken(send, {**message, "body": bytes(view[:PIECE]), "more_body": True})
            view = view[PIECE:]
        await _taken(send, {**message, "body": bytes(view)} if body else message)

    return sent


async def _taken(send: Send, message: Message) -> None:
    async with asyncio.timeout(STALL_SECONDS):
        await send(message)
