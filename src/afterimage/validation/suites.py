"""Great Expectations suites, one a kind of table, and how they are run.

An expectation's `description` is the sentence that people read in the report and in an error.
"""

import logging
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from afterimage.core.shards import SPLITS
from afterimage.validation.measured import dims

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation

KEY = r"^[A-Za-z0-9_=-]+$"
EXAMPLES = 5


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


def run(*tables: Table) -> list[dict[str, Any]]:
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
        "examples": [{column: plain(row[column]) for column in order} for row in rows],
    }


def check(sentence: str, table: str, total: int, bad: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The entry of a check that was made without an expectation; `bad` are the rows that failed."""
    return {
        "check": sentence,
        "table": table,
        "expectation": "",
        "column": "",
        "expected": "",
        "passed": not bad,
        "observed": f"{total - len(bad)} of {total}",
        "examples": list(bad[:EXAMPLES]),
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


def plain(value: Any) -> Any:
    """A value as JSON has it: no NumPy types, no NaN."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def described(check: dict[str, Any]) -> str:
    """A failed check in one line: the sentence, the first culprit, what was expected of it, and how many hold."""
    culprit = ", ".join(f"{column} {value}" for column, value in check["examples"][0].items())
    expected = f" (expected {check['expected']})" if check["expected"] else ""
    return f'"{check["check"]}": {culprit}{expected}; {check["observed"]} {check["table"]} pass'


def passed(checks: Sequence[dict[str, Any]]) -> bool:
    return all(check["passed"] for check in checks)


def shard_suite() -> "list[Expectation]":
    expect = _gx().expectations
    return [
        expect.ExpectColumnPairValuesToBeEqual(
            column_A="sha256",
            column_B="sha256_in_index",
            description="every shard is there and has the bytes that its index says",
        ),
    ]


def file_suite(rejected: float) -> "list[Expectation]":
    expect = _gx().expectations
    return [
        expect.ExpectColumnValuesToBeNull(
            column="reason",
            mostly=_all_but(rejected),
            description="no more files were set aside than the row's max_rejected allows",
        ),
    ]


def _all_but(share: float) -> float:
    return max(0.0, 1 - share - 1e-9)  # a third of a third allowed passes


def manifest_suite() -> "list[Expectation]":
    expect = _gx().expectations
    return [
        expect.ExpectColumnValuesToBeUnique(column="key", description="no two images of the manifest share a key"),
    ]


def split_suite() -> "list[Expectation]":
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


def partner_suite(alone: bool) -> "list[Expectation]":
    expect = _gx().expectations
    return [
        expect.ExpectColumnValuesToBeBetween(
            column="partners",
            min_value=0 if alone else 1,
            max_value=1,
            description=f"every image is the input or the target of one other{', or alone' if alone else ''}",
        ),
    ]


def pair_suite() -> "list[Expectation]":
    expect = _gx().expectations
    return [
        expect.ExpectColumnPairValuesToBeEqual(
            column_A=column,
            column_B=f"target_{column}",
            ignore_row_if="either_value_is_missing",
            description=f"every input has the {column} of its target",
        )
        for column in ("split", "group", "size")
    ]


def input_suite(size: int | None) -> "list[Expectation]":
    expect = _gx().expectations
    return [
        *_image_suite("input", size),
        expect.ExpectColumnPairValuesToBeEqual(
            column_A="input",
            column_B="manifest_input",
            description="every sample has the input that the manifest pairs with its image",
        ),
    ]


def change_suite() -> "list[Expectation]":
    expect = _gx().expectations
    return [
        expect.ExpectColumnValuesToBeNull(
            column="unchanged", description="no input is its own target: something happened to each"
        ),
    ]


def join_suite() -> "list[Expectation]":
    expect = _gx().expectations
    return [
        expect.ExpectColumnValuesToBeNull(
            column="closer_to",
            description="no input looks far more like the target of another pair than like its own",
        ),
    ]


def copy_suite(copies: float) -> "list[Expectation]":
    expect = _gx().expectations
    return [
        expect.ExpectColumnValuesToBeNull(
            column="copy_of",
            mostly=_all_but(copies),
            description="no image of val or test is a copy of one in a split before it, re-encoded, resized or "
            "mirrored, beyond what the row's max_copies allows",
        ),
    ]


def _image_suite(what: str, size: int | None) -> "list[Expectation]":
    expect = _gx().expectations
    return [
        expect.ExpectColumnPairValuesToBeEqual(
            column_A="found",
            column_B="listed",
            description=f"the shards hold the {what}s of samples.csv in the same order",
        ),
        expect.ExpectColumnValuesToBeNull(column="fault", description=f"every {what} can be decoded"),
        expect.ExpectColumnValuesToBeInSet(
            column="stored", value_set=["PNG RGB", "JPEG RGB"], description=f"every {what} is stored as 8-bit RGB"
        ),
        expect.ExpectColumnValuesToBeInSet(
            column="size",
            value_set=[f"{size} x {size}"],
            description=f"every {what} has exactly the data set's size",
        ),
    ]


def sample_suite(size: int | None) -> "list[Expectation]":
    expect = _gx().expectations
    same, *images = _image_suite("sample", size)
    return [
        same,
        expect.ExpectColumnValuesToMatchRegex(
            column="key", regex=KEY, description="every key is made of letters, digits, _, - and = only"
        ),
        expect.ExpectColumnValuesToBeUnique(column="key", description="no two samples share a key"),
        *images,
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


def neighbour_suite() -> "list[Expectation]":
    expect = _gx().expectations
    return [
        expect.ExpectColumnValuesToBeNull(column="unsorted", description="keys are sorted within every shard"),
    ]


def spread_suite(column: str) -> "list[Expectation]":
    expect = _gx().expectations
    sentences = {
        "group": "no group is in two splits",
        "pixels": "no image is in two splits, pixel for pixel",
    }
    return [
        expect.ExpectColumnValuesToBeBetween(column="splits", max_value=1, description=sentences[column]),
    ]


def identity_suite() -> "list[Expectation]":
    expect = _gx().expectations
    return [
        expect.ExpectColumnPairValuesToBeEqual(
            column_A="found",
            column_B="expected",
            description="the features are of this encoder and layer and of this version of the image shards",
        ),
    ]


def shard_pair_suite() -> "list[Expectation]":
    expect = _gx().expectations
    return [
        expect.ExpectColumnPairValuesToBeEqual(
            column_A="samples",
            column_B="image_samples",
            description="every image shard has its feature shard with as many samples",
        ),
    ]


def array_suite(shape: Sequence[int], dtype: str | None) -> "list[Expectation]":
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
            column="shape", value_set=[dims(shape)], description="every array has the index's shape"
        ),
        expect.ExpectColumnValuesToBeBetween(column="not_finite", max_value=0, description="every value is finite"),
    ]


def layer_suite() -> "list[Expectation]":
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
