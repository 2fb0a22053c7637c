"""Rebuild the test images by a reconstructor and measure them: `python stages/evaluate.py pix2pix`."""

from pathlib import Path

from afterimage.core import layout, params, stage


def main(name: str) -> None:
    from afterimage import observations, reconstructors
    from afterimage.evaluation import evaluating
    from afterimage.evaluation.metrics import Lpips, MetricsRow
    from afterimage.training import models

    loaded = reconstructors.load(Path(), name, state=layout.training_state(name))
    row, seeds = loaded.row, models.seeds_of(loaded.row)
    others = [reconstructors.load(Path(), name, seed=seed).reconstructors for seed in seeds[1:]]
    store = observations.module(row.observes, "store")
    stored = store.Stored(layout.observation(row.observation), layout.shards(row.dataset), row.model_dump())
    places = evaluating.Places(layout.reconstructions(name), layout.measured(name), layout.metrics(row.observes, name))
    metrics = params.table(stage.PARAMS, "metrics", MetricsRow)
    lpips = Lpips(layout.weights("lpips"))
    evaluating.evaluate_row(row, loaded.reconstructors, stored, places, metrics, lpips, seeds, others)


if __name__ == "__main__":
    stage.run(main)
