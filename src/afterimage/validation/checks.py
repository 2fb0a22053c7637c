"""The gates: what comes after a gate depends on its result, which is the same every time.

A gate streams its shards once and keeps a row of measurements a sample, never pixels or arrays; `measured` makes
those tables, `suites` holds them against their suites.
"""

from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from afterimage.core import shards
from afterimage.core.errors import CheckError
from afterimage.core.outputs import sha256, write_json
from afterimage.validation import likeness, measured, suites

FAILURES = Path(".afterimage/validation")
"""Full results of failed gates: outside the outputs, so that nothing takes them for a passed one."""


Fault = Callable[[bytes, bytes], str | None]


class Allowed(NamedTuple):
    """What a data set may have of what it should not have, as fractions."""

    rejected: float = 0.0
    """Of the files found, those that were set aside."""
    copies: float = 0.0
    """Of the validation and test images, those that are copies of images of another split."""


def check_images(name: str, folder: Path, raw: Path, allowed: Allowed, report: Path) -> None:
    """Check the image shards in `folder` against themselves and the manifest in `raw`; write the result to `report`.

    Args:
        name: the data set's name, which the result carries.
        allowed: how much of it may be as it should not be.

    Raises:
        ShardError: a shard or the index cannot be read at all.
        CheckError: a table is missing, or a check failed: the line says how many did, describes the first, and
            names the file that holds them all. Nothing is left at `report`.
    """
    report.unlink(missing_ok=True)
    index = shards.load_index(folder)
    paired = index.get("pairs", False)
    columns = ["key", "split", "shard", "image", "group", *(["input"] if paired else [])]
    listed = measured.read_csv(folder / "samples.csv", columns)
    rejected = measured.read_csv(folder / "rejected.csv", ["origin", "kind", "reason"])
    columns = ["key", "origin", "group", "split", *(["target", "width", "height"] if paired else [])]
    manifest = measured.read_csv(raw / "manifest.csv", columns)
    origins = pd.concat([manifest[["origin"]], rejected[["origin"]]]).drop_duplicates()
    files = origins.merge(rejected.drop_duplicates("origin"), how="left", on="origin")

    checks = suites.run(
        suites.Table("shards", measured.shard_files(folder, index), ["shard"], suites.shard_suite()),
        suites.Table("files", files, ["origin"], suites.file_suite(allowed.rejected)),
        suites.Table("images", manifest, ["key", "origin"], suites.manifest_suite()),
    )
    if paired:
        lines = measured.partners(manifest)
        inputs = lines[lines["target"] != ""]
        checks += suites.run(
            suites.Table("images", lines, ["key", "target"], suites.partner_suite(index.get("alone", False))),
            suites.Table("inputs", inputs, ["key", "target"], suites.pair_suite()),
        )
    counts: dict[str, Any] = {"files": len(files), "rejected": len(rejected), "images": len(manifest)}
    if suites.passed(checks):  # an altered tar may not even be readable
        samples = measured.samples(folder, index, listed, manifest)
        splits = measured.count_samples(index, samples, listed)
        every = samples
        looks = likeness.signed(manifest, raw / "images.tar")
        if paired:
            inputs = measured.inputs(folder, index, listed, manifest)
            table = suites.Table("inputs", inputs, ["shard", "key"], suites.input_suite(index.get("size")))
            checks += suites.run(table)
            every = pd.concat([samples, inputs], ignore_index=True)
        checks += suites.run(
            suites.Table("splits", splits, ["split"], suites.split_suite()),
            suites.Table("samples", samples, ["shard", "key"], suites.sample_suite(index.get("size"))),
            suites.Table("shards", measured.neighbours(samples), ["shard"], suites.neighbour_suite()),
            suites.Table(
                "groups",
                measured.spread(samples, "group"),
                ["group", "found_in"],
                suites.spread_suite("group"),
            ),
            suites.Table("images", measured.spread(every, "pixels"), ["found_in"], suites.spread_suite("pixels")),
            suites.Table("images", likeness.copies(looks), ["key", "split"], suites.copy_suite(allowed.copies)),
        )
        if paired:
            checks += suites.run(
                suites.Table("pairs", measured.unchanged(inputs, samples), ["input", "target"], suites.change_suite()),
                suites.Table("pairs", likeness.doubtful(looks), ["key", "target"], suites.join_suite()),
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
    write_json(report, _concluded(name, checks, counts))


def check_features(encoder: str, layer: str, folder: Path, images: Path) -> dict[str, Any]:
    """Check a layer's features in `folder` against the image shards in `images`, row by row; returns the result.

    Raises:
        ShardError: a shard or an index cannot be read at all.
        CheckError: the table of samples is missing, or a check failed.
    """
    index = shards.load_index(folder)
    image_index = shards.load_index(images)
    listed = measured.read_csv(images / "samples.csv", ["key", "split", "shard", "image", "group"])
    expected = {
        "encoder": encoder,
        "layer": layer,
        "dataset": image_index.get("dataset"),
        "images": sha256(images / "index.json"),
    }
    identity = pd.DataFrame(
        [(field, index.get(field), value) for field, value in expected.items()], columns=["field", "found", "expected"]
    )
    about: dict[str, Any] = {name: index[name] for name in ("error", "stored") if name in index}
    counts: dict[str, Any] = {"shape": index.get("shape", []), "dtype": index.get("dtype"), **about}
    fields = suites.Table("fields", identity, ["field"], suites.identity_suite())
    if not index.get("stored", True):  # whoever reads them computes them, and checks that they fit
        return _concluded(f"features/{encoder}/{layer}", suites.run(fields), counts)
    checks = suites.run(
        fields,
        suites.Table("shards", measured.shard_files(folder, index), ["shard"], suites.shard_suite()),
        suites.Table("shards", measured.shard_pairs(index, image_index), ["shard"], suites.shard_pair_suite()),
    )
    if suites.passed(checks):
        rows = measured.arrays(folder, index, listed)
        splits = measured.count_arrays(image_index, rows)
        checks += suites.run(
            suites.Table("arrays", rows, ["shard", "key"], suites.array_suite(counts["shape"], counts["dtype"])),
            suites.Table("splits", splits, ["split"], suites.layer_suite()),
        )
        columns = ["samples", "distinct", "lowest", "highest"]
        counts["splits"] = {
            row["split"]: {column: suites.plain(row[column]) for column in columns} for _, row in splits.iterrows()
        }
    return _concluded(f"features/{encoder}/{layer}", checks, counts)


def check_fixed(name: str, folder: Path, images: Path, splits: Sequence[str], fault: Fault) -> dict[str, Any]:
    """Check what is stored in `folder` for the samples of some splits of the image shards, one by one.

    These checks are few and plain, so they do without Great Expectations, whose import takes longer than they do.

    Args:
        fault: from the bytes of a stored sample and those of its image to what is wrong with it; None: nothing.

    Raises:
        ShardError: a shard or an index cannot be read at all.
        CheckError: a check failed.
    """
    checks: list[dict[str, Any]] = []
    counts: dict[str, Any] = {"splits": {}}
    for split in splits:
        table, truth = shards.Table(folder, split), shards.Table(images, split)
        pairs = list(zip_longest(table.keys, truth.keys))
        odd = [{"found": found, "expected": expected} for found, expected in pairs if found != expected]
        sentence = f"every sample of {split} has its own, in the order of the images"
        checks.append(suites.check(sentence, "samples", len(pairs), odd))
        if not odd:
            found = [(key, fault(table.bytes(at), truth.bytes(at))) for at, key in enumerate(table.keys)]
            bad = [{"key": key, "fault": reason} for key, reason in found if reason is not None]
            checks.append(suites.check(f"each of {split} is readable and fits its image", "samples", len(found), bad))
        counts["splits"][split] = {"samples": len(table)}
    return _concluded(name, checks, counts)


def _concluded(name: str, checks: list[dict[str, Any]], counts: dict[str, Any]) -> dict[str, Any]:
    result = {"name": name, "passed": suites.passed(checks), "checks": checks, "counts": counts}
    full = FAILURES / f"{name}.json"
    if result["passed"]:
        full.unlink(missing_ok=True)
        return result
    write_json(full, result)
    failed = [check for check in checks if not check["passed"]]
    raise CheckError(
        f"{name}: {len(failed)} of {len(checks)} checks failed, first {suites.described(failed[0])}; all in {full}"
    )
