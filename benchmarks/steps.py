"""A training step fed from shards against the same step fed from memory: `python -m benchmarks steps`.

All are steps of one real training run (`loop.fit`) of a decoder of relu1_2, whose features are the largest, and
of relu3_3: a block of steps reads its batches from feature and image shards, the next block gets the same batches
from memory, and so on. A step lasts until the next begins. The limit is 1: reading costs nothing.
"""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from afterimage.core import params, stage
from afterimage.observations import PART
from afterimage.observations.features import store as features
from afterimage.reconstructors.decoder.learner import DecoderLearner
from afterimage.reconstructors.decoder.row import DecoderRow
from afterimage.training import loop
from benchmarks.measuring import Line, make_features, make_photos, ratio

BLOCK = 8
EPOCHS = 6


class Alternating:
    """Samples that come from shards for a block of batches, and from memory again for the next."""

    def __init__(self, pairs: features.FeaturePairs):
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


class Clocked(DecoderLearner):
    """A decoder's learner that notes when each step begins."""

    began: list[float]

    def step(self, batch: loop.Batch, update: loop.Update) -> dict[str, Tensor]:
        self.began.append(time.perf_counter())
        return super().step(batch, update)

    def blocks(self) -> list[tuple[float, float]]:
        """Seconds of each block from shards, and of the one from memory after it."""
        starts = self.began[::BLOCK]
        lasted = [end - start for start, end in itertools.pairwise(starts)]
        return list(zip(lasted[0::2], lasted[1::2], strict=False))


def measure(work: Path) -> Iterator[Line]:
    """A line a row; `work` is an empty folder."""
    shards_dir = make_photos(work)
    make_features("vgg16", shards_dir, work / "vgg16")
    for name in ("vgg16-relu1_2", "vgg16-relu3_3"):
        row = params.row(stage.PARAMS, "reconstructors", name, DecoderRow)
        row = row.model_copy(update={"training": row.training.model_copy(update={"epochs": EPOCHS, "workers": 0})})
        layer = row.observation.partition(PART)[2]
        learner = Clocked(row, features.Stored(work / "vgg16" / layer, shards_dir, row.model_dump()))
        learner.began = []
        learner.train = Alternating(learner.train)
        loop.fit(learner, row.training, work / "state" / name, {})
        blocks = learner.blocks()[1:]  # the first is slower: memory is taken, kernels are chosen
        found = ratio(blocks)
        milliseconds = 1000 * min(memory for _, memory in blocks) / BLOCK
        note = f"{found.spread}; from memory {milliseconds:.0f} ms at best"
        yield Line(f"training step {name}", "same step from memory", found.median, "of its time", 1.10, note=note)
