"""Archives of images for tests of what is read from them, in a folder of their own."""

import csv
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pictures
import pytest

from afterimage.datasets import sources
from afterimage.datasets.sources import downloads

KINDS = ("zip", "tar", "tar.gz", "tar.bz2", "tar.xz")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run in a folder of its own, and leave nothing in it or above but what the test and the pipeline name."""
    monkeypatch.setattr(downloads, "WAIT", 0)
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    yield
    assert {path.name for path in tmp_path.iterdir()} <= {"run", "in", "packed"}
    assert {path.name for path in (tmp_path / "run").iterdir()} <= {"raw", ".afterimage", "params.yaml"}


def row(**values: Any) -> Any:
    data = {"source": "archive", "size": 32, "path": "nothing", **values}
    return sources.Dataset.kind_of(data).model_validate(data)


def fetch(path: Path | str, **values: Any) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """The manifest by key, and the reasons of what was set aside by origin."""
    sources.fetch(row(path=str(path), **values), "mine", Path("raw"))
    rejected = {line["origin"]: line["reason"] for line in table("rejected.csv")}
    return {line["key"]: line for line in table("manifest.csv")}, rejected


def table(name: str) -> list[dict[str, str]]:
    with (Path("raw") / name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def people(count: int = 12) -> dict[str, bytes]:
    return {f"person{n:02d}/{i}.png": pictures.png(seed=10 * n + i) for n in range(count) for i in range(2)}


def packed(root: Path, kind: str, files: dict[str, bytes]) -> Path:
    root.mkdir(exist_ok=True)
    path = root / f"photos.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return path
    with tarfile.open(path, f"w:{kind.partition('.')[2]}") as tar:
        for name, data in files.items():
            add(tar, name, data)
    return path


def add(tar: tarfile.TarFile, name: str, data: bytes = b"", **fields: Any) -> None:
    header = tarfile.TarInfo(name)
    header.size = len(data)
    for field, value in fields.items():
        setattr(header, field, value)
    tar.addfile(header, io.BytesIO(data))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
