"""Whether two images show the same, however they are encoded, resized or mirrored.

The signature of an image is a perceptual hash: the signs of the lowest frequencies of its discrete cosine transform at
32 x 32 px, in grey (after Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010, section
3.2.1). Brightness and contrast leave signs alone, noise and detail lie in higher frequencies, and to mirror an image
turns the signs of its odd horizontal frequencies, so that one pass over the files finds mirrored copies too.

docs/honesty.md has what the limits below were measured on.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from afterimage.core import engine, shards
from afterimage.core.errors import ImageError
from afterimage.core.images import decode

SIDE = 32
KEPT = 16
"""Frequencies a direction that have a bit; that of the mean has none."""
BITS = KEPT**2 - 1
ALIKE = 48
"""Bits that may differ between copies of one image; two photographs differ by half of all, 127, +- 8."""
CLOSER = 32
"""Bits by which an input must be closer to the target of another pair than to its own before its pair is doubted."""
FLAT = 4.0
"""Standard deviation in levels below which an image shows nothing that could be told apart."""
FILES = 256
"""Images of a unit of work."""
BLOCK = 1 << 22
"""Distances that are in memory at once."""

Signatures = npt.NDArray[np.uint64]
"""`[N, 4]`: the bits of N images."""


class Unit(NamedTuple):
    """Images of an archive: where the bytes of each begin, and how many they are."""

    archive: Path
    places: Sequence[tuple[int, int]]


class Nearest(NamedTuple):
    """For each of some images the most alike of others: its place among them, and the bits that differ."""

    places: npt.NDArray[np.intp]
    bits: npt.NDArray[np.int64]


def signed(manifest: pd.DataFrame, archive: Path) -> pd.DataFrame:
    """The lines of a manifest whose images can be told apart, with the column `signature`.

    Left out is what is flat or cannot be decoded.

    Raises:
        ShardError: the archive is not whole.
    """
    found = [(name, (offset, size)) for name, offset, size in shards.members(archive)]
    starts = range(0, len(found), FILES)
    units = (Unit(archive, [place for _, place in found[start : start + FILES]]) for start in starts)
    files = engine.Files(reads=lambda unit: [engine.Piece(unit.archive, *place) for place in unit.places])
    results = engine.map(_signatures, units, label="look for copies", total=len(starts), files=files)
    signatures = [signature for unit in results for signature in unit]
    by_key = {name: each for (name, _), each in zip(found, signatures, strict=True) if each is not None}
    lines = manifest[manifest["key"].isin(by_key)]
    return lines.assign(signature=lines["key"].map(by_key)).reset_index(drop=True)


def _signatures(unit: Unit) -> list[Signatures | None]:
    with unit.archive.open("rb") as stream:
        return [signature(_read(stream, *place)) for place in unit.places]


def _read(stream: BinaryIO, offset: int, size: int) -> bytes:
    stream.seek(offset)
    return stream.read(size)


def signature(data: bytes) -> Signatures | None:
    """The bits `[4]` of an encoded image; None where it is flat or cannot be decoded."""
    from PIL import Image
    from scipy.fft import dctn

    try:
        image = decode(data, near=2 * SIDE)
    except ImageError:
        return None
    small = image.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    levels = np.asarray(small, dtype=np.float64)
    if levels.std() < FLAT:
        return None
    bits = dctn(levels)[:KEPT, :KEPT] > 0
    bits[0, 0] = False
    return np.packbits(bits).view(np.uint64)


_ODD = np.packbits(np.tile(np.arange(KEPT) % 2 == 1, (KEPT, 1))).view(np.uint64)


def mirrored(signatures: Signatures) -> Signatures:
    """The signatures of the same images, mirrored left to right."""
    return signatures ^ _ODD


def nearest(signatures: Signatures, others: Signatures, but: npt.NDArray[np.intp] | None = None) -> Nearest:
    """The most alike of `others` for each image; of equals the first.

    Args:
        but: for each image the place of one of the others that does not count.
    """
    places = np.zeros(len(signatures), dtype=np.intp)
    bits = np.zeros(len(signatures), dtype=np.int64)
    step = max(1, BLOCK // max(1, len(others)))
    for start in range(0, len(signatures), step):
        some = signatures[start : start + step]
        differing = np.zeros((len(some), len(others)), dtype=np.uint16)
        for word in range(others.shape[1]):
            differing += np.bitwise_count(some[:, word, None] ^ others[None, :, word])
        if but is not None:
            differing[np.arange(len(some)), but[start : start + step]] = BITS + 1
        places[start : start + step] = differing.argmin(axis=1)
        bits[start : start + step] = differing.min(axis=1)
    return Nearest(places, bits)


def copies(images: pd.DataFrame) -> pd.DataFrame:
    """A row an image of validation or test: the copy of it that a split before has, in words, or None.

    Args:
        images: as `signed` gives them.
    """
    found = []
    for split, before in (("val", ["train"]), ("test", ["train", "val"])):
        held, others = images[images["split"] == split], images[images["split"].isin(before)]
        like: list[str | None] = [None] * len(held)
        if len(held) and len(others):
            bits, theirs = np.stack(list(held["signature"])), np.stack(list(others["signature"]))
            upright, turned = nearest(bits, theirs), nearest(mirrored(bits), theirs)
            for number in np.flatnonzero(np.minimum(upright.bits, turned.bits) <= ALIKE):
                best, how = (upright, "") if upright.bits[number] <= turned.bits[number] else (turned, ", mirrored")
                other = others.iloc[best.places[number]]
                like[number] = f"{other['key']} ({other['split']}{how})"
        found.append(pd.DataFrame({"key": held["key"], "split": held["split"], "copy_of": like}, dtype=object))
    return pd.concat(found, ignore_index=True)


def doubtful(images: pd.DataFrame) -> pd.DataFrame:
    """A row an input whose target is there: the target of another pair that it looks far more like, or None.

    Args:
        images: as `signed` gives them, of a manifest with the column `target`.
    """
    inputs = images[images["target"].isin(images["key"])]
    targets = images[images["key"].isin(inputs["target"])].reset_index(drop=True)
    closer: list[str | None] = [None] * len(inputs)
    if len(targets) > 1:
        place = pd.Series(targets.index, index=targets["key"])
        own = inputs["target"].map(place).to_numpy()
        bits, truth = np.stack(list(inputs["signature"])), np.stack(list(targets["signature"]))
        apart = np.bitwise_count(bits ^ truth[own]).sum(axis=1, dtype=np.int64)
        best = nearest(bits, truth, but=own)
        keys = targets["key"].to_numpy()
        for number in np.flatnonzero(best.bits < apart - CLOSER):
            closer[number] = keys[best.places[number]]
    return pd.DataFrame({"key": inputs["key"], "target": inputs["target"], "closer_to": closer}, dtype=object)
