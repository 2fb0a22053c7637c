"""Cameras on this machine, for tests: MJPEG over HTTP, and JPEG by RTP within a connection of RTSP (RFC 2326, 2435)."""

import socketserver
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pictures

QUALITY = 50
SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 0 RTP/AVP 26\r\na=control:track\r\n"


def jpeg(width: int, height: int, number: int) -> bytes:
    """A picture that differs from one number to the next, with the tables that RTP takes for granted."""
    image = pictures.noise(width, height).copy()
    image.paste((250, 30, 30), (2 * number % width, 8, 2 * number % width + 12, 24))
    return pictures.encoded(image.convert("RGB"), "JPEG", quality=QUALITY, subsampling=2)


class Camera:
    """Sends pictures to whoever connects.

    Attributes:
        sends: how many pictures it sends to the first, the second, ... before it hangs up; others get no answer.
        pause: seconds between pictures.
        asked: what it was asked, each as a first line.
    """

    def __init__(self, sends: Sequence[int], pause: float, size: tuple[int, int]):
        self.sends, self.pause, self.size = list(sends), pause, size
        self.asked: list[str] = []
        self.port = 0
        self.over = threading.Event()

    def pictures(self) -> Iterator[bytes]:
        if not self.sends:
            self.over.wait(30)
            return
        for number in range(self.sends.pop(0)):
            if self.over.wait(self.pause):
                return
            yield jpeg(*self.size, number)


class Http(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        camera: Camera = self.server.camera  # type: ignore[attr-defined]
        camera.asked.append(_request(self.rfile)[0])
        head = "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=cut\r\n\r\n"
        for number, data in enumerate(camera.pictures()):
            part = f"--cut\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            self.wfile.write(("" if number else head).encode() + part.encode() + data + b"\r\n")


class Rtsp(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        camera: Camera = self.server.camera  # type: ignore[attr-defined]
        while request := _request(self.rfile):
            method, url, _ = request[0].split(" ")
            camera.asked.append(request[0])
            (number,) = [line.split(":")[1].strip() for line in request if line.lower().startswith("cseq")]
            extra, body = "", ""
            if method == "OPTIONS":
                extra = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
            elif method == "DESCRIBE":
                extra, body = f"Content-Base: {url}/\r\nContent-Type: application/sdp\r\n", SDP
            elif method == "SETUP":
                extra = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
            length = f"Content-Length: {len(body)}\r\n" if body else ""
            self.wfile.write(f"RTSP/1.0 200 OK\r\nCSeq: {number}\r\n{extra}{length}\r\n{body}".encode())
            if method == "PLAY":
                for picture, data in enumerate(camera.pictures()):
                    for packet in _packets(data, camera.size, picture):
                        self.wfile.write(packet)
                return


def _request(stream: Any) -> list[str]:
    lines = []
    while line := stream.readline().decode().strip():
        lines.append(line)
    return lines


def _packets(data: bytes, size: tuple[int, int], number: int) -> Iterator[bytes]:
    """A JPEG in RTP packets: what follows its header, which the receiver makes anew of size and quality."""
    start = data.index(b"\xff\xda")
    scan = data[start + 2 + int.from_bytes(data[start + 2 : start + 4], "big") :]
    for place in range(0, len(scan), 1200):
        part = scan[place : place + 1200]
        last = place + 1200 >= len(scan)
        sequence = (number * 1000 + place // 1200) & 0xFFFF
        rtp = struct.pack(">BBHII", 0x80, 26 | last << 7, sequence, 3600 * number, 7)
        head = struct.pack(">IBBBB", place, 1, QUALITY, size[0] // 8, size[1] // 8)
        yield struct.pack(">cBH", b"$", 0, len(rtp + head + part)) + rtp + head + part


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever is restoring may hang up."""


@contextmanager
def camera(
    handler: type[socketserver.StreamRequestHandler],
    sends: Sequence[int],
    pause: float = 0.01,
    size: tuple[int, int] = (64, 48),
) -> Iterator[Camera]:
    """A camera on a free port."""
    with Server(("127.0.0.1", 0), handler) as server:
        made = server.camera = Camera(sends, pause, size)  # type: ignore[attr-defined]
        made.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield made
        finally:
            made.over.set()
            server.shutdown()
