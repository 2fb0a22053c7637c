"""Fill the stored holes of the test images and measure it: `python stages/evaluate_inpainter.py pix2pix`.

One stage does both, because the networks are imported for longer than they run.
"""

from afterimage import layout, params, stage
from afterimage.evaluation import evaluate
from afterimage.metrics import Lpips, MetricsRow
from afterimage.observations.holes import HolesRow, StoredHoles
from afterimage.reconstructors import pix2pix
from afterimage.regions import Regions


def main(key: str) -> None:
    row = params.row(stage.PARAMS, "inpainters", key, pix2pix.InpainterRow)
    holes_row = params.row(stage.PARAMS, "holes", row.holes, HolesRow)
    originals, holes = layout.shards(row.dataset), layout.holes(row.holes)
    reconstructions = layout.reconstructions(pix2pix.FAMILY, key)
    pix2pix.reconstruct(
        layout.model(pix2pix.FAMILY, key), holes_row, originals, holes, reconstructions, row.training.batch
    )
    metrics = params.table(stage.PARAMS, "metrics", MetricsRow)
    lpips = Lpips(layout.weights("lpips-alexnet"))
    regions = Regions(StoredHoles(holes, "test"), lpips)
    evaluate(reconstructions, originals, layout.metrics(pix2pix.FAMILY, key), metrics, lpips, more=regions)


if __name__ == "__main__":
    stage.run(main)
