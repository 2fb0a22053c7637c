"""How good the decoders of this project are on its test photographs: `python -m benchmarks quality`.

Reads what `dvc repro` measured (metrics/). relu1_2 and relu3_3 of VGG16 have a target of their own; every row must be
above both baselines, each image's own mean colour and the mean training image.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from afterimage import layout, params, stage
from benchmarks.measuring import Line

TARGETS = {"vgg16-relu1_2": 30.0, "vgg16-relu3_3": 23.0}


def measure(work: Path) -> Iterator[Line]:
    """A line a row of `decoders`."""
    sections = params.load(stage.PARAMS)
    for name, row in sections["decoders"].items():
        baselines = {
            method: psnr("baselines", f"{key}/{method}")
            for key, baseline in sections["baselines"].items()
            if baseline["dataset"] == row["dataset"]
            for method in baseline["methods"]
        }
        measured = {method: value for method, value in baselines.items() if value is not None}
        found = psnr("decoders", name)
        if found is None or len(measured) < len(baselines):
            yield Line(f"decoder {name}", "", None, "dB", TARGETS.get(name, 0.0), False, "first run `dvc repro`")
            continue
        best = max(measured, key=measured.__getitem__)
        target = max(TARGETS.get(name, 0.0), measured[best])
        yield Line(f"decoder {name}", f"{best} {measured[best]:.1f} dB", found, "dB", target, False)


def psnr(family: str, name: str) -> float | None:
    path = layout.metrics(family, name) / "summary.json"
    return json.loads(path.read_text(encoding="utf-8"))["psnr"] if path.is_file() else None
