"""What is unfinished: a folder beside the output, which a later run of the same job goes on from."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from afterimage.core import outputs

JOB = "job.json"


def described(path: Path) -> dict[str, Any]:
    """What tells an input from another of the same name, without reading it all."""
    found = path.stat()
    return {"path": str(path.resolve()), "bytes": found.st_size, "modified": found.st_mtime_ns}


def place(out: Path) -> Path:
    """The folder of what is unfinished of an output: beside it, or within where it is a folder like `.`."""
    return out.with_name(f".{out.name}.unfinished") if out.name not in ("", "..") else out / ".unfinished"


@contextmanager
def folder(out: Path, job: dict[str, Any]) -> Iterator[Path]:
    """Yield the work folder of an output; empty, unless an earlier run of the same job was interrupted.

    It vanishes when the block ends well. When it does not, what is finished stays for the next run.
    """
    path = place(out)
    text = json.dumps(job, sort_keys=True)
    note = path / JOB
    if path.exists() and not (note.is_file() and note.read_text(encoding="utf-8") == text):
        shutil.rmtree(path)
    path.mkdir(parents=True, exist_ok=True)
    with outputs.file(note) as partial:
        partial.write_text(text, encoding="utf-8")
    try:
        yield path
    except BaseException:
        if not any(file.is_file() and file != note for file in path.rglob("*")):  # nothing to go on from
            shutil.rmtree(path)
        raise
    shutil.rmtree(path)
