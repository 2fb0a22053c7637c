"""Put the weights of the LPIPS trunk in place: `python stages/weights_lpips.py`."""

from afterimage import layout, params, stage
from afterimage.metrics import MetricsRow, write_lpips_weights


def main() -> None:
    row = params.table(stage.PARAMS, "metrics", MetricsRow)
    write_lpips_weights(row, layout.weights("lpips-alexnet"))


if __name__ == "__main__":
    stage.run(main)
