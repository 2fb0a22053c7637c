"""Tables of what was measured in shards: a row a shard, a sample, a group or a split."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from afterimage.core import engine, shards
from afterimage.core.arrays import SCALE, from_npy, restored
from afterimage.core.errors import CheckError, ImageError, ShardError
from afterimage.core.images import decode, open_header
from afterimage.core.outputs import sha256
from afterimage.core.parsing import parsing
from afterimage.core.shards import SPLITS

TOGETHER = 8
"""Samples that a core measures at once."""

Row = tuple[Any, ...]


def shard_files(folder: Path, index: dict[str, Any]) -> pd.DataFrame:
    """A row a tar that is in the folder or in the index."""
    expected = {shard["name"]: shard["sha256"] for split in index["splits"].values() for shard in split["shards"]}
    found = {path.name: sha256(path) for path in folder.glob("*.tar")}
    names = sorted(expected | found)
    return pd.DataFrame(
        {
            "shard": [str(folder / name) for name in names],
            "sha256": [found.get(name, "no file") for name in names],
            "sha256_in_index": [expected.get(name, "no entry") for name in names],
        }
    )


def _measured(folder: Path, index: dict[str, Any], measure: Callable[..., Row], *parts: str) -> list[Row]:
    """A row a sample, on all cores: split, shard, key, place as samples.csv can tell it, and what `measure` says of its
    bytes, or of those of its parts."""
    samples = _read(folder, index, parts or ("",))

    def rows(some: list[tuple[Row, Row]]) -> list[Row]:
        return [(*names, *measure(*data)) for names, data in some]

    units = iter(lambda: list(islice(samples, TOGETHER)), [])
    total = -(-sum(split["samples"] for split in index["splits"].values()) // TOGETHER)
    return list(chain.from_iterable(engine.map(rows, units, label=f"validate {folder}", total=total)))


def _read(folder: Path, index: dict[str, Any], parts: Sequence[str]) -> Iterator[tuple[Row, Row]]:
    """The names of every sample, and the bytes of its parts."""
    for split, about in index["splits"].items():
        read = zip(*(shards.read(folder, split, part) for part in parts), strict=False)
        for samples, shard in zip(read, _shard_names(about), strict=False):
            key = samples[0][0]
            yield (split, str(folder / shard), key, f"{shard}/{key}"), tuple(data for _, data, _ in samples)


def _shard_names(split: dict[str, Any]) -> Iterator[str]:
    """The shard of each sample of a split, without end: the reader is the one to say that a shard holds more."""
    names = (repeat(shard["name"], shard["samples"]) for shard in split["shards"])
    return chain(chain.from_iterable(names), repeat("a sample too many"))


def samples(folder: Path, index: dict[str, Any], listed: pd.DataFrame, manifest: pd.DataFrame) -> pd.DataFrame:
    """A row a sample of the shards, beside what samples.csv and the manifest say of it."""
    samples = _beside(_images(folder, index), listed)
    by_key = manifest.drop_duplicates("key").set_index("key")
    samples["manifest_split"] = samples["image"].map(by_key["split"])
    samples["manifest_group"] = samples["image"].map(by_key["group"])
    return samples


def inputs(folder: Path, index: dict[str, Any], listed: pd.DataFrame, manifest: pd.DataFrame) -> pd.DataFrame:
    """A row an input of the shards, beside what samples.csv and the manifest say of it."""
    inputs = _beside(_images(folder, index, shards.INPUT), listed)
    by_target = manifest[manifest["target"] != ""].drop_duplicates("target").set_index("target")
    partners = inputs["image"].map(by_target["key"])
    inputs["manifest_input"] = partners.fillna(inputs["image"]) if index.get("alone") else partners
    return inputs


def unchanged(inputs: pd.DataFrame, samples: pd.DataFrame) -> pd.DataFrame:
    """A row a pair: the input's key where all its samples are those of its target, pixel for pixel."""
    both = inputs.merge(samples, on=["split", "key"], suffixes=("", "_target"))
    pairs = both[both["input"] != both["image"]]  # an image that is alone among pairs is its own input
    same = (pairs["pixels"] == pairs["pixels_target"]).groupby([pairs["input"], pairs["image"]]).all()
    table = same.rename("same").reset_index().rename(columns={"image": "target"})
    return table.assign(unchanged=table["input"].where(table["same"], None).astype(object))


def _images(folder: Path, index: dict[str, Any], part: str = "") -> pd.DataFrame:
    """A row an image that the shards hold."""
    rows = _measured(folder, index, _measure_image, part)
    columns = ["split", "shard", "key", "found", "fault", "stored", "size", "pixels"]
    return pd.DataFrame(rows, columns=columns, dtype=object)


def partners(manifest: pd.DataFrame) -> pd.DataFrame:
    """A row a line of the manifest: how many partners it has, and for an input what its target is like."""
    table = manifest.assign(size=manifest["width"] + " x " + manifest["height"])
    by_key = table.drop_duplicates("key").set_index("key")
    inputs = table["target"] != ""
    chosen = table["target"].value_counts()
    table["partners"] = table["key"].map(chosen).fillna(0).astype(int) + table["target"].isin(by_key.index)
    for column in ("split", "group", "size"):
        table[f"target_{column}"] = table["target"].map(by_key[column]).where(inputs)
    return table


def _measure_image(data: bytes) -> tuple[str | None, str | None, str | None, str | None]:
    """Fault, form, size and the hash of the decoded pixels of an encoded image."""
    try:
        header = open_header(data)
        image = decode(data)
    except ImageError as error:
        return str(error), None, None, None
    pixels = hashlib.sha256(image.tobytes()).hexdigest()
    return None, f"{header.format} {header.mode}", f"{image.width} x {image.height}", pixels


