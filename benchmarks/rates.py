"""The rates of a core that `afterimage plan` counts with: `python -m benchmarks.rates`, for planning/machines.yaml.

Seconds of CPU time on one thread, on squares of the bundled photographs: JPEGs of 448 px, samples of 224 px. What
networks take is no rate of a core: `afterimage plan PRESET --machine here` times the rows' own steps, and says the rate
that they have together.
"""

import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from afterimage.core import compute, images, params, stage, weights
from afterimage.datasets import sources
from afterimage.datasets.sources import folder
from afterimage.evaluation import evaluating
from afterimage.evaluation.alexnet import AlexNetDistance
from afterimage.evaluation.metrics import Lpips
from afterimage.observations import ObservationRow
from afterimage.observations.frames import cctv
from afterimage.observations.holes.row import Row as Holes
from afterimage.observations.holes.row import draw

COUNT, SIDE, ROUNDS = 64, 224, 5
LEVEL = "medium"


def rate(work: Callable[[], object], amount: float) -> float:
    """So much of a second of CPU time: the median of some rounds."""
    found = []
    for _ in range(ROUNDS):
        started = time.process_time()
        work()
        found.append(amount / (time.process_time() - started))
    return statistics.median(found)


def fetched(root: Path) -> float:
    row = folder.Row.model_validate({"source": "folder", "path": str(root), "group": "image", "size": SIDE})
    places = iter(range(ROUNDS))
    return rate(lambda: sources.fetch(row, "photos", root.parent / f"raw-{next(places)}"), COUNT)


def make_squares(root: Path) -> None:
    """The bundled photographs, again and again, as JPEGs of twice the side of a sample."""
    row = params.row(stage.PARAMS, "datasets", "photos", sources.Dataset)
    root.mkdir()
    for number, item in zip(range(COUNT), itertools.cycle(list(sources.module(row.source).items(row))), strict=False):
        with item.open() as stream, Image.open(stream) as photograph:
            square = ImageOps.fit(photograph.convert("RGB"), (2 * SIDE, 2 * SIDE))
        square.save(root / f"{number:03d}.jpg", quality=90)


def main() -> None:
    compute.pin(stage.PARAMS)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="afterimage-rates-") as work:
        root = Path(work) / "photos"
        make_squares(root)
        print(f"fetch: {fetched(root):.3g}")
        jpegs = [path.read_bytes() for path in sorted(root.rglob("*.jpg"))]
        weights.save(
            Path(work) / "lpips", AlexNetDistance().trunk.state_dict(), {"arch": "alexnet", "origin": "random"}
        )
        lpips = Lpips(Path(work) / "lpips")
    pixels = COUNT * SIDE**2

    def cut() -> list[bytes]:
        squares = (images.decode(data).resize((SIDE, SIDE), Image.Resampling.LANCZOS) for data in jpegs)
        return [images.encode_png(square) for square in squares]

    samples = cut()
    arrays = [np.asarray(images.decode(data)) for data in samples]
    observed = params.section(stage.PARAMS, "observations", ObservationRow)
    holes = next(row for row in observed.values() if isinstance(row, Holes))
    steps = next(row.levels[LEVEL] for row in observed.values() if row.kind == "frames")  # type: ignore[attr-defined]
    together = np.stack(arrays[:16])
    names = [str(number) for number in range(len(together))]
    rates = {
        "cut": rate(cut, pixels),
        "read": rate(lambda: [images.to_tensor(np.asarray(images.decode(data))[None]) for data in samples], pixels),
        "holes": rate(lambda: [draw(holes, str(number), 0, SIDE, SIDE) for number in range(COUNT)], pixels),
        "frames": rate(
            lambda: [cctv.degrade(each, steps, 0, LEVEL, str(number), 0) for number, each in enumerate(arrays)], pixels
        ),
        "score": rate(
            lambda: evaluating.measured(lpips, None, (names, together, together[:, ::-1].copy())),
            len(together) * SIDE**2,
        ),
    }
    for name, found in rates.items():
        print(f"{name}: {found:.3g}")
    print(f"bytes of a PNG a pixel: {sum(map(len, samples)) / pixels:.2f}")


if __name__ == "__main__":
    main()
