"""The sections of params.yaml that the report is made from.

The whole class of a learned row imports torch, which takes seconds; the report reads only what it shows.
"""

from collections.abc import Mapping
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Sections:
    """The sections of params.yaml that the report is made from."""

    datasets: Mapping[str, Dataset]
    encoders: Mapping[str, EncoderNames]
    decoders: Mapping[str, DecoderNames]
    inversions: Mapping[str, InversionNames]
    baselines: Mapping[str, BaselineRow]
    metrics: MetricsRow
    report: ReportRow
