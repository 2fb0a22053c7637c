"""What the networks of a project's rows do with one image, counted on a handful of made-up ones.

Each row's own learner does a step, and its validation a pass, under torch's FlopCounterMode, on images of the row's
size and on observations that the pipeline's own code makes of them, with random weights. What is counted are products
of matrices and convolutions; a multiply-add is two operations. Activations, norms and recurrences cost time and no
operations, which is why a machine's rate is measured on such steps and is far from what its maker states.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.flop_counter import FlopCounterMode

from afterimage import observations, reconstructors
from afterimage.core import images, params, shards
from afterimage.datasets.sources import Dataset
from afterimage.observations import PART, ObservationRow
from afterimage.observations.features import store, writing
from afterimage.observations.features.encoders import Encoder, EncoderRow, trunk
from afterimage.training.loop import Learner

COUNTS = {"train": 4, "val": 1, "test": 1}
"""Images that are counted on."""


class Work(NamedTuple):
    """What is done with one image."""

    flops: float
    """Floating-point operations."""
    seconds: float
    """What the cores of this machine took for them, together: other work beside it counts little."""

    def times(self, count: float) -> "Work":
        return Work(count * self.flops, count * self.seconds)

    def plus(self, other: "Work") -> "Work":
        return Work(self.flops + other.flops, self.seconds + other.seconds)


NOTHING = Work(0.0, 0.0)


def sum_of(works: Iterable[Work]) -> Work:
    return reduce(Work.plus, works, NOTHING)


Works = Mapping[str, Work]
"""By precision: that of the row, and float32, in which an encoder sees images whatever the row says."""


class Network(NamedTuple):
    """A row that is trained: a training step, and a pass forward."""

    step: Works
    forward: Works


class Features(NamedTuple):
    """An observation of the kind `features`."""

    shapes: Mapping[str, list[int]]
    """`[C, h, w]` by layer."""
    forward: Work
    """The encoder as far as its deepest layer."""


class Counted(NamedTuple):
    """A project's rows by name."""

    features: Mapping[str, Features]
    networks: Mapping[str, Network]
    looks: Mapping[str, Work]
    """Of searches: a look at the features of an image, forward and back to it."""


def count(path: Path, timed: bool, progress: Callable[[str], None] = lambda row: None) -> Counted:
    """Count the rows of a parameter file.

    Args:
        path: of params.yaml; nothing else of the project is read but what its rows of holes name.
        timed: whether `seconds` are to be those of a step that pays for no first time, which takes a second one.
        progress: is called with the name of each row before it is counted.

    Raises:
        ParamsError, LayerError: as for the stages of the rows.
    """
    data = params.section(path, "datasets", Dataset)
    observed = params.section(path, "observations", ObservationRow)
    features: dict[str, Features] = {}
    networks: dict[str, Network] = {}
    looks: dict[str, Work] = {}
    with TemporaryDirectory(prefix="afterimage-plan-") as made:
        root = Path(made)
        for name, row in data.items():
            _images(root / "shards" / name, name, row)
        for name, each in observed.items():
            progress(name)
            if each.kind == "features":
                features[name] = _features(path, name, each, root, timed)
            else:
                write = observations.module(each.kind, "writing").write
                write(each, name, root / "shards" / each.dataset, root / name)
        trained, searched = (params.load(path).get(section) or {} for section in reconstructors.SECTIONS)
        for name in trained:
            progress(name)
            if network := _network(reconstructors.row(path, name), root, timed):
                networks[name] = network
        for name in searched:
            search = reconstructors.row(path, name)
            if hasattr(search, "steps"):
                progress(name)
                looks[name] = _look(search, root)
    return Counted(features, networks, looks)


def _images(folder: Path, name: str, row: Dataset) -> None:
    """Shards of pictures with the coarse shapes and the grain of photographs."""
    folder.mkdir(parents=True)
    splits, random, paired = {}, np.random.default_rng(0), bool(getattr(row, "pairs", None))
    for split, many in COUNTS.items():
        path = folder / f"{split}-000000.tar"
        with shards.writer(path) as put:
            for number in range(many):
                coarse = Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8))
                smooth = np.asarray(coarse.resize((row.size, row.size), Image.Resampling.BICUBIC), dtype=np.int16)
                grain = random.integers(-8, 9, smooth.shape, dtype=np.int16)
                data = images.encode_png(Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)))
                put(f"{split}{number}.png", data)
                if paired:
                    put(f"{split}{number}.{shards.INPUT}.png", data)
        splits[split] = [put.described()]
    about = {"dataset": name, "size": row.size, **({"pairs": True} if paired else {})}
    shards.write_index(folder, about, splits)


