"""Rebuild the test images without learning, and measure them: `python stages/baseline.py two-boxes`."""

from afterimage.core import layout, params, stage


def main(name: str) -> None:
    from afterimage import observations
    from afterimage.evaluation import evaluating
    from afterimage.evaluation.metrics import Lpips, MetricsRow

    row = params.row(stage.PARAMS, "observations", name, observations.ObservationRow)
    methods = evaluating.baselines_of(stage.PARAMS, row.kind)
    store = observations.module(row.kind, "store")
    stored = store.Stored(layout.observation(name), layout.shards(row.dataset), row.model_dump())
    places = evaluating.Places(layout.reconstructions(name), layout.measured(name), layout.metrics(row.kind, name))
    metrics = params.table(stage.PARAMS, "metrics", MetricsRow)
    lpips = Lpips(layout.weights("lpips"))
    evaluating.evaluate_baselines(row.kind, methods, stored, places, metrics, lpips)


if __name__ == "__main__":
    stage.run(main)
