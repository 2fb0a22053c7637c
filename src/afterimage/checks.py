"""The gates: Great Expectations suites over tables of what was measured, and results that are the same every time.

A gate streams its shards once and keeps a row of measurements a sample, never pixels or arrays. Each kind of table
has a suite; an expectation's `description` is the sentence that people read in the report and in an error.
"""

import hashlib
import io
import logging
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from afterimage import engine, shards
from afterimage.errors import CheckError, ImageError
from afterimage.images import decode, open_header
from afterimage.outputs import sha256, write_json
from afterimage.shards import SPLITS

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation

FAILURES = Path(".afterimage/validation")
"""Full results of failed gates: outside the outputs, so that nothing takes them for a passed one."""

KEY = r"^[A-Za-z0-9_=-]+$"
EXAMPLES = 5


def check_images(name: str, folder: Path, raw: Path, max_rejected: float, report: Path) -> None:
    """Check the image shards in `folder` against themselves and the manifest in `raw`; write the result to `report`.

    Args:
        name: the data set's name, which the result carries.
        max_rejected: the largest share of the files found that may have been set aside.

    Raises:
        ShardError: a shard or the index cannot be read at all.
        CheckError: a table is missing, or a check failed: the line says how many did, describes the first, and
            names the file that holds them all. Nothing is left at `report`.
    """
    report.unlink(missing_ok=True)
    index = shards.load_index(folder)
    listed = _read_csv(folder / "samples.csv", ["key", "split", "shard", "image", "group"])
    rejected = _read_csv(folder / "rejected.csv", ["origin", "reason"])
    manifest = _read_csv(raw / "manifest.csv", ["key", "origin", "group", "split"])
    origins = pd.concat([manifest[["origin"]], rejected[["origin"]]]).drop_duplicates()
    files = origins.merge(rejected.drop_duplicates("origin"), how="left", on="origin")

    checks = _run(
        Table("shards", _shard_files(folder, index), ["shard"], _shard_suite()),
        Table("files", files, ["origin"], _file_suite(max_rejected)),
        Table("images", manifest, ["key", "origin"], _manifest_suite()),
    )
    counts: dict[str, Any] = {"files": len(files), "rejected": len(rejected), "images": len(manifest)}
    if _passed(checks):  # an altered tar may not even be readable
        samples = _samples(folder, index, listed, manifest)
        splits = _count_samples(index, samples, listed)
        checks += _run(
            Table("splits", splits, ["split"], _split_suite()),
            Table("samples", samples, ["shard", "key"], _sample_suite(index.get("size"))),
            Table("shards", _neighbours(samples), ["shard"], _neighbour_suite()),
            Table("groups", _spread(samples, "group"), ["group", "found_in"], _spread_suite("group")),
            Table("images", _spread(samples, "pixels"), ["found_in"], _spread_suite("pixels")),
        )
        distinct = samples.groupby("split")[["group", "image", "pixels"]].nunique()
        counts["splits"] = {
            split: {
                "samples": row["samples"],
                "shards": len(index["splits"].get(split, {"shards": []})["shards"]),
                "groups": int(distinct["group"].get(split, 0)),
                "images": int(distinct["image"].get(split, 0)),
                "distinct_samples": int(distinct["pixels"].get(split, 0)),
            }
            for split, row in splits.set_index("split").to_dict("index").items()
        }
    _conclude(name, checks, counts, report)


