"""Reconstruct and measure a row of baselines: `python stages/baseline.py photos`.

All methods of the row run in one process, because imports take longer than they do.
"""

from afterimage import layout, params, stage
from afterimage.evaluation import evaluate
from afterimage.metrics import Lpips, MetricsRow
from afterimage.reconstructors.classical import BaselineRow, reconstruct


def main(name: str) -> None:
    row = params.row(stage.PARAMS, "baselines", name, BaselineRow)
    metrics = params.table(stage.PARAMS, "metrics", MetricsRow)
    originals = layout.shards(row.dataset)
    lpips = Lpips(layout.weights("lpips-alexnet"))
    for method in row.methods:
        reconstructions = layout.reconstructions("baselines", f"{name}/{method}")
        reconstruct(method, originals, reconstructions)
        evaluate(reconstructions, originals, layout.metrics("baselines", f"{name}/{method}"), metrics, lpips)


if __name__ == "__main__":
    stage.run(main)
