"""Degraded frames of a data set: fixed ones for validation and test, and fresh ones for training.

`data/observations/<row>/<level>/` holds shards of the validation and test frames as the camera left them
(small where it is), `index.json` with the level's steps, and `drawn.csv` with what was drawn for each frame.

At a level without steps the frame of an image that comes in a pair is its input, as a real camera left it; an image
without an input is its own frame, since nothing happened to it.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from afterimage.core import shards
from afterimage.core.errors import ShardError
from afterimage.core.images import Uint8, decode
from afterimage.core.parsing import from_csv, from_json
from afterimage.observations import Given
from afterimage.observations.frames import Frames, cctv
from afterimage.observations.frames.row import Steps


class Stored:
    """The frames of a data set's images at all levels of a row, as a reconstructor observes them.

    Raises:
        ShardError: there are none.
    """

    def __init__(self, folder: Path, shards_dir: Path, settings: Mapping[str, Any]):
        self.folder, self.shards_dir = folder, shards_dir
        self.levels = {level.name: level for level in levels(folder)}
        if not self.levels:
            raise ShardError(f"{folder}: there are no frames; run dvc repro")
        self.indices = [level.index for level in self.levels.values()]
        self.index = self.indices[0]
        self.carried: list[Path] = []
        self.size: int = self.index["size"]

    def some(self, names: Sequence[str]) -> "list[Level]":
        """The levels of these names.

        Raises:
            ShardError: there is no such level.
        """
        return levels(self.folder, names)

    def cases(self) -> list[str]:
        return list(self.levels)

    def test_hash(self, case: str) -> str:
        return shards.split_hash(self.levels[case].index, "test")

    def given(self, case: str, batch: int, keys: Sequence[str] | None = None) -> Iterator[Given]:
        level, size = self.levels[case], (self.size, self.size)
        truth = shards.Table(self.shards_dir, "test")
        frames = level.stored("test")
        wanted = None if keys is None else set(keys)
        chosen = [at for at, key in enumerate(frames.keys) if wanted is None or key in wanted]
        for start in range(0, len(chosen), batch):
            some = chosen[start : start + batch]
            names = [frames.keys[at] for at in some]
            originals = np.stack([np.asarray(decode(truth.of(key))) for key in names])
            yield Given(names, Frames(names, size, [frames.image(at) for at in some]), originals)


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

    def inputs(self, originals: Path, split: str) -> "StoredFrames | None":
        """Where the level has no steps, the frames of a split: the inputs in the data set's shards, or its images."""
        if self.steps:
            return None
        return StoredFrames(originals, split, shards.INPUT if shards.load_index(originals).get("pairs") else "")

    def stored(self, split: str) -> "StoredFrames":
        """The stored frames of a split by position, for random access."""
        return StoredFrames(self.folder, split)

    def fresh(self, image: Uint8, key: str, epoch: int) -> Uint8:
        """The frame that training sees of an image in an epoch; those that are stored are of epoch 0. Without steps it
        is the image."""
        return cctv.degrade(image, self.steps, self.seed, self.name, key, epoch)[0]

    def scene(self, image: Uint8, key: str, epoch: int) -> Uint8:
        """The image in the light of its frame: what is left to be restored once brightness is set aside."""
        records = [record for _, record in cctv.drawn(self.steps, self.seed, self.name, key, epoch)]
        return cctv.replay(image, [record for record in records if record["step"] in cctv.LIGHT])

    def alone(self, image: Uint8, key: str, step: int) -> Uint8 | None:
        """The stored frame with none of its steps but one; None where that step did not happen to it."""
        records = dict(cctv.drawn(self.steps, self.seed, self.name, key, 0))
        return cctv.replay(image, [records[step]]) if step in records else None


class StoredFrames(shards.Table):
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
        for line in from_csv(stream, str(folder / "drawn.csv"), ShardError, ("key", "drawn")):
            step = from_json(line["drawn"].encode(), f"{folder / 'drawn.csv'}: {line['key']}", ShardError)
            found.setdefault(line["key"], []).append(step)
    return found
