"""A training step fed from shards against the same step fed from memory: `python -m benchmarks steps`.

All are steps of one real training run (`training.fit`) of a decoder of relu1_2, whose features are the largest, and
of relu3_3. Every second step takes the batch that the step before it read from feature and image shards, and so costs
what the network costs. A step lasts from one request for a batch to the next. The limit is 1: reading costs nothing.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from afterimage import params, shards, stage, training
from afterimage.observations import features
from afterimage.observations.encoders import Encoder, EncoderRow, trunk
from afterimage.reconstructors.decoder import Decoder, DecoderLearner, DecoderRow, Tap
from benchmarks.measuring import Line, make_photos, ratio

EPOCHS = 3


class Alternating:
    """Samples that come from shards at even requests, and again from memory at odd ones."""

    def __init__(self, pairs: features.FeaturePairs):
        self.pairs = pairs
        self.held: dict[str, Any] = {}
        self.asked: list[float] = []

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitems__(self, positions: training.Positions) -> training.Batch:
        self.asked.append(time.perf_counter())
        if len(self.asked) % 2:
            self.held = self.pairs.__getitems__(positions)
        return self.held

    def steps(self) -> list[tuple[float, float]]:
        """Seconds of each step from shards and of the one from memory after it."""
        lasted = [end - start for start, end in zip(self.asked, self.asked[1:], strict=False)]
        return list(zip(lasted[0::2], lasted[1::2], strict=False))


def measure(work: Path) -> Iterator[Line]:
    """A line a row; `work` is an empty folder."""
    shards_dir = make_photos(work)
    encoded = params.row(stage.PARAMS, "encoders", "vgg16", EncoderRow)
    encoder = Encoder(encoded.arch, encoded.layers)
    encoder.body.load_state_dict(trunk(encoded.arch, "random", encoded.seed, None), strict=False)
    features.extract(encoder, encoded, "vgg16", {}, shards_dir, work / "features")
    for name in ("vgg16-relu1_2", "vgg16-relu3_3"):
        row = params.row(stage.PARAMS, "decoders", name, DecoderRow)
        row = row.model_copy(update={"training": row.training.model_copy(update={"epochs": EPOCHS, "workers": 0})})
        folders = {layer: work / "features" / layer for layer in row.layers}
        taps = [Tap(layer, tuple(shards.load_index(folder)["shape"])) for layer, folder in folders.items()]
        learner = DecoderLearner(Decoder(row.arch, row.width, taps, shards.load_index(shards_dir)["size"]), row, None)
        pairs = {split: features.FeaturePairs(list(folders.values()), shards_dir, split) for split in ("train", "val")}
        fed = Alternating(pairs["train"])
        training.fit(learner, fed, pairs["val"], row.training, work / "state" / name, {})
        found = ratio(fed.steps()[3:])  # the first steps are slower: memory is taken, kernels are chosen
        milliseconds = 1000 * min(memory for _, memory in fed.steps())
        note = f"{found.spread}; from memory {milliseconds:.0f} ms at best"
        yield Line(f"training step {name}", "same step from memory", found.median, "of its time", 1.10, note=note)
