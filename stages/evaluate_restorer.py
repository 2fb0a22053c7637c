"""Restore the test frames of all levels with a row and measure it: `python stages/evaluate_restorer.py photos-nafnet`.

Both are one stage, because imports take longer than they do.
"""

from afterimage import layout, params, restoration, stage
from afterimage.evaluation import evaluate
from afterimage.metrics import Lpips, MetricsRow
from afterimage.observations import frames
from afterimage.reconstructors import restorer


def main(key: str) -> None:
    row = params.row(stage.PARAMS, "restorers", key, restorer.RestorerRow)
    metrics = params.table(stage.PARAMS, "metrics", MetricsRow)
    originals = layout.shards(row.dataset)
    lpips = Lpips(layout.weights("lpips-alexnet"))
    trained = restorer.Trained(layout.model(restorer.FAMILY, key), row.training.batch)
    levels = frames.levels(layout.degradations(row.degradations))
    measured = {}
    for level in levels:
        place = f"{key}/{level.name}"
        restorer.reconstruct(trained, level, layout.reconstructions(restorer.FAMILY, place))
        measured[level.name] = layout.metrics(restorer.FAMILY, place)
        evaluate(layout.reconstructions(restorer.FAMILY, place), originals, measured[level.name], metrics, lpips)
    out = layout.metrics(restorer.FAMILY, key)
    restoration.subgroups(measured, originals, layout.raw(row.dataset) / "manifest.csv", out / "subgroups.csv")
    if row.levels:
        restoration.steps_alone(trained, levels, originals, out / "steps.csv")
    else:
        restoration.protocol(trained, row.filters, originals, metrics, out / "protocol.json")


if __name__ == "__main__":
    stage.run(main)
