"""Inversion: what a batch saves, what a step costs, and what was found: `python -m benchmarks inversion`.

- Eight images of 64 px optimised as one batch against the same eight one by one, with the settings of each row of
  `searches`: images a second, and in the note how far the results are apart.
- A step, with priors, optimiser and the record of the best, against one forward and backward pass of the bare
  truncated network for the same images.
- What `dvc repro` measured (metrics/): the shallowest layer of each encoder has a target in dB, every search must end
  with a smaller feature error than its decoder, and at the two deepest layers of each encoder the hybrid must be as
  good as the better of its parents.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from afterimage.core import devices, images, params, shards, stage
from afterimage.observations import PART, row_of
from afterimage.observations.features.row import Row
from afterimage.reconstructors.inversion.row import InversionRow
from afterimage.reconstructors.inversion.search import Inverter
from afterimage.reconstructors.inversion.searching import ERROR
from benchmarks.measuring import Line, in_turn, make_encoder, make_photos, ratio, summary

CASES = ("decoder", "optimisation", "hybrid")

IMAGES = 8
STEPS = 16
ROUNDS = 3
SHALLOW_PSNR = 30.0


def measure(work: Path) -> Iterator[Line]:
    """Two lines a row and more on its quality; `work` is an empty folder."""
    shards_dir = make_photos(work)
    rows = params.section(stage.PARAMS, "searches", InversionRow)
    some = [data for _, data, _ in shards.read(shards_dir, "val")][:IMAGES]
    originals = torch.stack([images.to_tensor(images.decode(data)) for data in some]).to(devices.choose("auto"))
    for name, row in rows.items():
        yield from speed(name, row, originals)
    for name, row in rows.items():
        yield from quality(name, row)


def speed(name: str, row: InversionRow, originals: Tensor) -> Iterator[Line]:
    layer = row.observation.partition(PART)[2]
    _, encoder = make_encoder(row_of(row.observation), [layer])
    encoder.to(originals.device)
    with torch.no_grad():
        features = encoder(originals)[layer]
    starts = originals.roll(3, -1)  # so that no time goes into a start of their own
    results: dict[int, Tensor] = {}

    def run(batch: int) -> None:
        settings = row.model_copy(update={"steps": STEPS, "patience": None, "restarts": 1, "batch": batch})
        inverter = Inverter(encoder, layer, settings, (originals.shape[-2], originals.shape[-1]))
        found = inverter([str(number) for number in range(IMAGES)], features, starts)
        results[batch] = torch.stack([one.image for one in found])

    def bare() -> None:
        for _ in range(STEPS + 1):  # the first look and the steps
            pixels = originals.clone().requires_grad_()
            encoder(pixels)[layer].sum().backward()
        if originals.is_cuda:
            torch.cuda.synchronize()

    found = ratio(in_turn(lambda: run(1), lambda: run(IMAGES), ROUNDS))
    apart = float((results[1] - results[IMAGES]).abs().max())
    note = f"results differ by {apart:.1g} at most"
    yield Line(f"invert {name}, {IMAGES} at once", "one by one", found, "of its images/s", 4.0, False, note)
    found = ratio(in_turn(lambda: run(IMAGES), bare, ROUNDS))
    yield Line(f"invert {name}, a step", "forward + backward", found, "of its time", 1.15)


def quality(name: str, row: InversionRow) -> Iterator[Line]:
    found = {case: numbers for case in CASES if (numbers := summary("features", name, case))}
    if len(found) < len(CASES):
        yield Line(f"invert {name}", "", None, "dB", 0.0, False, "first run `dvc repro`")
        return
    learned, searched, both = (found[case]["psnr"] for case in CASES)
    observation, _, layer = row.observation.partition(PART)
    layers = params.row(stage.PARAMS, "observations", observation, Row).layers
    depth = layers.index(layer)
    if depth == 0:
        yield Line(f"invert {name}, optimisation", "", searched, "dB", SHALLOW_PSNR, False)
    errors = {case: numbers[ERROR] for case, numbers in found.items()}
    worst = max(errors["optimisation"], errors["hybrid"])
    yield Line(f"invert {name}, feature error", f"decoder {errors['decoder']:.2g}", worst, "", errors["decoder"])
    if depth >= len(layers) - 2:
        limit = f"decoder {learned:.1f}, optimisation {searched:.1f} dB"
        yield Line(f"invert {name}, hybrid", limit, both, "dB", max(learned, searched), False)
