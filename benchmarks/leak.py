"""What it brings to train on the test images: `python -m benchmarks.leak ROW`.

ROW is a row of `reconstructors` in params.yaml of this folder. The images of its data set are cut without augmentation.
Then it is trained anew on three training sets of one size and for as many steps: on the training images alone, with
every so many of them replaced by the test images, and by their mirror images, under names of their own. Each is
measured on the same test images. The gate, which refuses the second and the third, is not asked. Needs what the
pipeline leaves in data/weights. It is no part of `python -m benchmarks`, because it trains for minutes.
"""

import argparse
import csv
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps
from tabulate import tabulate

from afterimage import observations, reconstructors
from afterimage.core import devices, layout, params, shards, stage
from afterimage.core.errors import AfterimageError
from afterimage.datasets import sharding, sources
from afterimage.datasets.sources import folder
from afterimage.evaluation import evaluating
from afterimage.evaluation.metrics import Lpips, MetricsRow
from afterimage.evaluation.results import read_json
from afterimage.training import models

LEAKS: dict[str, Callable[[Image.Image], Image.Image] | None] = {
    "none": None,
    "the test images": Image.Image.copy,
    "the test images, mirrored": ImageOps.mirror,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.leak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("row", metavar="ROW")
    parser.add_argument("--epochs", type=int, help="Default: the row's.")
    words = parser.parse_args()
    try:
        row: Any = reconstructors.row(stage.PARAMS, words.row)
    except AfterimageError as error:
        parser.error(str(error))
    if not hasattr(row, "training"):
        parser.error(f"{words.row} is no row that is trained")
    training = row.training.model_copy(update={"epochs": words.epochs or row.training.epochs, "seeds": [0]})
    row = row.model_copy(update={"training": training})
    lines: list[dict[str, str]] = []
    with tempfile.TemporaryDirectory(prefix="afterimage-leak-") as work:
        images = _images(row.dataset, Path(work))
        for name, copied in LEAKS.items():
            given = _with_leak(images, copied)
            counts = {f"{split} images": str(len(given[split])) for split in ("train", "test")}
            for case, means in _measured(row, given, Path(work) / name).items():
                lines.append({"leak": name, "case": case, **counts, **means})
    print(tabulate(lines, headers="keys", tablefmt="github", disable_numparse=True))


def _images(dataset: str, work: Path) -> dict[str, dict[str, Image.Image]]:
    """The images of a data set by split, and by group and key."""
    row = params.row(stage.PARAMS, "datasets", dataset, sources.Dataset)
    row = row.model_copy(update={"augment": 0} if hasattr(row, "augment") else {})
    sources.fetch(row, dataset, work / "raw")
    sharding.write(row, dataset, work / "raw", work / "shards")
    with (work / "shards/samples.csv").open(encoding="utf-8", newline="") as stream:
        groups = {line["key"]: line["group"] for line in csv.DictReader(stream)}
    found: dict[str, dict[str, Image.Image]] = {}
    for split in sources.SPLITS:
        table = shards.Table(work / "shards", split)
        found[split] = {
            f"{groups[key]}/{key}": Image.open(io.BytesIO(table.bytes(place))) for place, key in enumerate(table.keys)
        }
    return found


def _with_leak(
    images: dict[str, dict[str, Image.Image]], copied: Callable[[Image.Image], Image.Image] | None
) -> dict[str, dict[str, Image.Image]]:
    """The same splits, with the test images in place of as many training images."""
    if copied is None:
        return images
    train, test = images["train"], sorted(images["test"].items())
    keys, count = sorted(train), min(len(test), len(train))
    away = {keys[number * len(keys) // count] for number in range(count)}
    kept = {key: image for key, image in train.items() if key not in away}
    return {**images, "train": kept | {f"{key}-leaked": copied(image) for key, image in test[:count]}}


def _measured(row: Any, images: dict[str, dict[str, Image.Image]], work: Path) -> dict[str, dict[str, str]]:
    """Train a row on images and measure it: for each case the means of the headline."""
    for split, named in images.items():
        for key, image in named.items():
            path = work / "pictures" / split / f"{key}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)
    side = next(iter(images["test"].values())).width
    dataset = folder.Row.model_validate({"source": "folder", "path": str(work / "pictures"), "size": side})
    sources.fetch(dataset, row.dataset, work / "raw")
    sharding.write(dataset, row.dataset, work / "raw", work / "shards")

    name = observations.row_of(row.observation)
    observed = params.row(stage.PARAMS, "observations", name, observations.ObservationRow)
    observations.module(row.observes, "writing").write(observed, name, work / "shards", work / name)
    place = work / row.observation
    stored = observations.module(row.observes, "store").Stored(place, work / "shards", row.model_dump())
    models.train("leak", row, reconstructors.kind_of(row).learner, stored, work / "model", work / "state")
    card = read_json(work / "model" / models.CARD)
    model = models.Model(work / "model", card, device=devices.choose(row.training.device))
    trained = reconstructors.kind_of(row).load(model)
    places = evaluating.Places(work / "rebuilt", work / "measured", work / "metrics")
    metrics = params.table(stage.PARAMS, "metrics", MetricsRow)
    evaluating.evaluate_row(row, trained, stored, places, metrics, Lpips(layout.weights("lpips")))
    found = {}
    for path in sorted(places.measured.rglob("intervals.json")):
        means = read_json(path)["metrics"]
        found[path.parent.relative_to(places.measured).as_posix()] = {
            name: "{mean:.4g} ({low:.4g} to {high:.4g})".format(**means[name])
            for name in evaluating.kind(row.observes).HEADLINE
            if name in means
        }
    return found


if __name__ == "__main__":
    main()
