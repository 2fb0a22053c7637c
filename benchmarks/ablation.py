"""What each part of an inpainter brings, on the same data and for as many steps: `python -m benchmarks.ablation ROW`.

ROW is a row of `inpainters` in params.yaml of this folder, whose images and holes the pipeline has made. Each variant
differs from it in one thing, is trained anew for `--epochs` epochs, and is measured on the test images; the table is
Markdown. It is no part of `python -m benchmarks`, because it trains for minutes. Data of one's own, as in
docs/inpainting.md, needs only rows of `datasets`, `holes` and `inpainters`.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from tabulate import tabulate

from afterimage import layout, params, stage
from afterimage.evaluation import evaluate
from afterimage.metrics import Lpips, MetricsRow
from afterimage.observations.holes import HolesRow, StoredHoles
from afterimage.reconstructors import classical_holes, pix2pix
from afterimage.reconstructors.pix2pix import InpainterRow
from afterimage.regions import Regions
from afterimage.results import read_json

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
    row = params.row(stage.PARAMS, "inpainters", words.row, InpainterRow)
    lines = [[method, "", "", *_numbers(_baseline(row, method))] for method in METHODS]
    lpips = Lpips(layout.weights("lpips-alexnet"))
    first = next(iter(VARIANTS.values()))
    for name, change in VARIANTS.items():
        training = row.training.model_copy(update={"epochs": words.epochs})
        values = {**row.model_dump(), "blocks": "plain", "start": "smooth", **first, **change}
        variant = InpainterRow.model_validate({**values, "training": training.model_dump()})
        with tempfile.TemporaryDirectory(prefix="afterimage-ablation-") as work:
            started = time.perf_counter()
            summary, parameters = _measured(variant, lpips, Path(work))
        lines.append([name, f"{parameters / 1e6:.2f} M", f"{time.perf_counter() - started:.0f} s", *_numbers(summary)])
    print(tabulate(lines, ["", "parameters", "time", *SHOWN], tablefmt="github", disable_numparse=True))


def _measured(row: InpainterRow, lpips: Lpips, work: Path) -> tuple[dict[str, float], int]:
    """Train, fill and measure; the summary of metrics and the number of parameters."""
    holes_row = params.row(stage.PARAMS, "holes", row.holes, HolesRow)
    originals, holes = layout.shards(row.dataset), layout.holes(row.holes)
    pix2pix.train("variant", row, holes_row, originals, holes, work / "model", work / "state")
    pix2pix.reconstruct(work / "model", holes_row, originals, holes, work / "filled", row.training.batch)
    metrics = params.table(stage.PARAMS, "metrics", MetricsRow)
    evaluate(
        work / "filled", originals, work / "metrics", metrics, lpips, more=Regions(StoredHoles(holes, "test"), lpips)
    )
    return read_json(work / "metrics/summary.json"), read_json(work / "model/card.json")["parameters"]


def _baseline(row: InpainterRow, method: str) -> dict[str, float]:
    return read_json(layout.metrics(classical_holes.FAMILY, f"{row.holes}/{method}") / "summary.json")


def _numbers(summary: dict[str, float]) -> list[str]:
    return [f"{summary[name]:.2f}" if name.endswith("psnr") else f"{summary[name]:.4f}" for name in SHOWN]


if __name__ == "__main__":
    main()
