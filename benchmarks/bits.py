"""Hashes of what every row computes, to find the operation that two machines do not do alike.

    python -m benchmarks.bits > here.txt        # after `dvc repro`, on either machine
    diff here.txt there.txt

A line for two training steps of each reconstructor (the state of its networks after each), the answer of each trained
one, the first steps of each search, each baseline with the metrics of its answers, and the features of each encoder. An
emulated CPU is another machine, too: `qemu-x86_64 -cpu Haswell-v4 .venv/bin/python -m benchmarks.bits vgg16-relu3_3`
takes a minute a row.
"""

import argparse
import hashlib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from afterimage.core import compute, layout, params, stage

IMAGES = 4


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bits", description=__doc__.splitlines()[0])
    parser.add_argument("patterns", nargs="*", metavar="ROW", help="rows, as a shell matches names; none: all")
    patterns = parser.parse_args().patterns or ["*"]
    compute.pin(stage.PARAMS)
    for what, row, values in lines():
        if any(fnmatchcase(row, pattern) for pattern in patterns):
            print(f"{what:14} {row:28} {' '.join(hashed(value) for value in values())}", flush=True)


def hashed(value: Any) -> str:
    import numpy as np

    return hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()[:12]


def lines() -> Iterator[tuple[str, str, Any]]:
    """What is computed, of which row, and what computes it."""
    data = params.load(stage.PARAMS)
    for row in data["reconstructors"]:
        yield "train", row, lambda row=row: steps(row)
        yield "answer", row, lambda row=row: answers(row)
    for row in data["searches"]:
        yield "search", row, lambda row=row: answers(row, {"steps": 3, "images": 2})
    for row in data["observations"]:
        yield "baseline", row, lambda row=row: baselines(row, data)
    for row in data["encoders"]:
        if row != "lpips":  # which is in the metrics of the baselines
            yield "features", row, lambda row=row: features(row)


def stored_of(row: Any) -> Any:
    from afterimage import observations

    store = observations.module(row.observes, "store")
    return store.Stored(layout.observation(row.observation), layout.shards(row.dataset), row.model_dump())


def steps(name: str) -> Iterator[Any]:
    """The state after each of two training steps."""
    import numpy as np
    import torch

    from afterimage import reconstructors
    from afterimage.core import devices

    devices.be_deterministic()
    row = reconstructors.row(stage.PARAMS, name)
    learner = reconstructors.kind_of(row).learner(row, stored_of(row))
    assert learner is not None
    learner.networks.train()

    def update(loss: torch.Tensor, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    for step in range(2):
        torch.manual_seed(step)
        places = range(step * 2 * IMAGES, (step + 1) * 2 * IMAGES)
        learner.step(learner.train.__getitems__([(0, place) for place in places]), update)
        yield np.concatenate([value.double().flatten() for value in learner.networks.state_dict().values()])


def answers(name: str, changes: dict[str, Any] | None = None) -> Iterator[Any]:
    """Test images as each of a row's reconstructors rebuilds them."""
    from afterimage import reconstructors

    loaded = reconstructors.load(Path(), name, "cpu", changes=changes)
    stored = stored_of(loaded.row)
    for reconstructor in loaded.reconstructors.values():
        for case in stored.cases():
            given = next(stored.given(case, 2 if changes else IMAGES))
            yield reconstructor(given.observation).images.numpy()


def baselines(name: str, data: dict[str, Any]) -> Iterator[Any]:
    """Test images as baselines rebuild them, and their metrics."""
    import numpy as np

    from afterimage import observations
    from afterimage.evaluation import evaluating, rebuilding
    from afterimage.evaluation.metrics import Lpips

    row = data["observations"][name]
    store = observations.module(row["kind"], "store")
    part = f"{name}/{row['layers'][0]}" if "layers" in row else name
    stored = store.Stored(layout.observation(part), layout.shards(row["dataset"]), row)
    lpips = Lpips(layout.weights("lpips"))
    of = evaluating.kind(row["kind"])
    for _, case, method in of.baselines(stored, data["baselines"][row["kind"]]):
        given = next(stored.given(case, IMAGES))
        made = np.asarray(method(given))
        columns = rebuilding.measure(given.originals, made, lpips)
        if more := of.image_metrics(stored, case, lpips):
            columns |= dict(more(given.keys, given.originals, made))
        yield made
        yield np.stack(list(columns.values()))


def features(name: str) -> Iterator[Any]:
    """Features of noise in each layer that an observation reads."""
    import numpy as np
    import torch

    from benchmarks.measuring import make_encoder

    _, encoder = make_encoder(name)
    noise = torch.from_numpy(np.random.default_rng(0).random((IMAGES, 3, 64, 64), dtype=np.float32))
    with torch.no_grad():
        yield from (layer.numpy() for layer in encoder(noise).values())


if __name__ == "__main__":
    main()
