"""Python imports this first in every process of a test's project, and so writes down which addresses it asks for.

A line of JSON an address: the event, the host, the command. What does not leave the machine's kernel (Unix sockets) is
left out. DVC tells and asks in a process of its own, without this PYTHONPATH: its start is a line. See
test_telemetry.py.
"""

import json
import os
import sys

EVENTS = (
    *("socket.connect", "socket.sendto", "socket.sendmsg"),
    *("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo"),
)


def watch(event: str, arguments: tuple[object, ...]) -> None:
    if event == "subprocess.Popen":
        words = arguments[1]
        if isinstance(words, list) and "daemon" in words[:3]:
            write(event, " ".join(words[words.index("daemon") :][:2]))
        return
    if event not in EVENTS:
        return
    # socket.* on a socket have it first and then the address; the others have a host or an address first
    sock, address = (arguments[0], arguments[1]) if hasattr(arguments[0], "fileno") else (None, arguments[0])
    if address is None or (sock is not None and sock.family == UNIX):  # type: ignore[attr-defined]
        return
    host = address[0] if isinstance(address, tuple) else address
    write(event, host.decode() if isinstance(host, bytes) else host)


def write(event: str, host: object) -> None:
    line = json.dumps([event, host, sys.orig_argv]) + "\n"
    file = os.open(os.environ["WATCHED_CONNECTIONS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode())
    os.close(file)


if "WATCHED_CONNECTIONS" in os.environ:
    UNIX = 1  # socket.AF_UNIX, without importing socket in every process
    sys.addaudithook(watch)
