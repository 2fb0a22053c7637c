"""Measure a row's reconstructions against their originals: `python stages/evaluate.py decoders vgg16-relu3_3`."""

from afterimage import layout, params, shards, stage
from afterimage.evaluation import evaluate
from afterimage.metrics import Lpips, MetricsRow


def main(family: str, name: str) -> None:
    row = params.table(stage.PARAMS, "metrics", MetricsRow)
    reconstructions = layout.reconstructions(family, name)
    originals = layout.shards(shards.load_index(reconstructions)["dataset"])
    lpips = Lpips(layout.weights("lpips-alexnet"))
    evaluate(reconstructions, originals, layout.metrics(family, name), row, lpips)


if __name__ == "__main__":
    stage.run(main)