def _features(path: Path, name: str, row: Any, root: Path, timed: bool) -> Features:
    encoded = params.row(path, "encoders", row.encoder, EncoderRow)
    source = root / "shards" / row.dataset
    size = shards.load_index(source)["size"]
    encoder = Encoder(encoded.arch, row.layers, defence=row.defence or ())
    encoder.body.load_state_dict(trunk(encoded.arch, "random", encoded.seed, None), strict=False)
    some = torch.rand(COUNTS["train"], 3, size, size)
    with torch.inference_mode():
        if timed:
            encoder(some)
        with _counting(len(some)) as forward:
            found = encoder(some)
    about = {"arch": encoder.arch, "weights": "", **encoder.normalisation}
    (root / name).mkdir()
    writing.extract(encoder, row, name, about, source, root / name)
    return Features({layer: list(values.shape[1:]) for layer, values in found.items()}, forward.work)


def _look(row: Any, root: Path) -> Work:
    stored = store.Stored(root / row.observation, root / "shards" / row.dataset, row.model_dump())
    encoder = stored.encoder()
    image = torch.rand(1, 3, stored.size, stored.size, requires_grad=True)
    with _counting(1) as counted:
        encoder(image)[stored.layers[0]].square().sum().backward()
    return counted.work


def _network(row: Any, root: Path, timed: bool) -> Network | None:
    """None: nothing is trained."""
    training = getattr(row, "training", None)
    if training is None:
        return None
    cpu = {"training": training.model_copy(update={"device": "cpu"})}
    mosaic: float = getattr(row, "mosaic", 0.0)
    plain = row.model_copy(update=cpu | ({"mosaic": 0.0} if mosaic else {}))
    observed, _, part = row.observation.partition(PART)
    stored = observations.module(row.observes, "store").Stored(
        root / observed / part, root / "shards" / row.dataset, plain.model_dump()
    )
    learner = reconstructors.kind_of(row).learner(plain, stored)
    if learner is None:
        return None
    step = _step(learner, timed)
    batch = learner.validation.__getitems__([(0, place) for place in range(COUNTS["val"])])
    learner.networks.eval()
    with _counting(COUNTS["val"]) as forward, torch.inference_mode():
        learner.validate(batch)
    computed = any(not index.get("stored", True) for index in stored.indices)
    if not computed and not mosaic:
        return Network({training.precision: step}, {training.precision: forward.work})
    encoder, image = stored.encoder(), torch.rand(1, 3, stored.size, stored.size)
    with _counting(1) as seen, torch.inference_mode():
        encoder(image)
    if not computed:
        return Network(_works(training.precision, step, seen.work, mosaic), {training.precision: forward.work})
    return Network(
        *(_works(training.precision, each.plus(seen.work.times(-1)), seen.work) for each in (step, forward.work))
    )


def _works(precision: str, own: Work, seen: Work, share: float = 1.0) -> Works:
    seen = seen.times(share)
    return {"float32": own.plus(seen)} if precision == "float32" else {precision: own, "float32": seen}


def _step(learner: Learner, timed: bool) -> Work:
    def update(loss: Tensor, optimizer: Optimizer) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    batch = learner.train.__getitems__([(0, place) for place in range(COUNTS["train"])])
    learner.networks.train()
    if timed:  # the first pays for memory and for the optimisers' state
        learner.step(batch, update)
    with _counting(COUNTS["train"]) as counted:
        learner.step(batch, update)
    return counted.work


class _Counter:
    work = NOTHING


@contextmanager
def _counting(many: int) -> Iterator[_Counter]:
    """Count and time the block, as work an image of so many."""
    found = _Counter()
    started = time.process_time()
    with FlopCounterMode(display=False) as counter:
        yield found
    found.work = Work(counter.get_total_flops() / many, (time.process_time() - started) / many)
