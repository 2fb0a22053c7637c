"""Where images come from.

A source is a module of this package with three names:

- `Row`, the class of its rows in the section `datasets`;
- `COLUMNS`, the columns that it adds to the manifest;
- `items(row)`, its images as `Item`s, in the order of their keys. What lies in files of its own is not read before
  its item is opened; what comes as a stream (rows of a table, frames of a clip) is read a few items ahead.

A new source is a new module and its name in `SOURCES`. What several share lies in `paths` (the rules of names, groups,
official splits and pairs) and `downloads`.
"""

import hashlib
import importlib
import io
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, BinaryIO, NamedTuple, Self

from PIL import Image
from pydantic import Field, ValidationInfo, field_validator

from afterimage.core import engine, images, outputs, params
from afterimage.core.errors import AfterimageError, ImageError, SourceError
from afterimage.core.parsing import parsing
from afterimage.core.shards import SPLITS
from afterimage.datasets.sources import quarantine

SOURCES = ("bundled", "folder", "archive", "huggingface", "kaggle", "video")
COLUMNS = ("key", "origin", "sha256", "bytes", "width", "height", "mode", "group", "split")
"""The manifest's columns before those of a source; width and height are those of the upright image."""

MAX_BYTES = 1 << 30
"""A larger file is set aside unread."""

Pixels = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]


class Split(params.Row):
    """How groups without an official split are dealt out: the fractions of validation and test, the rest trains."""

    val: Fraction = 0.1
    test: Fraction = 0.2
    seed: int = 0

    @field_validator("test")
    @classmethod
    def _leaves_training(cls, test: float, info: ValidationInfo) -> float:
        if test + info.data.get("val", 0) >= 1:
            raise ValueError("val and test together leave nothing to train on")
        return test


class Dataset(params.Row):
    """A row of `datasets`: what all sources have in common; `source` picks the module that knows the rest."""

    source: str
    path: str
    """What the source reads, and DVC watches. The rows of a source that reads from elsewhere (a URL, a hub) name the
    module of the source: it is always there, and what they read is pinned in the row."""
    size: Pixels
    """The side of a sample."""
    tile: Pixels | None = None
    """The side of a square tile, cut from the image after `shorter_side`; None: the centre square."""
    stride: Pixels | None = None
    """The step between training tiles (None: `tile`); validation and test tiles never overlap."""
    shorter_side: Pixels | None = None
    """Images whose shorter side is longer are first brought down to it; None: left alone."""
    augment: Annotated[int, Field(ge=0)] = 0
    """Extra samples for each training tile: random resized crops of its photograph, mirrored or not, with channels in
    another order and other gamma and gains. They lie in the shards because features are extracted from those once."""
    split: Split = Split()
    max_rejected: Annotated[float, Field(ge=0, le=1)] = 0.05
    """The fraction of images that may be set aside before that is an error."""
    max_copies: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The fraction of validation and test images that may be copies of images of another split: re-encoded, resized or
    mirrored. Where groups cannot keep them together, a camera that never moves gives such images."""
    shard_samples: Pixels = 256

    @property
    def alone(self) -> bool:
        """Whether images that come in pairs may lie among others, each of which is its own input."""
        return False

    @classmethod
    def kind_of(cls, value: Any) -> type[Self]:
        source = value.get("source") if isinstance(value, dict) else None
        return module(source).Row if source in SOURCES else cls

    @field_validator("source")
    @classmethod
    def _known(cls, source: str) -> str:
        if source not in SOURCES:
            raise ValueError(f"no such source; there are {', '.join(SOURCES)}")
        return source

    @field_validator("tile", "stride", "shorter_side")
    @classmethod
    def _fits(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is None:
            return None
        if info.field_name == "stride":
            if "tile" in info.data and info.data["tile"] is None:
                raise ValueError("a stride without a tile has no meaning")
            return value
        for name in ("size", "tile"):
            bound = info.data.get(name)
            if bound is not None and value < bound:
                raise ValueError(f"smaller than `{name}` {bound}, and images are never enlarged")
        return value


class Item(NamedTuple):
    """An image of a source, before any of its bytes are read."""

    name: str
    """What its key is made of: a path with `/` between folders and no extension."""
    origin: str
    """Where it came from, in words for a table."""
    group: str
    """What must not be in two splits: a person, a scene, a photograph."""
    split: str | None
    """The official split; None: dealt out by group."""
    open: Callable[[], BinaryIO]
    """Opens the original bytes; raises ImageError for what should be set aside."""
    extra: tuple[str, ...] = ()
    """The values of the source's own columns."""


Rejected = list[tuple[str, str]]
"""Origin and reason of each image that was set aside."""


def module(source: str) -> ModuleType:
    """The module of a source, imported when it is used: some sources need heavy packages."""
    return importlib.import_module(f"{__name__}.{source}")


def key(name: str) -> str:
    """The key of a name: `/` becomes `--`, and any byte but letters, digits, `_` and `-` becomes `=xx`."""
    return "".join(_KEY_OF_BYTE[byte] for byte in name.encode("utf-8", "surrogateescape"))


