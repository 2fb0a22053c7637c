"""Restore the levels of a row without learning, and measure it: `python stages/baseline_degradations.py photos`."""

from afterimage import layout, params, stage
from afterimage.evaluation import evaluate
from afterimage.metrics import Lpips, MetricsRow
from afterimage.observations import frames
from afterimage.reconstructors import enhancement


def main(name: str) -> None:
    row = params.row(stage.PARAMS, "degradations", name, frames.DegradationRow)
    metrics = params.table(stage.PARAMS, "metrics", MetricsRow)
    lpips = Lpips(layout.weights("lpips-alexnet"))
    for level in frames.levels(layout.degradations(name), list(row.levels)):
        for method in row.baselines:
            place = f"{name}/{level.name}/{method}"
            reconstructions = layout.reconstructions(enhancement.FAMILY, place)
            enhancement.reconstruct(method, level, reconstructions)
            evaluate(
                reconstructions, layout.shards(row.dataset), layout.metrics(enhancement.FAMILY, place), metrics, lpips
            )


if __name__ == "__main__":
    stage.run(main)
