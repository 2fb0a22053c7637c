"""A training step fed from shards against the same step fed from memory: `python -m benchmarks steps`.

All are steps of one real training run (`loop.fit`): a decoder of relu1_2, whose features are the largest, and of
relu3_3, an inpainter, a completer and a restorer. A block of steps reads its batches from shards, the next block gets
the same batches from memory, and so on. A step lasts until the next begins, and pays for the batch that is read while
it runs, which is `loop.AHEAD` batches on. The limit is 1: reading costs nothing.
"""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from afterimage import observations, reconstructors
from afterimage.core import params, stage
from afterimage.observations import PART
from afterimage.training import loop
from benchmarks.measuring import Line, make_features, make_photos, ratio

BLOCK = 8
PAIRS = 8
ROWS = ("vgg16-relu1_2", "vgg16-relu3_3", "pix2pix", "photos-hybrid", "photos-nafnet")


class Alternating:
    """Samples that come from shards for a block of batches, and from memory again for the next."""

    def __init__(self, pairs: loop.Samples):
        self.pairs = pairs
        self.asked = 0
        self.held: list[loop.Batch] = []

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitems__(self, positions: loop.Positions) -> loop.Batch:
        block, place = divmod(self.asked, BLOCK)
        self.asked += 1
        if block % 2:
            return self.held[place]
        self.held[place:] = [self.pairs.__getitems__(positions)]
        return self.held[place]


def blocks(began: list[float]) -> list[tuple[float, float]]:
    """Seconds of blocks from shards, each with those of the block from memory after it."""
    starts = began[3 * BLOCK - loop.AHEAD :: BLOCK]  # the first pays for kernels and memory, the next for its end
    lasted = [end - start for start, end in itertools.pairwise(starts)]
    return list(zip(lasted[1::2], lasted[2::2], strict=False))


def measure(work: Path) -> Iterator[Line]:
    """A line a row; `work` is an empty folder."""
    for name in ROWS:
        row = reconstructors.row(stage.PARAMS, name)
        observed, _, part = row.observation.partition(PART)
        shards_dir, folder = work / row.dataset / "shards", work / observed
        if not shards_dir.exists():
            make_photos(work / row.dataset, row.dataset)
        if not folder.exists():
            make_observation(observed, shards_dir, folder)
        stored = observations.module(row.observes, "store").Stored(folder / part, shards_dir, row.model_dump())
        kind = reconstructors.kind_of(row)
        learner = kind.learner(row, stored)
        assert learner is not None
        epochs = -(-(2 * PAIRS + 4) * BLOCK * row.training.batch // len(learner.train))
        training = row.training.model_copy(update={"epochs": epochs, "workers": 0})
        yield line(name, learner, training, work / "state" / name)


def make_observation(name: str, shards_dir: Path, out: Path) -> None:
    """Write a row of `observations` of the default parameters from image shards."""
    row = params.row(stage.PARAMS, "observations", name, observations.ObservationRow)
    if row.kind == "features":
        make_features(name, shards_dir, out)
    else:
        observations.module(row.kind, "writing").write(row, name, shards_dir, out)


def line(name: str, learner: loop.Learner, training: loop.TrainingRow, state: Path) -> Line:
    began: list[float] = []
    step = learner.step

    def clocked(batch: loop.Batch, update: loop.Update) -> dict[str, Tensor]:
        began.append(time.perf_counter())
        return step(batch, update)

    learner.step = clocked  # type: ignore[method-assign]
    learner.train = Alternating(learner.train)
    loop.fit(learner, training, state, {})
    pairs = blocks(began)
    found = ratio(pairs)
    note = f"from memory {1000 * min(memory for _, memory in pairs) / BLOCK:.0f} ms at best"
    return Line(f"training step {name}", "same step from memory", found, "of its time", 1.05, note=note)
