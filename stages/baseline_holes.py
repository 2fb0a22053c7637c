"""Fill the holes of a row without learning, and measure it: `python stages/baseline_holes.py two-boxes`."""

from afterimage import layout, params, stage
from afterimage.evaluation import evaluate
from afterimage.metrics import Lpips, MetricsRow
from afterimage.observations.holes import HolesRow, StoredHoles
from afterimage.reconstructors import classical_holes
from afterimage.regions import Regions


def main(name: str) -> None:
    originals = layout.shards(params.row(stage.PARAMS, "holes", name, HolesRow).dataset)
    metrics = params.table(stage.PARAMS, "metrics", MetricsRow)
    lpips = Lpips(layout.weights("lpips-alexnet"))
    regions = Regions(StoredHoles(layout.holes(name), "test"), lpips)
    for method in classical_holes.METHODS:
        reconstructions = layout.reconstructions(classical_holes.FAMILY, f"{name}/{method}")
        classical_holes.reconstruct(method, originals, layout.holes(name), reconstructions)
        out = layout.metrics(classical_holes.FAMILY, f"{name}/{method}")
        evaluate(reconstructions, originals, out, metrics, lpips, more=regions)


if __name__ == "__main__":
    stage.run(main)
