"""Data sets for tests: fetched from a folder, cut into shards, and read back."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from afterimage.core import shards
from afterimage.datasets import sharding, sources


def row(source: str = "folder", **values: Any) -> Any:
    data = {"source": source, "size": 32, **values}
    return sources.Dataset.kind_of(data).model_validate(data)


def fetch(folder: Path, **values: Any) -> tuple[list[dict[str, str]], dict[str, str]]:
    """The manifest and the rejected images of a folder."""
    out = folder.parent / f"{folder.name}-raw"
    sources.fetch(row(path=str(folder), **values), "mine", out)
    rejected = {line["origin"]: line["reason"] for line in table(out / "rejected.csv")}
    return table(out / "manifest.csv"), rejected


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def by_key(manifest: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    return {line["key"]: line for line in manifest}


def sharded(folder: Path, jobs: int = 1, out: str = "shards", **values: Any) -> Path:
    """Fetch and shard a folder of images."""
    mine = row(path=str(folder), **values)
    sources.fetch(mine, "mine", folder.parent / "raw")
    sharding.write(mine, "mine", folder.parent / "raw", folder.parent / out, jobs)
    return folder.parent / out


def samples(folder: Path) -> dict[str, tuple[bytes, str]]:
    splits = shards.load_index(folder)["splits"]
    return {key: (data, extension) for split in splits for key, data, extension in shards.read(folder, split)}


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
