"""Fetching and the gate over images: `python -m benchmarks data`.

Fetching a folder and an archive of as many JPEGs, against reading and hashing their bytes. The gate over image shards
(`checks.check_images`), against decoding each sample and each photograph once on all cores.
"""

import hashlib
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from joblib import cpu_count

from afterimage.core import images, shards
from afterimage.datasets import sharding, sources
from afterimage.datasets.sources import archive
from afterimage.validation import checks
from benchmarks.measuring import Line, folder_row, in_turn, make_folder, ratio

IMAGES = 300
SIDE = 256
ROUNDS = 5
HEADERS = "small files: Pillow reads the header of each, its path is checked for links, tarfile makes a header"
TABLES = "Great Expectations takes seconds for its import and suites, whatever the number of images"


def measure(work: Path) -> Iterator[Line]:
    """A line a source, and one for the gate; `work` is an empty folder."""
    folder, packed = work / "images", work / "images.tar"
    make_folder(folder, IMAGES, SIDE)
    paths = sorted(folder.rglob("*.jpg"))
    with tarfile.open(packed, "w") as tar:
        for path in paths:
            tar.add(path, path.relative_to(folder).as_posix())

    def read() -> None:
        for path in paths:
            hashlib.sha256(path.read_bytes()).hexdigest()

    def read_packed() -> None:
        with tarfile.open(packed) as tar:
            for member in tar:
                if (stream := tar.extractfile(member)) is not None:
                    hashlib.sha256(stream.read()).hexdigest()

    digest = hashlib.sha256(packed.read_bytes()).hexdigest()
    values = {"source": "archive", "path": str(packed), "sha256": digest, "group": "image", "size": 64}
    rows: dict[str, tuple[sources.Dataset, Callable[[], None]]] = {
        "a folder": (folder_row(folder), read),
        "an archive": (archive.Row.model_validate(values), read_packed),
    }
    for name, (row, bare) in rows.items():

        def ours(row: sources.Dataset = row, name: str = name) -> None:
            sources.fetch(row, name, work / name)

        found = ratio(in_turn(bare, ours, ROUNDS))
        yield Line(f"fetch {name}", "read + SHA-256", found, "of its speed", 0.9, False, because=HEADERS)
    yield gate(work, rows["a folder"][0])


def gate(work: Path, row: sources.Dataset) -> Line:
    raw, shards_dir = work / "a folder", work / "shards"
    sharding.write(row, "images", raw, shards_dir)
    data = [each for split in shards.SPLITS for _, each, _ in shards.read(shards_dir, split)]
    with tarfile.open(raw / "images.tar") as tar:
        streams = [tar.extractfile(member) for member in tar]
        whole = [stream.read() for stream in streams if stream is not None]

    def bare() -> None:
        with ThreadPoolExecutor(cpu_count()) as pool:
            list(pool.map(images.decode, data))
            list(pool.map(lambda each: images.decode(each, near=64), whole))

    def ours() -> None:
        checks.check_images("images", shards_dir, raw, checks.Allowed(copies=1.0), work / "gate.json")

    found = ratio(in_turn(bare, ours, ROUNDS))
    return Line("gate over images", "decode once", found, "of its speed", 0.9, False, because=TABLES)
