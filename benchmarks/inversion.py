"""Inversion: what a batch saves, what a step costs, and what was found: `python -m benchmarks inversion`.

- Eight images of 64 px optimised as one batch against the same eight one by one, with the settings of each row of
  `inversions`: images a second, and in the note how far the results are apart.
- A step, with priors, optimiser and the record of the best, against one forward and backward pass of the bare
  truncated network for the same images.
- What `dvc repro` measured (metrics/): the shallowest layer of each encoder has a target in dB, every search must end
  with a smaller feature error than its decoder, and at the two deepest layers of each encoder the hybrid must be as
  good as the better of its parents. The note has the seconds an image that the stage took here.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from afterimage import devices, images, layout, params, shards, stage
from afterimage.observations.encoders import Encoder, EncoderRow, trunk
from afterimage.reconstructors.inversion import ERROR, FAMILY, METHODS, InversionRow
from afterimage.reconstructors.search import Inverter
from benchmarks.measuring import Line, in_turn, make_photos, ratio

IMAGES = 8
STEPS = 16
ROUNDS = 3
SHALLOW_PSNR = 30.0


def measure(work: Path) -> Iterator[Line]:
    """Two lines a row and more on its quality; `work` is an empty folder."""
    shards_dir = make_photos(work)
    rows = params.section(stage.PARAMS, FAMILY, InversionRow)
    some = [data for _, data, _ in shards.read(shards_dir, "val")][:IMAGES]
    originals = torch.stack([images.to_tensor(images.decode(data)) for data in some]).to(devices.choose("auto"))
    for name, row in rows.items():
        yield from speed(name, row, originals)
    for name, row in rows.items():
        yield from quality(name, row)


def speed(name: str, row: InversionRow, originals: Tensor) -> Iterator[Line]:
    encoded = params.row(stage.PARAMS, "encoders", row.encoder, EncoderRow)
    encoder = Encoder(encoded.arch, [row.layer])
    encoder.body.load_state_dict(trunk(encoded.arch, "random", encoded.seed, None), strict=False)
    encoder.to(originals.device)
    with torch.no_grad():
        features = encoder(originals)[row.layer]
    starts = originals.roll(3, -1)  # so that no time goes into colours to start from
    results: dict[int, Tensor] = {}

    def run(batch: int) -> None:
        settings = row.model_copy(update={"steps": STEPS, "patience": None, "restarts": 1, "batch": batch})
        inverter = Inverter(encoder, row.layer, settings, (originals.shape[-2], originals.shape[-1]))
        found = inverter([str(number) for number in range(IMAGES)], features, starts)
        results[batch] = torch.stack([one.image for one in found])

    def bare() -> None:
        for _ in range(STEPS + 1):  # the first look and the steps
            pixels = originals.clone().requires_grad_()
            encoder(pixels)[row.layer].sum().backward()
        if originals.is_cuda:
            torch.cuda.synchronize()

    found = ratio(in_turn(lambda: run(1), lambda: run(IMAGES), ROUNDS))
    apart = float((results[1] - results[IMAGES]).abs().max())
    note = f"{found.spread}; results differ by {apart:.1g} at most"
    yield Line(f"invert {name}, {IMAGES} at once", "one by one", found.median, "of its images/s", 4.0, False, note)
    found = ratio(in_turn(lambda: run(IMAGES), bare, ROUNDS))
    yield Line(f"invert {name}, a step", "forward + backward", found.median, "of its time", 1.15, note=found.spread)


def quality(name: str, row: InversionRow) -> Iterator[Line]:
    folder = layout.metrics(FAMILY, name)
    if not all((folder / method / "summary.json").is_file() for method in METHODS):
        yield Line(f"invert {name}", "", None, "dB", 0.0, False, "first run `dvc repro`")
        return
    found = {method: json.loads((folder / method / "summary.json").read_text()) for method in METHODS}
    learned, searched, both = (found[method]["psnr"] for method in METHODS)
    layers = params.row(stage.PARAMS, "encoders", row.encoder, EncoderRow).layers
    depth = layers.index(row.layer)
    if depth == 0:
        yield Line(f"invert {name}, optimisation", "", searched, "dB", SHALLOW_PSNR, False)
    errors = {method: numbers[ERROR] for method, numbers in found.items()}
    worst = max(errors["optimisation"], errors["hybrid"])
    limit = f"decoder {errors['decoder']:.2g}"
    yield Line(f"invert {name}, feature error", limit, worst, "", errors["decoder"], note=seconds(name))
    if depth >= len(layers) - 2:
        limit = f"decoder {learned:.1f}, optimisation {searched:.1f} dB"
        yield Line(f"invert {name}, hybrid", limit, both, "dB", max(learned, searched), False)


def seconds(name: str) -> str:
    path = layout.training_state(FAMILY, name) / "seconds.json"
    if not path.is_file():
        return ""
    taken = json.loads(path.read_text(encoding="utf-8"))["seconds_an_image"]
    return ", ".join(f"{method} {taken[method]:.2g} s" for method in METHODS) + " an image"
