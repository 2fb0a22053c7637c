"""A tiny data set and a layer of its features on disk, with the gates over them."""

import csv
import io
import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from afterimage.core.errors import CheckError, ShardError
from afterimage.core.images import encode_png
from afterimage.core.outputs import sha256, write_json
from afterimage.validation import checks

SIZE = 8
SHAPE = [4, 2, 2]


class Sample:
    """A sample of a tiny data set, to be altered before it is written."""

    def __init__(self, split: str, shard: int, number: int):
        self.split = split
        self.shard = f"{split}-{shard:06d}.tar"
        self.image = f"{split}_photo{number}"
        self.key = f"{self.image}_y0000_x0000"
        self.group = f"{split}-person{number // 2}"
        self.pixels = np.random.default_rng([len(split), number]).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        features = np.random.default_rng([len(split), number]).normal(size=SHAPE)
        self.features = features.astype(np.float16)

    @property
    def png(self) -> bytes:
        return encode_png(self.pixels)

    @property
    def npy(self) -> bytes:
        stream = io.BytesIO()
        np.save(stream, self.features)
        return stream.getvalue()


Samples = list[Sample]


def tiny() -> Samples:
    """Two training shards of four, a shard of four for validation and for test."""
    shards = [("train", 0), ("train", 1), ("val", 0), ("test", 0)]
    return [Sample(split, shard, 4 * shard + n) for split, shard in shards for n in range(4)]


def pick(samples: Samples, split: str, number: int = 0) -> Sample:
    return [sample for sample in samples if sample.split == split][number]


def write_shards(folder: Path, samples: Samples, extension: str, head: dict[str, Any]) -> None:
    folder.mkdir(parents=True)
    splits: dict[str, Any] = {split: {"samples": 0, "shards": []} for split in ("train", "val", "test")}
    for name in dict.fromkeys(sample.shard for sample in samples):
        members = [sample for sample in samples if sample.shard == name]
        with tarfile.open(folder / name, "w") as tar:
            for sample in members:
                add(tar, f"{sample.key}.{extension}", sample.png if extension == "png" else sample.npy)
        split = splits[name.split("-")[0]]
        split["samples"] += len(members)
        split["shards"].append({"name": name, "samples": len(members)})
    write_index(folder, {**head, "splits": splits})


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))


def write_index(folder: Path, index: dict[str, Any]) -> None:
    """Write the index with the sizes and hashes of the tars as they are now."""
    for split in index["splits"].values():
        for shard in split["shards"]:
            path = folder / shard["name"]
            shard |= {"bytes": path.stat().st_size, "sha256": sha256(path)}
    (folder / "index.json").write_text(json.dumps(index, sort_keys=True))  # test before train, as in the real one


def reindex(folder: Path) -> None:
    write_index(folder, json.loads((folder / "index.json").read_text()))


def write_table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([columns, *rows])


class Project:
    """A tiny data set and a layer of features on disk, and the two gates over them."""

    def __init__(self, root: Path):
        self.raw, self.shards, self.features = root / "raw", root / "shards", root / "features"
        self.result = root / "reports" / "result.json"

    def write_images(self, samples: Samples, manifest: Samples | None = None, rejected: int = 0) -> None:
        write_shards(self.shards, samples, "png", {"dataset": "photos", "size": SIZE})
        write_table(
            self.shards / "samples.csv",
            ["key", "split", "shard", "image", "group"],
            [(s.key, s.split, s.shard, s.image, s.group) for s in samples],
        )
        refused = [(f"bad{n}.jpg", "empty", "the file is empty") for n in range(rejected)]
        write_table(self.shards / "rejected.csv", ["origin", "kind", "reason"], refused)
        self.raw.mkdir()
        write_table(
            self.raw / "manifest.csv",
            ["key", "origin", "group", "split"],
            [(s.image, f"{s.image}.jpg", s.group, s.split) for s in manifest or samples],
        )
        with tarfile.open(self.raw / "images.tar", "w") as tar:
            for image, data in sorted({s.image: s.png for s in manifest or samples}.items()):
                add(tar, image, data)

    def write_features(self, samples: Samples, **head: Any) -> None:
        index = {
            "encoder": "vgg16",
            "layer": "relu1_2",
            "node": "features.3",
            "dataset": "photos",
            "dtype": "float16",
            "shape": SHAPE,
            "images": sha256(self.shards / "index.json"),
            "weights": "0" * 64,
        }
        write_shards(self.features, samples, "npy", index | head)

    def gate(self, max_rejected: float = 0.0, max_copies: float = 0.0) -> None:
        allowed = checks.Allowed(rejected=max_rejected, copies=max_copies)
        checks.check_images("photos", self.shards, self.raw, allowed, self.result)

    def feature_gate(self) -> None:
        self.result.unlink(missing_ok=True)
        write_json(self.result, checks.check_features("vgg16", "relu1_2", self.features, self.shards))

    def refused(self, gate: Callable[[], None], *words: str) -> str:
        """The gate fails with one line that holds all the words, and leaves no older result that looks passed."""
        self.result.parent.mkdir(exist_ok=True)
        self.result.write_text("an older result")
        with pytest.raises((CheckError, ShardError)) as caught:
            gate()
        text = str(caught.value)
        assert "\n" not in text
        for word in words:
            assert word in text
        assert not self.result.exists()
        return text


def by_sentence(path: Path) -> dict[str, dict[str, Any]]:
    return {check["check"]: check for check in json.loads(path.read_text())["checks"]}
