"""Small image files for tests: encoded in memory, so that a test says what it needs in a line."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from afterimage.core import layout, outputs, shards


def noise(width: int = 48, height: int = 40, seed: int = 0, detail: int = 1) -> Image.Image:
    """Smooth colour that is different for each seed and differs from its own flips and turns."""
    pixels = np.random.default_rng(seed).integers(0, 256, (5 * detail, 7 * detail, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


def array(image: Image.Image) -> npt.NDArray[np.uint8]:
    return np.asarray(image)


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def png(width: int = 48, height: int = 40, seed: int = 0) -> bytes:
    return encoded(noise(width, height, seed))


def jpeg(width: int = 48, height: int = 40, seed: int = 0, **options: Any) -> bytes:
    return encoded(noise(width, height, seed), "JPEG", quality=90, **options)


def truncated(width: int = 64, height: int = 64) -> bytes:
    """A JPEG whose header is whole and whose pixels are not."""
    data = jpeg(width, height)
    return data[: len(data) * 9 // 10]


def oriented(image: Image.Image, orientation: int, form: str = "PNG") -> bytes:
    """The image as a camera would store it that writes this EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image, form, exif=exif)


def raw_png(width: int, height: int, depth: int, colour: int, lines: bytes, extra: bytes = b"") -> bytes:
    """A PNG from its parts, for what Pillow reads but does not write; lines begin with their filter byte."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def bomb() -> bytes:
    """A file of some hundred bytes that claims 30,000 x 30,000 px."""
    return raw_png(30_000, 30_000, 8, 2, bytes(1000))


def animation() -> bytes:
    """A GIF of a red frame and a blue one."""
    red, blue = (Image.new("RGB", (48, 40), colour) for colour in ("red", "blue"))
    return encoded(red, "GIF", save_all=True, append_images=[blue])


def folder(root: Path, files: dict[str, bytes]) -> Path:
    """A folder with these files; names may hold `/`."""
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def people(root: Path, count: int = 12, images: int = 2, width: int = 48, height: int = 40) -> Path:
    """A folder a person with some images each: enough for all three splits with seed 0."""
    names = [
        (f"person{person:02d}/{image}.png", 100 * person + image) for person in range(count) for image in range(images)
    ]
    return folder(root, {name: png(width, height, seed) for name, seed in names})


PAIRS = {"input": "(.*)_real", "target": "(.*)_mean"}


def pairs(root: Path, count: int = 24) -> Path:
    """A folder of scenes, each an input `_real`, dark and noisy, and a target `_mean`."""
    scenes = {f"cam{n % 2}/scene{n:02d}": noise(seed=n) for n in range(count)}
    targets = {f"{name}_mean.png": encoded(image) for name, image in scenes.items()}
    inputs = {f"{name}_real.png": encoded(bad(image, seed=n)) for n, (name, image) in enumerate(scenes.items())}
    return folder(root, targets | inputs)


def bad(image: Image.Image, seed: int = 0) -> Image.Image:
    """What a bad camera makes of an image: half as bright, with noise."""
    pixels = np.asarray(image) / 2 + np.random.default_rng(seed).normal(0, 4, (image.height, image.width, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def shards_of(root: Path, splits: dict[str, list[int]], size: int = 32, prefix: str = "a") -> Path:
    """Image shards with so many samples in each tar of a split, as the stage shard writes them."""
    root.mkdir(parents=True, exist_ok=True)
    described: dict[str, list[shards.Shard]] = {}
    lines = []
    for place, (split, counts) in enumerate(splits.items()):
        number = 0
        for tar, count in enumerate(counts):
            path = root / f"{split}-{tar:06d}.tar"
            with shards.writer(path) as put:
                for _ in range(count):
                    key = f"{split}_{prefix}{number:04d}"
                    put(f"{key}.png", png(size, size, seed=1000 * place + number))
                    lines.append((key, split, path.name, key, key))
                    number += 1
            described.setdefault(split, []).append(shards.describe(path, count))
    shards.write_index(root, {"dataset": "mine", "size": size}, described)
    outputs.write_csv(root / "samples.csv", ("key", "split", "shard", "image", "group"), lines)
    return root


def pair_shards(root: Path) -> Path:
    """Shards of pairs, 16 px, in a project."""
    from afterimage.datasets import sharding, sources

    pairs(root / "in")
    given = {"source": "folder", "path": str(root / "in"), "size": 16, "pairs": PAIRS, "group": "image"}
    dataset = sources.Dataset.kind_of(given).model_validate(given)
    sources.fetch(dataset, "mine", root / "raw")
    sharding.write(dataset, "mine", root / "raw", root / layout.shards("mine"), jobs=1)
    return root / layout.shards("mine")
