"""Sharding: photographs are cut, resized and written as shards.

A shard is the unit of work: one function call reads its photographs, cuts and resizes them, and writes its tar.

Where images come in pairs, the target is the photograph. Its input gets the same cuts in the same looks, which lie
beside those of the target as the part `input` of each sample; the two are set aside together. An image that is alone
among pairs is its own input, so that every sample has one.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from afterimage.core import engine, images, outputs
from afterimage.core.errors import ImageError, ShardError
from afterimage.core.parsing import from_csv
from afterimage.core.randomness import generator
from afterimage.core.shards import INPUT, SPLITS, Shard, members, write_index, writer
from afterimage.datasets.sources import Dataset, Rejected, check_rejected, quarantine

PNG = 1.8
"""Bytes that a pixel of a photograph takes: 2.1 to 2.5 in samples of 64 px, and less in larger ones."""


class Look(NamedTuple):
    """How an augmented sample differs from a plain cut."""

    mirrored: bool
    channels: tuple[int, int, int]
    """Their order."""
    gamma: float
    gains: tuple[float, float, float]


class Cut(NamedTuple):
    """A square of an upright image that has been brought down to `shorter_side`."""

    suffix: str
    """What the sample's key adds to that of its image."""
    x: int
    y: int
    side: int
    look: Look | None = None


class Stored(NamedTuple):
    """An image of the manifest, and where its bytes lie in images.tar."""

    key: str
    origin: str
    width: int
    height: int
    offset: int
    bytes: int


class Photograph(NamedTuple):
    """An image, its input where images come in pairs, and the cuts of both that a shard takes."""

    image: Stored
    input: Stored | None
    group: str
    cuts: list[Cut]


class Job(NamedTuple):
    """All that it takes to write one shard."""

    split: str
    path: Path
    archive: Path
    row: Dataset
    photographs: list[Photograph]


class Written(NamedTuple):
    """What came of a job; `samples` holds key, image and group of each, and its input where it has one."""

    split: str
    shard: Shard
    samples: list[tuple[str, ...]]
    rejected: Rejected


