"""What the benchmarks share: a line of the table, two sides timed in turn, and images to work on."""

import io
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from afterimage.core import layout, params, stage
from afterimage.datasets import sharding, sources
from afterimage.datasets.sources import folder

if TYPE_CHECKING:
    from afterimage.observations.features.encoders import Encoder
    from afterimage.observations.features.row import Row as FeaturesRow


class Ratio(NamedTuple):
    """The median of ratios measured pair by pair, and the middle half of them."""

    median: float
    low: float
    high: float
    pairs: int

    def over(self, divisor: float) -> "Ratio":
        return Ratio(self.median / divisor, self.low / divisor, self.high / divisor, self.pairs)


class Line(NamedTuple):
    """A line of the table that a run prints and keeps."""

    what: str
    limit: str
    """What it is measured against."""
    measured: float | Ratio | None
    """None: it could not be measured, and `note` says why."""
    unit: str
    target: float
    at_most: bool = True
    """Whether the target bounds it from above."""
    note: str = ""
    because: str = ""
    """What stands in the way where it falls short."""


def ratio(pairs: Sequence[tuple[float, float]]) -> Ratio:
    """What the first of each pair is of the second."""
    ratios = [first / second for first, second in pairs]
    low, median, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return Ratio(median, low, high, len(ratios))


def in_turn(first: Callable[[], object], second: Callable[[], object], rounds: int) -> list[tuple[float, float]]:
    """Seconds of two sides, run A B, B A, A B ... so that whatever else the machine does slows both alike.

    Both run once before, so that neither pays for imports and cold caches.
    """
    first()
    second()
    pairs = []
    for number in range(rounds):
        if number % 2:
            late, early = seconds(second), seconds(first)
            pairs.append((early, late))
        else:
            pairs.append((seconds(first), seconds(second)))
    return pairs


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def make_photos(root: Path, name: str = "photos") -> Path:
    """Fetch and shard the bundled photographs as a row of `datasets` says, each place once; return the shards."""
    row = params.row(stage.PARAMS, "datasets", name, sources.Dataset).model_copy(update={"augment": 0, "stride": None})
    sources.fetch(row, name, root / "raw")
    sharding.write(row, name, root / "raw", root / "shards")
    return root / "shards"


def make_encoder(name: str, layers: list[str] | None = None) -> "tuple[FeaturesRow, Encoder]":
    """A row of `observations` of features, and its encoder with the random weights of its row of `encoders`.

    Args:
        layers: others than the row's.
    """
    from afterimage.observations.features.encoders import Encoder, EncoderRow, trunk
    from afterimage.observations.features.row import Row

    row = params.row(stage.PARAMS, "observations", name, Row)
    encoded = params.row(stage.PARAMS, "encoders", row.encoder, EncoderRow)
    encoder = Encoder(encoded.arch, layers or row.layers)
    encoder.body.load_state_dict(trunk(encoded.arch, "random", encoded.seed, None), strict=False)
    return row, encoder


def make_features(name: str, shards_dir: Path, out: Path) -> None:
    """Extract the features of a row of `observations` from image shards, a folder a layer."""
    from afterimage.observations.features import writing

    row, encoder = make_encoder(name)
    out.mkdir(parents=True, exist_ok=True)
    writing.extract(encoder, row, name, {"arch": encoder.arch, "weights": ""}, shards_dir, out)


def summary(kind: str, row: str, case: str = "test") -> dict[str, float] | None:
    """What `dvc repro` measured of a row in a case; None where it has not."""
    path = layout.metrics(kind, row) / f"{case}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def make_folder(root: Path, count: int, side: int) -> None:
    """Cut `count` square JPEGs out of the bundled photographs, into folders train, val and test as a user has them."""
    row = params.row(stage.PARAMS, "datasets", "photos", sources.Dataset)
    photographs = []
    for item in sources.module("bundled").items(row):
        with item.open() as stream:
            photographs.append(Image.open(io.BytesIO(stream.read())).convert("RGB"))
    random = np.random.default_rng(0)
    for number in range(count):
        photograph = photographs[number % len(photographs)]
        x, y = (int(random.integers(length - side + 1)) for length in photograph.size)
        split = {8: "val", 9: "test"}.get(number % 10, "train")
        path = root / split / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        photograph.crop((x, y, x + side, y + side)).save(path, quality=90)


def folder_row(root: Path, **values: int) -> folder.Row:
    """The row of a data set for what `make_folder` made."""
    return folder.Row.model_validate({"source": "folder", "path": str(root), "group": "image", "size": 64, **values})
