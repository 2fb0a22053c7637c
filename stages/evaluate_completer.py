"""Complete the test images of a row and measure it: `python stages/evaluate_completer.py photos-hybrid`.

Both in one process, because imports take as long as a small row does.
"""

from afterimage import layout, params, stage
from afterimage.evaluation import evaluate
from afterimage.metrics import Lpips, MetricsRow
from afterimage.observations.holes import HolesRow, StoredHoles
from afterimage.reconstructors.pixelrnn import completer, completing
from afterimage.regions import Regions


def main(name: str) -> None:
    row = params.row(stage.PARAMS, "completers", name, completer.CompleterRow)
    metrics = params.table(stage.PARAMS, "metrics", MetricsRow)
    originals, holes = layout.shards(row.dataset), layout.holes(row.holes)
    reconstructions = layout.reconstructions(completer.FAMILY, name)
    holes_row = params.row(stage.PARAMS, "holes", row.holes, HolesRow)
    completing.complete(layout.model(completer.FAMILY, name), row, holes_row, originals, holes, reconstructions)
    lpips = Lpips(layout.weights("lpips-alexnet"))
    regions = Regions(StoredHoles(holes, "test"), lpips)
    evaluate(reconstructions, originals, layout.metrics(completer.FAMILY, name), metrics, lpips, more=regions)


if __name__ == "__main__":
    stage.run(main)