def check_features(encoder: str, layer: str, folder: Path, images: Path, report: Path) -> None:
    """Check a layer's features in `folder` against the image shards in `images`, row by row, as above.

    Raises:
        ShardError: a shard or an index cannot be read at all.
        CheckError: the table of samples is missing, or a check failed. Nothing is left at `report`.
    """
    report.unlink(missing_ok=True)
    index = shards.load_index(folder)
    image_index = shards.load_index(images)
    listed = _read_csv(images / "samples.csv", ["key", "split", "shard", "image", "group"])
    expected = {
        "encoder": encoder,
        "layer": layer,
        "dataset": image_index.get("dataset"),
        "images": sha256(images / "index.json"),
    }
    identity = pd.DataFrame(
        [(field, index.get(field), value) for field, value in expected.items()], columns=["field", "found", "expected"]
    )
    checks = _run(
        Table("fields", identity, ["field"], _identity_suite()),
        Table("shards", _shard_files(folder, index), ["shard"], _shard_suite()),
        Table("shards", _shard_pairs(index, image_index), ["shard"], _pair_suite()),
    )
    counts: dict[str, Any] = {"shape": index.get("shape", []), "dtype": index.get("dtype")}
    if _passed(checks):
        rows = _arrays(folder, index, listed)
        splits = _count_arrays(image_index, rows)
        checks += _run(
            Table("arrays", rows, ["shard", "key"], _array_suite(counts["shape"], counts["dtype"])),
            Table("splits", splits, ["split"], _layer_suite()),
        )
        columns = ["samples", "distinct", "lowest", "highest"]
        counts["splits"] = {
            row["split"]: {column: _plain(row[column]) for column in columns} for _, row in splits.iterrows()
        }
    _conclude(f"features/{encoder}/{layer}", checks, counts, report)


def _conclude(name: str, checks: list[dict[str, Any]], counts: dict[str, Any], report: Path) -> None:
    result = {"name": name, "passed": _passed(checks), "checks": checks, "counts": counts}
    full = FAILURES / f"{name}.json"
    if result["passed"]:
        full.unlink(missing_ok=True)
        write_json(report, result)
        return
    write_json(full, result)
    failed = [check for check in checks if not check["passed"]]
    raise CheckError(
        f"{name}: {len(failed)} of {len(checks)} checks failed, first {_described(failed[0])}; all in {full}"
    )


# Great Expectations


@dataclass(frozen=True)
class Table:
    """A table of measurements, the columns that name a culprit in it, and what is expected of it."""

    name: str
    """What its rows are, in the plural."""
    frame: pd.DataFrame
    subject: Sequence[str]
    suite: "Sequence[Expectation]"


def _gx() -> ModuleType:
    """Import Great Expectations, which takes seconds, without its telemetry, progress bars and chatter."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    import great_expectations

    return great_expectations


def _run(*tables: Table) -> list[dict[str, Any]]:
    """Run each table's suite; one entry a check, in the order of the suites."""
    gx = _gx()
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_pandas("measurements")
    checks = []
    for number, table in enumerate(tables):
        name = f"{number} {table.name}"
        batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("all")
        suite = context.suites.add(gx.ExpectationSuite(name, expectations=list(table.suite)))
        definition = gx.ValidationDefinition(name=name, data=batch, suite=suite)
        outcome = context.validation_definitions.add(definition).run(
            batch_parameters={"dataframe": table.frame},
            result_format={
                "result_format": "SUMMARY",
                "partial_unexpected_count": EXAMPLES,
                "unexpected_index_column_names": list(table.subject),
            },
        )
        by_sentence = {result.expectation_config.description: result for result in outcome.results}
        checks += [_entry(table, by_sentence[expectation.description]) for expectation in table.suite]
    return checks


def _entry(table: Table, outcome: Any) -> dict[str, Any]:
    config, found = outcome.expectation_config, outcome.result
    if not found:
        raise RuntimeError(f"{config.type} could not be evaluated: {outcome.exception_info}")
    columns = [config.kwargs[name] for name in ("column", "column_A", "column_B") if name in config.kwargs]
    order = [*table.subject, *(column for column in columns if column not in table.subject)]
    rows = found["partial_unexpected_index_list"][:EXAMPLES]
    good = found["element_count"] - found["unexpected_count"]
    return {
        "check": config.description,
        "table": table.name,
        "expectation": config.type,
        "column": ", ".join(columns),
        "expected": _expected(config.kwargs),
        "passed": bool(outcome.success),
        "observed": f"{good} of {found['element_count']}",
        "examples": [{column: _plain(row[column]) for column in order} for row in rows],
    }


def _expected(kwargs: dict[str, Any]) -> str:
    """What an expectation asks of its column, in words."""
    if "column_A" in kwargs:
        relation = "the same as" if "or_equal" not in kwargs else "at least" if kwargs["or_equal"] else "above"
        return f"{kwargs['column_A']} {relation} {kwargs['column_B']}"
    bounds = [
        *([f"at least {kwargs['min_value']:g}"] if kwargs.get("min_value") is not None else []),
        *([f"at most {kwargs['max_value']:g}"] if kwargs.get("max_value") is not None else []),
    ]
    if bounds:
        return " and ".join(bounds)
    if "value_set" in kwargs:
        return " or ".join(str(value) for value in kwargs["value_set"])
    if "regex" in kwargs:
        return f"a match of {kwargs['regex']}"
    share = kwargs.get("mostly", 1)
    return "" if share == 1 else f"none in at least {share:.4g} of the rows"


