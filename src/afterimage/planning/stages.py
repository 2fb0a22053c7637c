"""What each stage of a project does: how many images with how much work, and the bytes that it moves and leaves."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from afterimage import reconstructors
from afterimage.core import params
from afterimage.core.arrays import stored_bytes
from afterimage.datasets import sharding
from afterimage.datasets.sources import Dataset
from afterimage.observations import PART, ObservationRow
from afterimage.planning.work import NOTHING, Counted, Work, Works, sum_of

SEARCHES = 2
"""A row of `searches` goes from the features alone, and from the decoder's answer."""
TWICE = "huggingface"
"""The source whose downloads lie beside the images that are taken from them."""


class Stage(NamedTuple):
    """What a stage does with a row; or a folder that it leaves, which takes no time of its own."""

    name: str
    row: str
    images: int = 0
    works: Works = MappingProxyType({})
    """Of networks, in all, by precision."""
    cores: Mapping[str, float] = MappingProxyType({})
    """What is done without a network, by the rates of `machines.Core`."""
    readers: int | None = None
    """Cores that do so for one GPU; None: all that there are share the work."""
    alone: bool = False
    """Whether one GPU does all of it."""
    download: float = 0.0
    read: float = 0.0
    written: float = 0.0
    """Bytes; what is written stays."""

    @property
    def flops(self) -> float:
        return sum(work.flops for work in self.works.values())


def planned(path: Path, samples: Mapping[str, int], raw: Mapping[str, float], counted: Counted) -> Iterator[Stage]:
    """The stages of a parameter file.

    Args:
        samples: how many samples the shards of each data set hold.
        raw: bytes of the original images by data set, where they are known.
    """
    data = params.section(path, "datasets", Dataset)
    observed = params.section(path, "observations", ObservationRow)
    plan = _Plan(data, observed, samples, raw, counted)
    for name in data:
        yield from plan.dataset(name)
    for name in observed:
        yield from plan.observation(name)
    sections = [params.load(path).get(section) or {} for section in reconstructors.SECTIONS]
    for name in sections[0]:
        yield from plan.trained(name, reconstructors.row(path, name))
    for name in sections[1]:
        yield plan.searched(name, reconstructors.row(path, name))


class _Plan(NamedTuple):
    data: Mapping[str, Dataset]
    observed: Mapping[str, ObservationRow]
    samples: Mapping[str, int]
    raw: Mapping[str, float]
    counted: Counted

    def dataset(self, name: str) -> Iterator[Stage]:
        row, count, raw = self.data[name], self.samples[name], self.raw.get(name, 0.0)
        pixels, shards = count * self._pixels(name), count * self._stored(name)
        images = raw / 2 if row.source == TWICE else raw
        download = images if row.path.endswith(f"sources/{row.source}.py") else 0.0
        yield Stage("fetch", name, count, cores={"fetch": count}, readers=1, download=download, written=raw)
        yield Stage("shard", name, count, cores={"cut": pixels}, read=images, written=shards)
        yield Stage("validate", name, count, cores={"read": 2 * pixels}, read=images + shards)

    def observation(self, name: str) -> Iterator[Stage]:
        row: Any = self.observed[name]
        count = self.samples[row.dataset]
        pixels, read = count * self._pixels(row.dataset), count * self._stored(row.dataset)
        if row.kind != "features":
            share = self._share(row.dataset, "val") + self._share(row.dataset, "test")
            levels = len(getattr(row, "levels", [""]))
            drawn = share * pixels * levels
            yield Stage(
                "observe", name, round(share * count), cores={"read": drawn, row.kind: drawn}, read=share * read
            )
            return
        if not row.store:
            yield Stage("observe", name)
            return
        features = self.counted.features[name]
        work = {"float32": features.forward.times(count)}
        yield Stage("observe", name, count, work, {"read": pixels}, readers=1, read=read)
        for layer, shape in features.shapes.items():
            yield Stage("observe", f"{name}/{layer}", written=stored_bytes(shape, row.dtype, count))

    def trained(self, name: str, row: Any) -> Iterator[Stage]:
        network, training = self.counted.networks.get(name), getattr(row, "training", None)
        if network is not None and training is not None:
            train, val = (self._count(row.dataset, split) for split in ("train", "val"))
            passes = training.epochs * len(training.seeds)
            images = passes * (train + val)
            works = {
                precision: step.times(passes * train).plus(network.forward.get(precision, NOTHING).times(passes * val))
                for precision, step in network.step.items()
            }
            pixels = images * self._pixels(row.dataset)
            cores = {"read": pixels, **({} if row.observes == "features" else {row.observes: pixels})}
            read = images * (self._stored(row.dataset) + self._observed(row.observation, row.observes))
            yield Stage("train", name, images, works, cores, readers=max(1, training.workers), read=read)
        seeds = len(training.seeds) if training else 1
        yield self._evaluated("evaluate", name, row, self._forward(name).times(getattr(row, "samples", 1)), seeds)

    def searched(self, name: str, row: Any) -> Stage:
        if name in self.counted.looks:
            each = self.counted.looks[name].times(SEARCHES * row.steps * row.restarts)
        else:
            each = self._forward(row.decoder)
        return self._evaluated("search", name, row, each)._replace(alone=True)

    def _forward(self, name: str) -> Work:
        """The answer of a row of `reconstructors` to one image."""
        network = self.counted.networks.get(name)
        return sum_of(network.forward.values()) if network else NOTHING

    def _evaluated(self, stage: str, name: str, row: Any, each: Work, seeds: int = 1) -> Stage:
        count = self._count(row.dataset, "test")
        if row.images is not None:
            count = min(count, row.images)
        count *= len(getattr(self.observed[row.observation.partition(PART)[0]], "levels", [""]))
        pixels = count * self.data[row.dataset].size ** 2
        read = count * (self._stored(row.dataset) + self._observed(row.observation, row.observes))
        works = {"float32": each.times(seeds * count)}
        written = seeds * pixels * sharding.PNG
        return Stage(stage, name, count, works, {"score": seeds * pixels}, readers=1, read=read, written=written)

    def _share(self, dataset: str, split: str) -> float:
        """Of the samples; official splits may have others."""
        shares = self.data[dataset].split
        return {"val": shares.val, "test": shares.test, "train": 1 - shares.val - shares.test}[split]

    def _count(self, dataset: str, split: str) -> int:
        return round(self._share(dataset, split) * self.samples[dataset])

    def _pixels(self, dataset: str) -> int:
        """Of a sample, and its input where there are pairs."""
        row = self.data[dataset]
        return int(row.size**2) * (2 if getattr(row, "pairs", None) else 1)

    def _stored(self, dataset: str) -> float:
        """Bytes of a sample."""
        return self._pixels(dataset) * sharding.PNG

    def _observed(self, observation: str, kind: str) -> float:
        """Bytes of the features of a sample that a row reads."""
        name, _, layer = observation.partition(PART)
        row: Any = self.observed[name]
        if kind != "features" or not row.store:
            return 0.0
        shapes = self.counted.features[name].shapes
        return sum(stored_bytes(shape, row.dtype, 1) for each, shape in shapes.items() if layer in ("", each))