def arrays(folder: Path, index: dict[str, Any], listed: pd.DataFrame) -> pd.DataFrame:
    """A row an array of the feature shards, beside the row of samples.csv that it should belong to."""
    parts = ("", SCALE) if index.get("dtype") == "uint8" else ("",)
    rows = _measured(folder, index, _measure_array, *parts)
    columns = ["split", "shard", "key", "found", "fault", "dtype", "shape", "not_finite", "lowest", "highest", "bytes"]
    return _beside(pd.DataFrame(rows, columns=columns, dtype=object), listed)


def _measure_array(
    data: bytes, scale: bytes | None = None
) -> tuple[str | None, str | None, str | None, int | None, float | None, float | None, str | None]:
    """Fault, number type, shape, count of values that are not finite, extremes and hash of an array's file."""
    try:
        array = from_npy(data, "its file")
        # NumPy is slow on float16
        with parsing(ShardError, "its scale does not fit"):
            values = array.astype(np.float32) if scale is None else restored(array, from_npy(scale, "its scale"))
    except ShardError as error:
        return str(error), None, None, None, None, None, None
    finite = np.isfinite(values)
    bad = int(finite.size - np.count_nonzero(finite))
    if bad:
        values = values[finite]
    extremes = (float(values.min()), float(values.max())) if values.size else (None, None)
    digest = hashlib.sha256(data + (scale or b"")).hexdigest()
    return None, str(array.dtype), dims(array.shape), bad, *extremes, digest


def _beside(found: pd.DataFrame, listed: pd.DataFrame) -> pd.DataFrame:
    """Put samples.csv beside what the shards hold, line by line of each split; what either lacks is "nothing"."""
    lines = pd.DataFrame(
        {
            "listed": listed["shard"] + "/" + listed["key"],
            "listed_split": listed["split"],
            **{name: listed[name] for name in ("image", "group", "input") if name in listed},
            "place": listed.groupby("split").cumcount(),
        }
    )
    found = found.assign(place=found.groupby("split").cumcount())
    both = found.merge(lines, "outer", left_on=["split", "place"], right_on=["listed_split", "place"])
    names = ["split", "shard", "key", "found", "listed"]
    both[names] = both[names].fillna("nothing")
    return both


def count_samples(index: dict[str, Any], samples: pd.DataFrame, listed: pd.DataFrame) -> pd.DataFrame:
    """A row a split that should be there or is."""
    names = list(dict.fromkeys([*SPLITS, *index["splits"]]))
    found, in_table = samples["split"].value_counts(), listed["split"].value_counts()
    return pd.DataFrame(
        {
            "split": names,
            "samples": [int(found.get(name, 0)) for name in names],
            "samples_in_index": [index["splits"].get(name, {"samples": 0})["samples"] for name in names],
            "samples_in_table": [int(in_table.get(name, 0)) for name in names],
        }
    )


def count_arrays(image_index: dict[str, Any], rows: pd.DataFrame) -> pd.DataFrame:
    """A row a split of the image shards: how many arrays it has and how much they vary."""
    names = list(image_index["splits"])
    splits = [rows[rows["split"] == name] for name in names]
    return pd.DataFrame(
        {
            "split": names,
            "samples": [len(split) for split in splits],
            "image_samples": [image_index["splits"][name]["samples"] for name in names],
            "lowest": [split["lowest"].astype(float).min() for split in splits],
            "highest": [split["highest"].astype(float).max() for split in splits],
            "distinct": [split["bytes"].nunique() for split in splits],
            "distinct_needed": [min(2, len(split)) for split in splits],
        }
    )


def neighbours(samples: pd.DataFrame) -> pd.DataFrame:
    """A row a shard: its first key that sorts before the one in front of it."""
    before = samples.groupby("shard")["key"].shift()
    wrong = samples[before.notna() & (samples["key"] < before.fillna(""))]
    first = (wrong["key"] + " after " + before[wrong.index]).groupby(wrong["shard"]).first()
    names = samples["shard"].drop_duplicates().reset_index(drop=True)
    return pd.DataFrame({"shard": names, "unsorted": names.map(first).astype(object)})


def spread(samples: pd.DataFrame, column: str) -> pd.DataFrame:
    """A row a value of `column`: in how many splits it is, and where for those that are in several."""
    places = samples.dropna(subset=[column]).drop_duplicates([column, "split"])
    table = places.groupby(column).size().rename("splits").reset_index()
    leaked = places[places[column].isin(table.loc[table["splits"] > 1, column])]
    found_in = leaked["found"].groupby(leaked[column]).agg(" and ".join)
    table["found_in"] = table[column].map(found_in)
    return table


def shard_pairs(index: dict[str, Any], image_index: dict[str, Any]) -> pd.DataFrame:
    """A row a shard of either index, with its count in both."""
    found, expected = (
        {shard["name"]: shard["samples"] for split in side["splits"].values() for shard in split["shards"]}
        for side in (index, image_index)
    )
    names = sorted(found | expected)
    return pd.DataFrame(
        {
            "shard": names,
            "samples": [found.get(name, 0) for name in names],
            "image_samples": [expected.get(name, 0) for name in names],
        }
    )


def dims(shape: Sequence[int]) -> str:
    return " x ".join(str(length) for length in shape)


def read_csv(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Columns of a table as text, so that a key or group called NA stays what it is.

    Raises:
        CheckError: there is no such file, or it is not such a table.
    """
    try:
        with parsing(CheckError, f"{path}: not a table with the columns {', '.join(columns)}"):
            return pd.read_csv(path, usecols=list(columns), dtype=str, keep_default_na=False)[list(columns)]
    except FileNotFoundError:
        raise CheckError(f"{path}: there is no such table") from None
