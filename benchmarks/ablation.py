"""What each part of pix2pix brings, on the same data and for as many steps: `python -m benchmarks.ablation ROW`.

ROW is a row of `reconstructors` of the kind pix2pix in params.yaml of this folder, whose images and holes the pipeline
has made. Each variant differs from it in one thing, is trained anew for `--epochs` epochs, and is measured on the test
images; the table is Markdown. It is no part of `python -m benchmarks`, because it trains for minutes. Data of one's
own, as in docs/inpainting.md, needs only rows of `datasets`, `observations` and `reconstructors`.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from tabulate import tabulate

from afterimage.core import devices, layout, params, stage
from afterimage.evaluation import evaluating
from afterimage.evaluation.metrics import Lpips, MetricsRow
from afterimage.evaluation.results import read_json
from afterimage.observations.holes.store import Stored
from afterimage.reconstructors.pix2pix import KIND
from afterimage.reconstructors.pix2pix.row import Pix2PixRow
from afterimage.training import models

L2 = {"l1": 0.0, "l2": 1.0, "adversarial": 0.0}
VARIANTS: dict[str, dict[str, Any]] = {
    "L2, hole × 10, smooth start": {"loss": {**L2, "hole": 10.0}},
    "all pixels alike": {"loss": {**L2, "hole": 1.0}},
    "L1": {"loss": {**L2, "l1": 1.0, "l2": 0.0, "hole": 10.0}},
    "adversarial + 100 L1": {"loss": {"l1": 100.0, "l2": 0.0, "adversarial": 1.0, "hole": 10.0}},
    "grey start": {"start": "grey"},
    "gated convolutions": {"blocks": "gated"},
    "Fourier convolutions": {"blocks": "fourier"},
}
"""The first is what the others differ from."""
SHOWN = ("hole_rmse", "hole_psnr", "hole_ssim", "band_rmse", "psnr")
METHODS = ("telea", "biharmonic", "push_pull")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablation", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("row", metavar="ROW")
    parser.add_argument("--epochs", type=int, default=1)
    words = parser.parse_args()
    row = params.row(stage.PARAMS, "reconstructors", words.row, Pix2PixRow)
    lines = [[method, "", "", *_numbers(_baseline(row, method))] for method in METHODS]
    lpips = Lpips(layout.weights("lpips"))
    first = next(iter(VARIANTS.values()))
    for name, change in VARIANTS.items():
        training = row.training.model_copy(update={"epochs": words.epochs})
        values = {**row.model_dump(), "blocks": "plain", "start": "smooth", **first, **change}
        variant = Pix2PixRow.model_validate({**values, "training": training.model_dump()})
        with tempfile.TemporaryDirectory(prefix="afterimage-ablation-") as work:
            started = time.perf_counter()
            means, parameters = _measured(variant, lpips, Path(work))
        lines.append([name, f"{parameters / 1e6:.2f} M", f"{time.perf_counter() - started:.0f} s", *_numbers(means)])
    print(tabulate(lines, ["", "parameters", "time", *SHOWN], tablefmt="github", disable_numparse=True))


def _measured(row: Pix2PixRow, lpips: Lpips, work: Path) -> tuple[dict[str, float], int]:
    """Train, fill and measure; the means of all metrics and the number of parameters."""
    stored = Stored(layout.observation(row.observation), layout.shards(row.dataset), row.model_dump())
    models.train("variant", row, KIND.learner, stored, work / "model", work / "state")
    card = read_json(work / "model" / models.CARD)
    filling = KIND.load(models.Model(work / "model", card, device=devices.choose(row.training.device)))
    places = evaluating.Places(work / "filled", work / "measured", work / "metrics")
    metrics = params.table(stage.PARAMS, "metrics", MetricsRow)
    evaluating.evaluate_row(row, filling, stored, places, metrics, lpips)
    return _means(places.measured / "test"), card["parameters"]


def _baseline(row: Pix2PixRow, method: str) -> dict[str, float]:
    return _means(layout.measured(row.observation) / method)


def _means(folder: Path) -> dict[str, float]:
    return {name: each["mean"] for name, each in read_json(folder / "intervals.json")["metrics"].items()}


def _numbers(means: dict[str, float]) -> list[str]:
    return [f"{means[name]:.2f}" if name.endswith("psnr") else f"{means[name]:.4f}" for name in SHOWN]


if __name__ == "__main__":
    main()
