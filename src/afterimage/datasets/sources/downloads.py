"""Files from elsewhere: downloaded once, in pieces, and checked before anything reads them.

They lie outside the outputs of the pipeline, so that a fetch that was broken off goes on where it stopped.
"""

import hashlib
import re
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tqdm import tqdm

from afterimage.core import outputs
from afterimage.core.errors import SourceError

FOLDER = Path(".afterimage/downloads")
BLOCK = 8 << 20
TRIES = 5
"""So many times in a row a download may break without a byte of progress."""
WAIT = 1.0
"""Seconds before the first new try; each further one waits twice as long."""


def place(source: str, name: str) -> Path:
    """Where what comes from `source` lies: one place for each, whatever its name."""
    plain = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "_" for letter in name)
    return FOLDER / f"{hashlib.sha256(source.encode()).hexdigest()[:16]}-{plain[-80:]}"


def check(path: Path, sha256: str | None, origin: str) -> None:
    """Raise SourceError if a file is not the one that the row names; with no hash there is nothing to check."""
    if sha256 is not None and (found := outputs.sha256(path)) != sha256:
        again = f"; correct `sha256`, or remove {path} to download it again" if FOLDER in path.parents else ""
        raise SourceError(f"{origin}: its sha256 is {found}, expected {sha256}{again}")


def from_url(url: str, sha256: str) -> Path:
    """The file behind a URL of any kind that fsspec knows, downloaded unless it is here already.

    Raises:
        SourceError: it cannot be reached, is not there any more, or is not the file that the hash names.
    """
    path = place(url, urlsplit(url).path.rpartition("/")[2])
    if not path.is_file():
        partial = path.with_name(f"{path.name}.part")
        path.parent.mkdir(parents=True, exist_ok=True)
        _download(url, partial, path)
        partial.replace(path)
    check(path, sha256, public(url))
    return path


def public(url: str) -> str:
    """A URL without what may be secret in it: user, password, query."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def tries(fault: Exception, failures: int) -> int:
    """Wait before another try, longer each time; raise what went wrong once the tries are used up."""
    if failures + 1 >= TRIES:
        raise fault
    time.sleep(WAIT * 2**failures)
    return failures + 1


def bar(label: str, total: int | None, done: int) -> Any:
    """A progress bar in bytes: live on a terminal, a line now and then in a log."""
    every = 0.1 if sys.stderr.isatty() else 30.0
    return tqdm(desc=label, total=total, initial=done, unit="B", unit_scale=True, mininterval=every)


def _download(url: str, partial: Path, path: Path) -> None:
    import fsspec

    try:
        system, inside = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:  # a package that is not installed, or a protocol that there is not
        raise SourceError(f"{public(url)}: cannot be opened: {line(error)}") from None
    failures, whole = 0, False
    while True:
        before = partial.stat().st_size if partial.exists() else 0
        try:
            _continue(system, inside, partial, whole)
            return
        except Exception as error:  # each file system of fsspec has its own
            # that of HTTP takes whatever went wrong for a file that is not there
            hidden = error.__cause__ if isinstance(error, FileNotFoundError) else None
            cause = hidden or error
            status = getattr(cause, "status", None)
            if status in (404, 410) or (isinstance(error, FileNotFoundError) and hidden is None):
                raise SourceError(
                    f"{public(url)}: there is no such file (any more); find its new place and put it in `url`"
                ) from None
            if isinstance(error, ValueError) and "range requests" in str(error):
                whole = True
                partial.unlink(missing_ok=True)
                continue
            if status in (401, 403) or isinstance(error, PermissionError):
                raise SourceError(
                    f"{public(url)}: access denied ({status or line(cause)}); give credentials as its file system "
                    "expects them, or an address that needs none"
                ) from None
            if isinstance(error, OSError) and error.filename == str(partial):
                raise
            went_on = partial.exists() and partial.stat().st_size > before
            try:
                failures = tries(error, 0 if went_on else failures)
            except Exception:
                raise SourceError(
                    f"{public(url)}: cannot be downloaded: {line(cause)}; run it again to go on where it stopped, or "
                    f"place the file at {path}"
                ) from None


def _continue(system: Any, inside: str, partial: Path, whole: bool) -> None:
    """Append what is still missing; a server that cannot begin in the middle begins anew."""
    with system.open(inside, "rb", cache_type="none", block_size=0 if whole else BLOCK) as remote:
        size = getattr(remote, "size", None)
        with partial.open("ab") as local:
            if size is None or whole or local.tell() > size:  # larger: another file has come in its place
                local.truncate(0)
                local.seek(0)
            else:
                remote.seek(local.tell())
            done = local.tell()
            with bar(f"download {partial.name.partition('-')[2].removesuffix('.part')}", size, done) as progress:
                while size is None or done < size:
                    block = remote.read(BLOCK if size is None else min(BLOCK, size - done))
                    if not block:
                        break
                    local.write(block)
                    done += len(block)
                    progress.update(len(block))
    if size is not None and done < size:
        raise OSError(f"ends after {done} of {size} bytes")


def line(error: BaseException) -> str:
    """What an exception of any library says, in one line of bounded length and without what may be secret in URLs."""
    text = re.sub(r"\?[^\s'\")]*=[^\s'\")]*", "", re.sub(r"//[^/@\s]+@", "//", " ".join(str(error).split())))
    return text[:200] or type(error).__name__
