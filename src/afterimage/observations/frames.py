"""Degraded frames of a data set: fixed ones for validation and test, and fresh ones for training.

`data/observations/degradations/<row>/<level>/` holds shards of the validation and test frames as the camera left them
(small where it is), `index.json` with the level's steps, and `drawn.csv` with what was drawn for each frame.

A level without steps is for images that come in pairs: its frames are their inputs, as a real camera left them.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from pydantic import Field, TypeAdapter, field_validator

from afterimage import engine, outputs, shards
from afterimage.errors import ShardError
from afterimage.images import Uint8, decode, encode_png
from afterimage.observations import cctv
from afterimage.params import Row

SPLITS = ("val", "test")
Steps = list[cctv.AnyStep]


class DegradationRow(Row):
    """A row of `degradations`: levels of damage to the images of a data set, and what is measured on them."""

    dataset: str
    seed: int
    levels: dict[str, Steps] = Field(min_length=1)
    """The steps of each, in order; none: the frame is the image's own input, where images come in pairs."""
    baselines: list[str] = Field(min_length=1)
    """Names of reconstructors/enhancement.py."""

    @field_validator("levels")
    @classmethod
    def _named_as_folders(cls, levels: dict[str, Steps]) -> dict[str, Steps]:
        for name in levels:
            if not shards.MEMBER.fullmatch(f"{name}.x"):
                raise ValueError(f"{name!r} is no name of a level; letters, digits, `_`, `-` and `=` are")
        return levels


def write(row: DegradationRow, name: str, originals: Path, out: Path) -> None:
    """Degrade the validation and test images of image shards by each level of a row.

    Raises:
        ShardError: the shards cannot be read, or a level without steps has no pairs to take its frames from.
    """
    index = shards.load_index(originals)
    for level, steps in row.levels.items():
        if not steps and not index.get("pairs"):
            raise ShardError(
                f"degradations.{name}.levels.{level}: no steps, and the images of {row.dataset} are no pairs"
            )
    with outputs.folder(out) as folder:
        for place, (level, steps) in enumerate(row.levels.items()):
            lines: list[tuple[str, ...]] = []
            splits = {}
            for split in SPLITS:
                table = shards.Table(originals, split, "" if steps else shards.INPUT)
                path = folder / level / f"{split}-000000.tar"
                path.parent.mkdir(exist_ok=True)
                job = partial(_frame, table, steps, row.seed, level)
                with shards.writer(path) as put:
                    made = engine.map(job, range(len(table)), label=f"{level} {split}", total=len(table))
                    for key, (frame, records) in zip(table.keys, made, strict=True):
                        put(f"{key}.png", encode_png(frame))
                        lines += [(key, split, str(number), _json(record)) for number, record in enumerate(records)]
                splits[split] = [shards.describe(path, len(table))]
            about = {
                "degradations": name,
                "level": level,
                "place": place,
                "dataset": index["dataset"],
                "size": index["size"],
                "seed": row.seed,
                "steps": [step.model_dump() for step in steps],
            }
            shards.write_index(folder / level, about, splits)
            outputs.write_csv(folder / level / "drawn.csv", ("key", "split", "number", "drawn"), lines)


class Level:
    """A level as `write` left it.

    Raises:
        ShardError: the folder is not there or not whole.
    """

    def __init__(self, folder: Path):
        index = shards.load_index(folder)
        self.folder, self.name, self.dataset = folder, str(index["level"]), str(index["dataset"])
        self.index, self.size = index, int(index["size"])
        self.seed: int = index["seed"]
        self.steps: Steps = TypeAdapter(Steps).validate_python(index["steps"])

    def frames(self, split: str) -> Iterator[tuple[str, Uint8]]:
        """Key and stored frame of each image of a split, in order."""
        for key, data, _ in shards.read(self.folder, split):
            yield key, np.asarray(decode(data))

    def inputs(self, originals: Path, split: str) -> "Stored | None":
        """Where the level has no steps, the inputs of a split of the data set's shards."""
        return None if self.steps else Stored(originals, split, shards.INPUT)

    def stored(self, split: str) -> "Stored":
        """The stored frames of a split by position, for random access."""
        return Stored(self.folder, split)

    def fresh(self, image: Uint8, key: str, epoch: int) -> Uint8:
        """The frame that training sees of an image in an epoch; those that are stored are of epoch 0."""
        return cctv.degrade(image, self.steps, self.seed, self.name, key, epoch)[0]

    def alone(self, image: Uint8, key: str, step: int) -> Uint8 | None:
        """The stored frame with none of its steps but one; None where that step did not happen to it."""
        records = dict(cctv.drawn(self.steps, self.seed, self.name, key, 0))
        return cctv.replay(image, [records[step]]) if step in records else None


class Stored(shards.Table):
    """Stored frames of a level by position."""

    def image(self, position: int) -> Uint8:
        """8-bit `[h, w, 3]`."""
        return np.asarray(decode(self.bytes(position)))


def levels(folder: Path, names: Sequence[str] | None = None) -> list[Level]:
    """The levels of a row's folder by their names, or all of them in the order of params.yaml.

    Raises:
        ShardError: there is no such level.
    """
    there = sorted(path.parent.name for path in folder.glob("*/index.json"))
    for name in names or ():
        if name not in there:
            raise ShardError(f"{folder}: there is no level `{name}`; there are {', '.join(there) or 'none'}")
    if names is None:
        return sorted((Level(folder / name) for name in there), key=lambda level: level.index["place"])
    return [Level(folder / name) for name in names]


def records(folder: Path) -> dict[str, list[cctv.Record]]:
    """What was drawn for each stored frame of a level's folder, by key: `cctv.replay` makes the frame from it."""
    found: dict[str, list[cctv.Record]] = {}
    with (folder / "drawn.csv").open(encoding="utf-8", newline="") as stream:
        for line in csv.DictReader(stream):
            found.setdefault(line["key"], []).append(json.loads(line["drawn"]))
    return found


def _frame(table: shards.Table, steps: Steps, seed: int, level: str, place: int) -> tuple[Uint8, list[cctv.Record]]:
    image = np.asarray(decode(table.bytes(place)))
    return cctv.degrade(image, steps, seed, level, table.keys[place], 0)


def _json(record: cctv.Record) -> str:
    return json.dumps(record, sort_keys=True)