def _plain(value: Any) -> Any:
    """A value as JSON has it: no NumPy types, no NaN."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _described(check: dict[str, Any]) -> str:
    """A failed check in one line: the sentence, the first culprit, what was expected of it, and how many hold."""
    culprit = ", ".join(f"{column} {value}" for column, value in check["examples"][0].items())
    expected = f" (expected {check['expected']})" if check["expected"] else ""
    return f'"{check["check"]}": {culprit}{expected}; {check["observed"]} {check["table"]} pass'


def _passed(checks: Sequence[dict[str, Any]]) -> bool:
    return all(check["passed"] for check in checks)


# The suites, one a kind of table


def _shard_suite() -> "list[Expectation]":
    expect = _gx().expectations
    return [
        expect.ExpectColumnPairValuesToBeEqual(
            column_A="sha256",
            column_B="sha256_in_index",
            description="every shard is there and has the bytes that its index says",
        ),
    ]


def _file_suite(max_rejected: float) -> "list[Expectation]":
    expect = _gx().expectations
    return [
        expect.ExpectColumnValuesToBeNull(
            column="reason",
            mostly=max(0.0, 1 - max_rejected - 1e-9),  # a third rejected of a third allowed passes
            description="no more files were set aside than the row's max_rejected allows",
        ),
    ]


def _manifest_suite() -> "list[Expectation]":
    expect = _gx().expectations
    return [
        expect.ExpectColumnValuesToBeUnique(column="key", description="no two images of the manifest share a key"),
    ]


def _split_suite() -> "list[Expectation]":
    expect = _gx().expectations
    return [
        expect.ExpectColumnValuesToBeInSet(
            column="split", value_set=list(SPLITS), description="the splits are train, val and test"
        ),
        expect.ExpectColumnValuesToBeBetween(column="samples", min_value=1, description="no split is empty"),
        expect.ExpectColumnPairValuesToBeEqual(
            column_A="samples",
            column_B="samples_in_index",
            description="every split has as many samples as its index says",
        ),
        expect.ExpectColumnPairValuesToBeEqual(
            column_A="samples",
            column_B="samples_in_table",
            description="every split has as many samples as samples.csv lists",
        ),
    ]


def _sample_suite(size: int | None) -> "list[Expectation]":
    expect = _gx().expectations
    return [
        expect.ExpectColumnPairValuesToBeEqual(
            column_A="found",
            column_B="listed",
            description="the shards hold the samples of samples.csv in the same order",
        ),
        expect.ExpectColumnValuesToMatchRegex(
            column="key", regex=KEY, description="every key is made of letters, digits, _, - and = only"
        ),
        expect.ExpectColumnValuesToBeUnique(column="key", description="no two samples share a key"),
        expect.ExpectColumnValuesToBeNull(column="fault", description="every sample can be decoded"),
        expect.ExpectColumnValuesToBeInSet(
            column="stored", value_set=["PNG RGB", "JPEG RGB"], description="every sample is stored as 8-bit RGB"
        ),
        expect.ExpectColumnValuesToBeInSet(
            column="size",
            value_set=[f"{size} x {size}"],
            description="every sample has exactly the data set's size",
        ),
        expect.ExpectColumnValuesToNotBeNull(
            column="manifest_split", description="every sample's image is in the manifest"
        ),
        expect.ExpectColumnPairValuesToBeEqual(
            column_A="split",
            column_B="manifest_split",
            ignore_row_if="either_value_is_missing",
            description="every sample is in the split that the manifest gives its image",
        ),
        expect.ExpectColumnPairValuesToBeEqual(
            column_A="group",
            column_B="manifest_group",
            ignore_row_if="either_value_is_missing",
            description="every sample is in the group that the manifest gives its image",
        ),
    ]


def _neighbour_suite() -> "list[Expectation]":
    expect = _gx().expectations
    return [
        expect.ExpectColumnValuesToBeNull(column="unsorted", description="keys are sorted within every shard"),
    ]


def _spread_suite(column: str) -> "list[Expectation]":
    expect = _gx().expectations
    sentences = {
        "group": "no group is in two splits",
        "pixels": "no image is in two splits, pixel for pixel",
    }
    return [
        expect.ExpectColumnValuesToBeBetween(column="splits", max_value=1, description=sentences[column]),
    ]


def _identity_suite() -> "list[Expectation]":
    expect = _gx().expectations
    return [
        expect.ExpectColumnPairValuesToBeEqual(
            column_A="found",
            column_B="expected",
            description="the features are of this encoder and layer and of this version of the image shards",
        ),
    ]


def _pair_suite() -> "list[Expectation]":
    expect = _gx().expectations
    return [
        expect.ExpectColumnPairValuesToBeEqual(
            column_A="samples",
            column_B="image_samples",
            description="every image shard has its feature shard with as many samples",
        ),
    ]


def _array_suite(shape: Sequence[int], dtype: str | None) -> "list[Expectation]":
    expect = _gx().expectations
    return [
        expect.ExpectColumnPairValuesToBeEqual(
            column_A="found",
            column_B="listed",
            description="the feature shards hold the samples of the image shards in the same order",
        ),
        expect.ExpectColumnValuesToBeNull(column="fault", description="every array can be read"),
        expect.ExpectColumnValuesToBeInSet(
            column="dtype", value_set=[dtype], description="every array has the index's number type"
        ),
        expect.ExpectColumnValuesToBeInSet(
            column="shape", value_set=[_dims(shape)], description="every array has the index's shape"
        ),
        expect.ExpectColumnValuesToBeBetween(column="not_finite", max_value=0, description="every value is finite"),
    ]


def _layer_suite() -> "list[Expectation]":
    expect = _gx().expectations
    return [
        expect.ExpectColumnPairValuesToBeEqual(
            column_A="samples",
            column_B="image_samples",
            description="every split has as many features as images",
        ),
        expect.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="highest",
            column_B="lowest",
            or_equal=False,
            description="the layer is not one constant over a split",
        ),
        expect.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="distinct",
            column_B="distinct_needed",
            or_equal=True,
            description="the layer does not give every image of a split the same features",
        ),
    ]


# The measurements


def _shard_files(folder: Path, index: dict[str, Any]) -> pd.DataFrame:
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


def _read(folder: Path, index: dict[str, Any]) -> Iterator[tuple[str, str, str, str, bytes]]:
    """Split, shard, key, place as samples.csv can tell it, and bytes of every sample, with progress."""
    splits = index["splits"]
    samples = (
        (split, str(folder / shard), key, f"{shard}/{key}", data)
        for split in splits
        for (key, data, _), shard in zip(shards.read(folder, split), _shard_names(splits[split]), strict=False)
    )
    total = sum(split["samples"] for split in splits.values())
    yield from engine.progress(samples, f"validate {folder}", total, "sample")


def _shard_names(split: dict[str, Any]) -> Iterator[str]:
    """The shard of each sample of a split, without end: the reader is the one to say that a shard holds more."""
    names = (repeat(shard["name"], shard["samples"]) for shard in split["shards"])
    return chain(chain.from_iterable(names), repeat("a sample too many"))


def _samples(folder: Path, index: dict[str, Any], listed: pd.DataFrame, manifest: pd.DataFrame) -> pd.DataFrame:
    """A row a sample of the shards, beside what samples.csv and the manifest say of it."""
    rows = [(*names, *_measure_image(data)) for *names, data in _read(folder, index)]
    found = pd.DataFrame(
        rows, columns=["split", "shard", "key", "found", "fault", "stored", "size", "pixels"], dtype=object
    )
    samples = _beside(found, listed)
    by_key = manifest.drop_duplicates("key").set_index("key")
    samples["manifest_split"] = samples["image"].map(by_key["split"])
    samples["manifest_group"] = samples["image"].map(by_key["group"])
    return samples


def _measure_image(data: bytes) -> tuple[str | None, str | None, str | None, str | None]:
    """Fault, form, size and the hash of the decoded pixels of an encoded image."""
    try:
        header = open_header(data)
        image = decode(data)
    except ImageError as error:
        return str(error), None, None, None
    pixels = hashlib.sha256(image.tobytes()).hexdigest()
    return None, f"{header.format} {header.mode}", f"{image.width} x {image.height}", pixels


def _arrays(folder: Path, index: dict[str, Any], listed: pd.DataFrame) -> pd.DataFrame:
    """A row an array of the feature shards, beside the row of samples.csv that it should belong to."""
    rows = [(*names, *_measure_array(data)) for *names, data in _read(folder, index)]
    columns = ["split", "shard", "key", "found", "fault", "dtype", "shape", "not_finite", "lowest", "highest", "bytes"]
    return _beside(pd.DataFrame(rows, columns=columns, dtype=object), listed)


def _measure_array(
    data: bytes,
) -> tuple[str | None, str | None, str | None, int | None, float | None, float | None, str | None]:
    """Fault, number type, shape, count of values that are not finite, extremes and hash of an array's file."""
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError) as error:
        return f"not an array: {error}", None, None, None, None, None, None
    values = array.astype(np.float32)  # NumPy is slow on float16
    finite = np.isfinite(values)
    bad = int(finite.size - np.count_nonzero(finite))
    if bad:
        values = values[finite]
    extremes = (float(values.min()), float(values.max())) if values.size else (None, None)
    return None, str(array.dtype), _dims(array.shape), bad, *extremes, hashlib.sha256(data).hexdigest()


