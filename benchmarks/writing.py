"""Shard writing against a bare loop: `python -m benchmarks writing`.

Ours: `sharding.write`, which reads the fetched archive, decodes, cuts, resizes, encodes, packs, hashes and lists. The
limit: decode, resize and encode alone, of the same files in memory to the same PNGs in memory, on as many threads.
And the writer of tars alone, `shards.writer`, against webdataset's own `TarWriter` on the same bytes.
Measured on whole photographs (256 px JPEGs to 64 px) and on the overlapping tiles of the row `photos`.
"""

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from joblib import cpu_count
from PIL import Image

from afterimage.core import params, shards, stage
from afterimage.datasets import sharding, sources
from benchmarks.measuring import Line, folder_row, in_turn, make_folder, ratio

WHOLE = 1500
ROUNDS = 7


def measure(work: Path) -> Iterator[Line]:
    """A line each for whole images and tiles; `work` is an empty folder."""
    make_folder(work / "images", WHOLE, 256)
    tiles = params.row(stage.PARAMS, "datasets", "photos", sources.Dataset).model_copy(update={"augment": 0})
    for name, row in (("whole images", folder_row(work / "images")), ("tiles", tiles)):
        raw = work / name / "raw"
        sources.fetch(row, name, raw)
        files = [(item.split == "train", read(item)) for item in sources.module(row.source).items(row)]

        def ours(row: sources.Dataset = row, name: str = name, raw: Path = raw) -> None:
            sharding.write(row, name, raw, work / name / "shards")

        def bare(row: sources.Dataset = row, files: list[tuple[bool, bytes]] = files) -> None:
            with ThreadPoolExecutor(cpu_count()) as pool:
                for _ in pool.map(lambda file: pngs(file[1], row, training=file[0]), files):
                    pass

        found = ratio(in_turn(bare, ours, ROUNDS))
        yield Line(f"shards of {name}", "decode + resize + encode", found, "of its speed", 0.95, False)

        if name == "tiles":
            yield tars(work / name / "shards", work)


def tars(shards_dir: Path, work: Path) -> Line:
    from webdataset import TarWriter

    samples = [(key, data) for key, data, _ in shards.read(shards_dir, "train")]

    def ours() -> None:
        with shards.writer(work / "ours.tar") as put:
            for key, data in samples:
                put(f"{key}.png", data)

    def theirs() -> None:
        with TarWriter(str(work / "theirs.tar"), mtime=0) as tar:
            for key, data in samples:
                tar.write({"__key__": key, "png": data})

    note = f"{len(samples)} PNGs; ours hashes them too"
    return Line("tars of tiles", "webdataset", ratio(in_turn(theirs, ours, ROUNDS)), "of its speed", 1.0, False, note)


def read(item: sources.Item) -> bytes:
    with item.open() as stream:
        return stream.read()


def pngs(data: bytes, row: sources.Dataset, training: bool) -> list[bytes]:
    """What becomes of an image, in the plainest words."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    shorter = min(image.size)
    if row.shorter_side and shorter > row.shorter_side:
        size = (round(image.width * row.shorter_side / shorter), round(image.height * row.shorter_side / shorter))
        image = image.resize(size, Image.Resampling.LANCZOS)
    side = row.tile or shorter
    step = row.stride or side if training else side
    made = []
    for y in range(0, image.height - side + 1, step):
        for x in range(0, image.width - side + 1, step):
            square = image.crop((x, y, x + side, y + side)).resize((row.size, row.size), Image.Resampling.LANCZOS)
            stream = io.BytesIO()
            square.save(stream, "PNG", compress_level=1)
            made.append(stream.getvalue())
    return made
