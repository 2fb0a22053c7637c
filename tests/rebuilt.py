"""Reconstructions of tiles of photographs, written by the format's description, faults included."""

import csv
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from skimage.data import astronaut

from afterimage.core import weights
from afterimage.evaluation.metrics import MetricsRow

METRICS = MetricsRow(seed=0, bootstrap=100)
KEYS = [f"photo{i // 4}_y{i % 4:04d}" for i in range(12)]
"""Three photographs of four tiles each."""


def images(seed: int, count: int = 12, side: int = 32) -> list[np.ndarray]:
    corners = np.random.default_rng(seed).integers(0, 512 - side, size=(count, 2))
    return [astronaut()[y : y + side, x : x + side] for y, x in corners]


def write_shards(folder: Path, samples: list[tuple[str, bytes]], split: str = "test") -> Path:
    """A folder of image shards by the format's description, faults of its samples included."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{split}-000000.tar"
    with tarfile.open(folder / name, "w") as tar:
        for key, data in samples:
            member = tarfile.TarInfo(f"{key}.png")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    data = (folder / name).read_bytes()
    shard = {"name": name, "samples": len(samples), "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    path = folder / "index.json"
    splits = json.loads(path.read_text())["splits"] if path.exists() else {}
    splits[split] = {"samples": len(samples), "shards": [shard]}
    path.write_text(json.dumps({"dataset": "photos", "size": 32, "splits": splits}))
    table = folder / "samples.csv"
    if not table.exists():
        table.write_text("key,split,shard,image,group\n")
    with table.open("a") as stream:
        stream.writelines(f"{key},{split},{name},{key[:6]},{key[:6]}\n" for key, _ in samples)
    return folder


def png(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def pngs(arrays: list[np.ndarray]) -> list[tuple[str, bytes]]:
    return [(key, png(image)) for key, image in zip(KEYS, arrays, strict=True)]


def lines(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def trunk(path: Path, source: str = "random", seed: int = 0, sha256: str | None = None, **about: Any) -> Path:
    """The trunk under LPIPS as the stage `weights` leaves it; `about` may say something else of its origin."""
    from afterimage.observations.features.encoders import trunk as load

    state = load("alexnet", source, seed, sha256)
    weights.save(path, state, {"arch": "alexnet", "origin": weights.describe(source, seed, sha256), **about})
    return path
