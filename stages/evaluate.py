"""Rebuild the test images by a reconstructor and measure them: `python stages/evaluate.py pix2pix`."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from afterimage.core import layout, params, stage

if TYPE_CHECKING:
    from afterimage.reconstructors import Reconstructor


def main(name: str) -> None:
    from afterimage import observations, reconstructors
    from afterimage.evaluation import evaluating
    from afterimage.evaluation.metrics import Lpips, MetricsRow
    from afterimage.evaluation.rebuilding import Elsewhere
    from afterimage.training import models

    loaded = reconstructors.load(Path(), name, state=layout.training_state(name))
    row, seeds = loaded.row, models.seeds_of(loaded.row)
    others = [reconstructors.load(Path(), name, seed=seed).reconstructors for seed in seeds[1:]]
    store = observations.module(row.observes, "store")
    stored = store.Stored(layout.observation(row.observation), layout.shards(row.dataset), row.model_dump())
    places = evaluating.Places(layout.reconstructions(name), layout.measured(name), layout.metrics(row.observes, name))
    metrics = params.table(stage.PARAMS, "metrics", MetricsRow)
    lpips = Lpips(layout.weights("lpips"))
    again = Elsewhere(
        partial(_again, name), sorted(reconstructors.files_of(Path(), name)), getattr(row, "device", "auto")
    )
    evaluating.evaluate_row(row, loaded.reconstructors, stored, places, metrics, lpips, seeds, others, again)


def _again(name: str, seed: int | None) -> "Mapping[str, Reconstructor]":
    """What a worker of a cluster loads."""
    from afterimage import reconstructors

    return reconstructors.load(Path(), name, seed=seed).reconstructors


if __name__ == "__main__":
    stage.run(main)