def write(row: Dataset, name: str, raw_dir: Path, out_dir: Path, jobs: int | None = None) -> None:
    """Cut, resize and write the images of a fetched data set as shards.

    Writes the tars, `index.json`, `samples.csv` and `rejected.csv`; the same bytes whatever `jobs` is. An image that
    does not decode, or is too small, is set aside with its reason.

    Args:
        jobs: how many shards are written at once; None: as the engine says.

    Raises:
        ShardError: `raw_dir` is not whole, an image among pairs has no partner of its own size, more images were set
            aside than the row allows, or a split stays empty.
        SpaceError: the disk has too little room.
    """
    offsets = _offsets(raw_dir)
    inputs = _inputs(row, raw_dir, offsets)
    rejected = {line["origin"]: line["reason"] for line in _lines(raw_dir / "rejected.csv", ("origin", "reason"))}
    total = len(offsets) + len(rejected)
    planned: Counter[str] = Counter()
    for line in _manifest(raw_dir):
        cuts = _cuts(row, line["split"], line["key"], int(line["width"]), int(line["height"]))
        planned[line["split"]] += 0 if line.get("target") else len(cuts)
        if not cuts:
            least = row.tile or row.size
            rejected[line["origin"]] = f"{line['width']} x {line['height']} px, smaller than {least} x {least} px"
    units = sum(-(-samples // row.shard_samples) for samples in planned.values())
    splits: dict[str, list[Shard]] = {split: [] for split in SPLITS}

    needed = int(planned.total() * row.size**2 * PNG * (2 if inputs else 1))
    outputs.require_room(out_dir, needed, f"shards of {name}, {planned.total()} samples")
    files = engine.Files(reads=_read_by, writes=lambda job: [job.path])
    with outputs.folder(out_dir) as folder:
        plan = _plan(row, raw_dir, folder, offsets, inputs)

        def samples() -> Iterator[tuple[str, ...]]:
            written_shards = engine.map(_write_shard, plan, jobs=jobs, label=f"shard {name}", total=units, files=files)
            for written in written_shards:
                rejected.update(written.rejected)
                if written.shard["samples"]:
                    splits[written.split].append(written.shard)
                for key, *rest in written.samples:
                    yield key, written.split, written.shard["name"], *rest

        columns = ("key", "split", "shard", "image", "group", *(("input",) if inputs else ()))
        outputs.write_csv(folder / "samples.csv", columns, samples())
        quarantine.write(folder / "rejected.csv", rejected.items())
        check_rejected(list(rejected.items()), total, row, name, ShardError)
        if empty := [split for split in SPLITS if not splits[split]]:
            raise ShardError(f"{name}: {' and '.join(empty)} would have no samples: all their images were set aside")
        paired = {"pairs": True, "alone": row.alone} if inputs else {}
        write_index(folder, {"dataset": name, "size": row.size, **paired}, splits)


def _lines(path: Path, columns: Sequence[str] = ()) -> Iterator[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            yield from from_csv(stream, str(path), ShardError, columns)
    except FileNotFoundError:
        raise ShardError(f"{path}: there is no such table; run the stage fetch") from None


def _manifest(raw_dir: Path) -> Iterator[dict[str, str]]:
    path = raw_dir / "manifest.csv"
    for line in _lines(path, ("key", "origin", "bytes", "width", "height", "group", "split")):
        if odd := [name for name in ("bytes", "width", "height") if not re.fullmatch("[0-9]{1,12}", line[name])]:
            raise ShardError(f"{path}: {line['key']}: {odd[0]} is {line[odd[0]]!r}, expected a whole number")
        yield line


def _offsets(raw_dir: Path) -> npt.NDArray[np.int64]:
    """Where the bytes of each line of the manifest begin in images.tar."""
    archive = raw_dir / "images.tar"
    if not archive.is_file():
        raise ShardError(f"{archive}: there is no such archive; run the stage fetch")
    expected = ((line["key"], int(line["bytes"])) for line in _manifest(raw_dir))
    offsets = []
    for name, offset, size in members(archive):
        if (name, size) != (wanted := next(expected, ("nothing", 0))):
            raise ShardError(f"{archive}: found {name} of {size} bytes, expected {wanted[0]} of {wanted[1]}")
        offsets.append(offset)
    if missing := next(expected, None):
        raise ShardError(f"{archive}: ends before {missing[0]}, which the manifest lists")
    return np.array(offsets, dtype=np.int64)


def _inputs(row: Dataset, raw_dir: Path, offsets: npt.NDArray[np.int64]) -> dict[str, Stored]:
    """The input of each target by the target's key; none where images do not come in pairs."""
    path = raw_dir / "manifest.csv"
    inputs: dict[str, Stored] = {}
    for line, offset in zip(_lines(path), offsets, strict=True):
        if not (target := line.get("target")):
            continue
        if other := inputs.get(target):
            raise ShardError(f"{path}: {other.key} and {line['key']} are both the input of {target}; expected one")
        inputs[target] = _stored(line, offset)
    alone = set(inputs)
    for line, offset in zip(_lines(path), offsets, strict=True):
        if not inputs or line["target"]:
            continue
        image, partner = _stored(line, offset), inputs.get(line["key"])
        if partner is None and row.alone:
            inputs[image.key] = image
            continue
        if partner is None:
            raise ShardError(f"{path}: {image.key} has no partner: it is neither an input nor the target of one")
        if (image.width, image.height) != (partner.width, partner.height):
            raise ShardError(
                f"{path}: {image.key} has {image.width} x {image.height} px and its input {partner.key} "
                f"{partner.width} x {partner.height} px; expected one size"
            )
        alone.remove(image.key)
    if alone:
        raise ShardError(f"{path}: {inputs[min(alone)].key} has no partner: {min(alone)}, its target, is not listed")
    return inputs


def _stored(line: dict[str, str], offset: np.int64) -> Stored:
    place = (int(line["width"]), int(line["height"]), int(offset), int(line["bytes"]))
    return Stored(line["key"], line["origin"], *place)


def _plan(
    row: Dataset, raw_dir: Path, folder: Path, offsets: npt.NDArray[np.int64], inputs: dict[str, Stored]
) -> Iterator[Job]:
    """The shards to write, split by split, drawn from the manifest as they are needed."""
    for split in SPLITS:
        for number, photographs in enumerate(_batches(row, split, raw_dir, offsets, inputs)):
            yield Job(split, folder / f"{split}-{number:06d}.tar", raw_dir / "images.tar", row, photographs)


def _batches(
    row: Dataset, split: str, raw_dir: Path, offsets: npt.NDArray[np.int64], inputs: dict[str, Stored]
) -> Iterator[list[Photograph]]:
    """The photographs of a split, so many at a time that their cuts fill a shard."""
    batch: list[Photograph] = []
    room = row.shard_samples
    for line, offset in zip(_lines(raw_dir / "manifest.csv"), offsets, strict=True):
        if line["split"] != split or line.get("target"):
            continue
        image = _stored(line, offset)
        cuts = _cuts(row, split, image.key, image.width, image.height)
        while cuts:
            taken, cuts = cuts[:room], cuts[room:]
            batch.append(Photograph(image, inputs.get(image.key), line["group"], taken))
            room -= len(taken)
            if not room:
                yield batch
                batch, room = [], row.shard_samples
    if batch:
        yield batch


def _reduced(width: int, height: int, shorter_side: int | None) -> tuple[int, int]:
    shorter = min(width, height)
    if shorter_side is None or shorter <= shorter_side:
        return width, height
    return round(width * shorter_side / shorter), round(height * shorter_side / shorter)


def _cuts(row: Dataset, split: str, key: str, width: int, height: int) -> list[Cut]:
    """The squares to cut from an upright image of this size, row by row; none if it is too small."""
    width, height = _reduced(width, height, row.shorter_side)
    side = row.tile or min(width, height)
    if row.tile is None:
        plain = [Cut("", (width - side) // 2, (height - side) // 2, side)] if side >= row.size else []
    else:
        step = row.stride or side if split == "train" else side
        plain = [
            Cut(f"_y{y:04d}_x{x:04d}", x, y, side)
            for y in range(0, height - side + 1, step)
            for x in range(0, width - side + 1, step)
        ]
    if split != "train":
        return plain
    return [
        cut
        for place in plain
        for cut in (place, *(_augmented(row, key, place, copy, width, height) for copy in range(row.augment)))
    ]


def _augmented(row: Dataset, key: str, place: Cut, copy: int, width: int, height: int) -> Cut:
    """A random resized crop of the image that `place` is from, in other colours, drawn from the seed and the key."""
    suffix = f"{place.suffix}_a{copy}"
    random = generator(row.split.seed, key, suffix)
    largest = min(width, height)
    smallest = row.tile or max(row.size, largest // 2)
    side = round(smallest * (largest / smallest) ** random.random())
    x, y = int(random.integers(width - side + 1)), int(random.integers(height - side + 1))
    a, b, c = (int(channel) for channel in random.permutation(3))
    gamma = float(np.exp(random.uniform(-0.5, 0.5)))
    red, green, blue = (float(gain) for gain in random.uniform(0.6, 1.1, 3))
    return Cut(suffix, x, y, side, Look(bool(random.random() < 0.5), (a, b, c), gamma, (red, green, blue)))


def _read_by(job: Job) -> Iterator[engine.Piece]:
    """What a job reads of images.tar."""
    for photograph in job.photographs:
        for image in filter(None, (photograph.image, photograph.input)):
            yield engine.Piece(job.archive, image.offset, image.bytes)


def _write_shard(job: Job) -> Written:
    """Decode each photograph of a shard once and write its samples."""
    samples: list[tuple[str, ...]] = []
    rejected: Rejected = []
    with job.archive.open("rb") as archive, writer(job.path) as put:
        for photograph in job.photographs:
            pair = [image for image in (photograph.image, photograph.input) if image is not None]
            decoded: list[tuple[Image.Image, bytes]] = []
            try:
                for image in pair:
                    decoded.append(_decoded(archive, image))
            except ImageError as error:
                damaged = pair[len(decoded)]
                for image in pair:
                    reason = f"its partner {damaged.origin}: {error}" if image is not damaged else str(error)
                    rejected.append((image.origin, reason))
                continue
            cuts = [_encoded(photograph.cuts, *whole, job.row) for whole in decoded]
            for cut, *encoded in zip(photograph.cuts, *cuts, strict=True):
                key = pair[0].key + cut.suffix
                for part, (data, extension) in zip(("", f"{INPUT}."), encoded, strict=False):
                    put(f"{key}.{part}{extension}", data)
                samples.append((key, pair[0].key, photograph.group, *(image.key for image in pair[1:])))
    shard = put.described()
    if not samples:
        job.path.unlink()
    return Written(job.split, shard, samples, rejected)


def _decoded(archive: BinaryIO, stored: Stored) -> tuple[Image.Image, bytes]:
    """An image of images.tar, and its bytes there."""
    archive.seek(stored.offset)
    data = archive.read(stored.bytes)
    image = images.decode(data)
    if image.size != (stored.width, stored.height):
        raise ImageError(f"decodes to {image.width} x {image.height} px, not what its header says")
    return image, data


def _encoded(cuts: list[Cut], image: Image.Image, data: bytes, row: Dataset) -> Iterator[tuple[bytes, str]]:
    """Bytes and extension of each cut of a decoded photograph: the original ones where nothing changes them."""
    size = _reduced(image.width, image.height, row.shorter_side)
    whole = image.size == size == (row.size, row.size) and images.needs_no_change(data)
    if image.size != size:
        image = image.resize(size, Image.Resampling.LANCZOS)
    for cut in cuts:
        if whole and cut.look is None:
            yield data, "jpg" if data.startswith(b"\xff\xd8") else "png"
            continue
        square = image.crop((cut.x, cut.y, cut.x + cut.side, cut.y + cut.side))
        if cut.side != row.size:
            square = square.resize((row.size, row.size), Image.Resampling.LANCZOS)
        yield images.encode_png(square if cut.look is None else _dressed(square, cut.look)), "png"


def _dressed(square: Image.Image, look: Look) -> Image.Image:
    if look.mirrored:
        square = square.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    bands = square.split()
    square = Image.merge("RGB", [bands[channel] for channel in look.channels])
    curve = (np.arange(256) / 255) ** look.gamma
    table = np.concatenate([np.rint(255 * np.clip(gain * curve, 0, 1)) for gain in look.gains])
    return square.point(table.astype(int).tolist())