def _beside(found: pd.DataFrame, listed: pd.DataFrame) -> pd.DataFrame:
    """Put samples.csv beside what the shards hold, line by line of each split; what either lacks is "nothing"."""
    lines = pd.DataFrame(
        {
            "listed": listed["shard"] + "/" + listed["key"],
            "listed_split": listed["split"],
            "image": listed["image"],
            "group": listed["group"],
            "place": listed.groupby("split").cumcount(),
        }
    )
    found = found.assign(place=found.groupby("split").cumcount())
    both = found.merge(lines, "outer", left_on=["split", "place"], right_on=["listed_split", "place"])
    names = ["split", "shard", "key", "found", "listed"]
    both[names] = both[names].fillna("nothing")
    return both


def _count_samples(index: dict[str, Any], samples: pd.DataFrame, listed: pd.DataFrame) -> pd.DataFrame:
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


def _count_arrays(image_index: dict[str, Any], rows: pd.DataFrame) -> pd.DataFrame:
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


def _neighbours(samples: pd.DataFrame) -> pd.DataFrame:
    """A row a shard: its first key that sorts before the one in front of it."""
    before = samples.groupby("shard")["key"].shift()
    wrong = samples[before.notna() & (samples["key"] < before.fillna(""))]
    first = (wrong["key"] + " after " + before[wrong.index]).groupby(wrong["shard"]).first()
    names = samples["shard"].drop_duplicates().reset_index(drop=True)
    return pd.DataFrame({"shard": names, "unsorted": names.map(first).astype(object)})


def _spread(samples: pd.DataFrame, column: str) -> pd.DataFrame:
    """A row a value of `column`: in how many splits it is, and where for those that are in several."""
    places = samples.dropna(subset=[column]).drop_duplicates([column, "split"])
    table = places.groupby(column).size().rename("splits").reset_index()
    leaked = places[places[column].isin(table.loc[table["splits"] > 1, column])]
    found_in = leaked["found"].groupby(leaked[column]).agg(" and ".join)
    table["found_in"] = table[column].map(found_in)
    return table


def _shard_pairs(index: dict[str, Any], image_index: dict[str, Any]) -> pd.DataFrame:
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


def _dims(shape: Sequence[int]) -> str:
    return " x ".join(str(length) for length in shape)


def _read_csv(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Columns of a table as text, so that a key or group called NA stays what it is.

    Raises:
        CheckError: there is no such file, or it is not such a table.
    """
    try:
        return pd.read_csv(path, usecols=list(columns), dtype=str, keep_default_na=False)[list(columns)]
    except FileNotFoundError:
        raise CheckError(f"{path}: there is no such table") from None
    except ValueError:
        raise CheckError(f"{path}: not a table with the columns {', '.join(columns)}") from None
