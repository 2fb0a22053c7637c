"""What reading must not do, watched by an audit hook, and what a fault must look like."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from afterimage.core.errors import AfterimageError

LONGEST = 2100
"""Letters of a text; a fault has at most 2,000, and a command a word before it."""
EXECUTES = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "subprocess.Popen", "pickle.find_class")
CONTACTS = ("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.bind", "urllib.Request")
CHANGES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.chmod", "os.truncate")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class ForbiddenError(BaseException):
    """Raised where a reader does what it must not, so that it does not happen; no `except Exception` hides it."""


class UntidyError(BaseException):
    """A fault was told, but not as it should be."""


_inside: list[str] = []
"""The folder that may be written to, while something is read."""
broken: list[str] = []
"""What was done against the rules since `watching` began."""


@contextmanager
def watching(folder: Path) -> Iterator[None]:
    """Refuse and note, within the block, what leaves `folder`, executes anything or contacts anybody."""
    broken.clear()
    _inside.append(str(folder.resolve()))
    try:
        yield
    finally:
        _inside.clear()


def install() -> None:
    """Add the hook to this process, for good."""
    sys.addaudithook(_hook)


def _hook(event: str, details: tuple[Any, ...]) -> None:
    if not _inside:
        return
    if event == "subprocess.Popen" and details[0] == "git":  # it tells a card which commit a number is of
        return
    if event in EXECUTES:
        _refuse(f"executes: {event} {str(details)[:80]}")
    elif event == "exec" and getattr(details[0], "co_filename", "") == "<string>" and "payload" in details[0].co_names:
        _refuse("executes: code from the input")
    elif event in CONTACTS:
        _refuse(f"contacts: {event} {str(details[1:])[:80]}")
    elif event == "open" and isinstance(details[0], str | bytes) and details[2] & WRITES:
        _check(event, details[0])
    elif event in CHANGES:
        for path in details[: 2 if event in ("os.rename", "os.link") else 1]:
            _check(event, path)


def _check(event: str, path: Any) -> None:
    given = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
    place = os.path.abspath(given)  # noqa: PTH100 - which pathlib would open folders for
    if given and place != "/dev/null" and not place.startswith(_inside[0]) and "__pycache__" not in place:
        _refuse(f"leaves its folder: {event} {place}")


def _refuse(what: str) -> None:
    broken.append(what)
    raise ForbiddenError(what)


def check_text(error: AfterimageError, named: tuple[str, ...]) -> None:
    """Raise UntidyError for a text that is not one printable line, is too long, or names nothing of the input."""
    text = str(error)
    if not text.strip() or len(text.splitlines()) != 1 or any(ord(letter) < 32 for letter in text):
        raise UntidyError(f"not one line: {text[:200]!r}")
    if "Traceback (most recent" in text or " object at 0x" in text:
        raise UntidyError(f"Python's own words: {text[:200]!r}")
    if len(text) > LONGEST:
        raise UntidyError(f"{len(text)} letters: {text[:200]!r}")
    if named and not any(name in text for name in named):
        raise UntidyError(f"names nothing of its input ({', '.join(named)}): {text[:200]!r}")