_KEY_OF_BYTE = [
    "--" if byte == "/" else byte if byte.isascii() and (byte.isalnum() or byte in "_-") else f"={ord(byte):02x}"
    for byte in map(chr, range(256))
]


def draw(group: str, split: Split, among: Sequence[str] = ("val", "test")) -> str:
    """The split of a group, from the hash of its name alone: adding images moves none.

    Args:
        among: the splits that are dealt out beside train; a share that is not among them stays in train.
    """
    digest = hashlib.sha256(f"{split.seed}:{group}".encode("utf-8", "surrogateescape")).digest()
    place = int.from_bytes(digest[:8]) / 2**64
    drawn = "test" if place < split.test else "val" if place < split.test + split.val else "train"
    return drawn if drawn in among else "train"


def fetch(row: Dataset, name: str, out_dir: Path) -> None:
    """Write `manifest.csv`, `rejected.csv` and `images.tar` of a data set, one image in memory at a time.

    Only headers are parsed: an image without a readable one is set aside with its reason.

    Raises:
        SourceError: the source is not what its row says, two images have one key, too many were set aside, or a
            split stays empty.
    """
    source = module(row.source)
    rejected: Rejected = []
    splits: Counter[str] = Counter()
    with outputs.folder(out_dir) as folder:
        with tarfile.open(folder / "images.tar", "w") as tar:
            rows = _stored(source.items(row), row, name, tar, splits, rejected)
            outputs.write_csv(folder / "manifest.csv", [*COLUMNS, *source.COLUMNS], rows)
        quarantine.write(folder / "rejected.csv", rejected)
        check_rejected(rejected, splits.total() + len(rejected), row, name, SourceError)
        if empty := [split for split in SPLITS if not splits[split]]:
            held = ", ".join(f"{split} {splits[split]}" for split in SPLITS)
            raise SourceError(
                f"{name}: no image of {row.path} falls into {' and '.join(empty)} (images: {held}); it takes more "
                "groups, other values of `split`, or folders named train, val and test"
            )


def check_rejected(rejected: Rejected, total: int, row: Dataset, name: str, error: type[AfterimageError]) -> None:
    """Raise `error`, which counts the reasons and names the first image, if more than the row allows were set aside."""
    if len(rejected) <= row.max_rejected * total:
        return
    reasons = Counter(reason for _, reason in rejected).most_common()
    counted = ", ".join(f"{count} x {reason}" for reason, count in reasons[:3])
    more = f" and {len(reasons) - 3} other reasons" if len(reasons) > 3 else ""
    raise error(
        f"{name}: {len(rejected)} of {total} images were set aside, more than max_rejected {row.max_rejected} "
        f"allows: {counted}{more}; the first is {min(rejected)[0]}"
    )


def _stored(
    items: Iterator[Item],
    row: Dataset,
    name: str,
    tar: tarfile.TarFile,
    splits: Counter[str],
    rejected: Rejected,
) -> Iterator[tuple[Any, ...]]:
    """Add each image to the tar and yield its line of the manifest."""
    before: tuple[str, str] = ("", "")
    for item in engine.progress(items, f"fetch {name}", unit="image"):
        here = key(item.name)
        if here == before[0]:
            raise SourceError(f"{before[1]} and {item.origin} have one key, {here}: rename one of them")
        if here < before[0]:
            raise AssertionError(f"{row.source} yields {here} after {before[0]}")
        before = here, item.origin
        try:
            data = read(item.open)
            width, height, mode = _header(data)
        except ImageError as error:
            rejected.append((item.origin, str(error)))
            continue
        split = item.split or draw(item.group, row.split)
        splits[split] += 1
        header = tarfile.TarInfo(here)
        header.size, header.mode, header.uname, header.gname = len(data), 0o444, "afterimage", "afterimage"
        tar.addfile(header, io.BytesIO(data))
        getattr(tar, "members").clear()  # noqa: B009 - tarfile would keep every header in memory
        digest = hashlib.sha256(data).hexdigest()
        yield here, item.origin, digest, len(data), width, height, mode, item.group, split, *item.extra


def read(source: Callable[[], BinaryIO]) -> bytes:
    """All bytes of what `source` opens.

    Raises:
        ImageError: it cannot be read, or is too large.
    """
    try:
        with source() as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise ImageError(f"larger than the {MAX_BYTES} bytes allowed")
    return data


def _header(data: bytes) -> tuple[int, int, str]:
    """Width and height of the upright image, and the mode of the file."""
    image = images.open_header(data)
    return *upright(image), image.mode


def upright(image: Image.Image) -> tuple[int, int]:
    """The size that an image has once its EXIF orientation is applied.

    Raises:
        ImageError: the EXIF data is damaged.
    """
    width, height = image.size
    with parsing(ImageError, "damaged EXIF data"):
        orientation = image.getexif().get(0x0112, 1)
    turned = orientation in (5, 6, 7, 8) and image.format != "TIFF"  # Pillow opens a TIFF at its upright size
    return (height, width) if turned else (width, height)
