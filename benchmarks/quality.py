"""How good the decoders of this project are on its test photographs: `python -m benchmarks quality`.

Reads what `dvc repro` measured (metrics/). relu1_2 and relu3_3 of VGG16 have a target of their own; every row that
observes features must be above the baselines of its observation: each image's own mean colour, the mean training image.
"""

from collections.abc import Iterator
from pathlib import Path

from afterimage.core import params, stage
from afterimage.observations import row_of
from benchmarks.measuring import Line, summary

TARGETS = {"vgg16-relu1_2": 30.0, "vgg16-relu3_3": 23.0}
KIND = "features"


def measure(work: Path) -> Iterator[Line]:
    """A line a row of `reconstructors` that observes features."""
    sections = params.load(stage.PARAMS)
    for name, row in sections["reconstructors"].items():
        if row["observes"] != KIND:
            continue
        methods = sections["baselines"][KIND]
        measured = {method: summary(KIND, row_of(row["observation"]), method) for method in methods}
        baselines = {method: numbers["psnr"] for method, numbers in measured.items() if numbers}
        found = summary(KIND, name)
        if found is None or len(baselines) < len(methods):
            yield Line(f"decoder {name}", "", None, "dB", TARGETS.get(name, 0.0), False, "first run `dvc repro`")
            continue
        best = max(baselines, key=baselines.__getitem__)
        target = max(TARGETS.get(name, 0.0), baselines[best])
        yield Line(f"decoder {name}", f"{best} {baselines[best]:.1f} dB", found["psnr"], "dB", target, False)
