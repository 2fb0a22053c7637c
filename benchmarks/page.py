"""The web page under fifty visitors at once, and under slow clients: `python -m benchmarks page`.

Each visitor opens the page Restore, hands in a photograph of 24 megapixels, has it sharpened, and stays. Measured are
the memory of the server, which must not follow the number of visitors without end, what it wrote to disks, and what
is left of its memory when they have gone. Then as many connections as there may be send a request byte by byte.
"""

import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from PIL import Image

from afterimage.app import guard, held, kept
from benchmarks.measuring import Line
from benchmarks.visiting import Served, served, visiting

VISITORS = 50
SIZE = (6000, 4000)
BOUND = 5000
"""MB: what is kept and uploaded at most, four runs on pictures of 25 megapixels, and the program itself."""


def measure(work: Path) -> Iterator[Line]:
    """A line a bound; `work` is an empty folder."""
    if not Path("/proc/self/io").exists():
        yield Line("the page's memory", "", None, "", 0, note="needs Linux")
        return
    (work / "project").mkdir()
    with served(work / "project", work / "home") as page:
        with visiting(page) as visitor:
            visitor.run("restore")
        before, wrote = page.memory(), page.written()
        seconds = crowd(page, VISITORS, SIZE)
        most = page.memory("VmHWM")
        note = f"{before:.0f} MB before them; the last one waited {max(seconds):.0f} s"
        yield Line("the page's memory", f"{VISITORS} visitors with 24 megapixels each", most, "MB", BOUND, note=note)
        files = sum(path.stat().st_size for path in work.rglob("*") if path.is_file() and path.name != "app.log")
        yield Line("the page's files", "none", files, "bytes", 0)
        yield Line("what the page wrote to disks", "its log", (page.written() - wrote) / 1e3, "kB", 100)
        time.sleep(held.AWAY_SECONDS + 5)
        left = page.memory() - before
        room = 0.1 * (kept.MAX_MEGABYTES + held.MAX_UPLOADED_MEGABYTES)
        yield Line("memory left when they have gone", "a tenth of what may be kept", left, "MB", room)
        cut, grown = slow(page)
        yield Line(
            "slow connections are cut off", f"{guard.MAX_CONNECTIONS} at once", cut, "s", guard.HEADER_SECONDS + 5
        )
        yield Line("their memory", "", grown, "MB", 100)


def crowd(page: Served, visitors: int, size: tuple[int, int]) -> list[float]:
    """Have visitors do a visit at once and stay until the last has what it wants; returns the seconds of each."""
    seconds: list[float] = []
    done = threading.Barrier(visitors)

    def visit(number: int) -> None:
        stream = io.BytesIO()
        Image.new("RGB", size, (number, 99, 9)).save(stream, "JPEG")
        started = time.monotonic()
        with visiting(page) as visitor:
            visitor.run("restore", seconds=600)
            visitor.choose("source", ":material/upload: Upload")
            visitor.choose("restore-methods", "Unsharp mask")
            visitor.run("restore", seconds=600)
            visitor.hand_in("upload", stream.getvalue())
            while "Unsharp" not in visitor.run("restore", seconds=600).rpartition("A closer look")[2]:
                time.sleep(1)
            seconds.append(time.monotonic() - started)
            done.wait(timeout=600)

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(visitors)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seconds


def slow(page: Served) -> tuple[float, float]:
    """Seconds after which the last of many slow connections is cut off, and megabytes that they cost."""
    before = page.memory()
    with ExitStack() as stack:
        open_ = [
            stack.enter_context(socket.create_connection(("127.0.0.1", page.port)))
            for _ in range(guard.MAX_CONNECTIONS)
        ]
        started = time.monotonic()
        for connection in open_:
            connection.setblocking(False)
            connection.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        most = page.memory()
        while open_ and time.monotonic() - started < 60:
            open_ = [connection for connection in open_ if _goes_on(connection)]
            most = max(most, page.memory())
            time.sleep(0.25)
    return time.monotonic() - started, most - before


def _goes_on(connection: socket.socket) -> bool:
    try:
        connection.send(b"x")
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False
