"""The sections of params.yaml that the report is made from.

The whole class of a learned row imports torch, which takes seconds; the report reads only what it shows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict, Field

from afterimage.metrics import MetricsRow
from afterimage.params import Row
from afterimage.reconstructors.classical import BaselineRow
from afterimage.sources import Dataset


class ReportRow(Row):
    """The section `report`."""

    images: int = Field(gt=0)
    """Test images in each grid."""


class EncoderNames(Row):
    """What the report needs of a row of `encoders`."""

    model_config = ConfigDict(extra="ignore")

    arch: str
    dataset: str
    layers: list[str]


class DecoderNames(Row):
    """What the report needs of a row of `decoders`."""

    model_config = ConfigDict(extra="ignore")

    dataset: str
    encoder: str
    layers: list[str]


class InversionNames(Row):
    """What the report needs of a row of `inversions`."""

    model_config = ConfigDict(extra="ignore")

    dataset: str
    encoder: str
    layer: str
    images: int


class HolesNames(Row):
    """What the report needs of a row of `holes`."""

    model_config = ConfigDict(extra="ignore")

    dataset: str
    shape: str


class InpainterNames(Row):
    """What the report needs of a row of `inpainters`."""

    model_config = ConfigDict(extra="ignore")

    dataset: str
    holes: str


class CompleterNames(Row):
    """What the report needs of a row of `completers`."""

    model_config = ConfigDict(extra="ignore")

    dataset: str
    holes: str


class DegradationNames(Row):
    """What the report needs of a row of `degradations`."""

    model_config = ConfigDict(extra="ignore")

    dataset: str
    levels: dict[str, list[dict[str, Any]]]
    baselines: list[str]


class RestorerNames(Row):
    """What the report needs of a row of `restorers`."""

    model_config = ConfigDict(extra="ignore")

    degradations: str
    levels: list[str]


@dataclass(frozen=True)
class Sections:
    """The sections of params.yaml that the report is made from."""

    datasets: Mapping[str, Dataset]
    encoders: Mapping[str, EncoderNames]
    decoders: Mapping[str, DecoderNames]
    inversions: Mapping[str, InversionNames]
    holes: Mapping[str, HolesNames]
    inpainters: Mapping[str, InpainterNames]
    completers: Mapping[str, CompleterNames]
    degradations: Mapping[str, DegradationNames]
    restorers: Mapping[str, RestorerNames]
    baselines: Mapping[str, BaselineRow]
    metrics: MetricsRow
    report: ReportRow
