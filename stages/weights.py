"""Put an encoder's weights in place: `python stages/weights.py vgg16`."""

from afterimage import layout, params, stage, weights
from afterimage.observations.encoders import EncoderRow, trunk


def main(key: str) -> None:
    row = params.row(stage.PARAMS, "encoders", key, EncoderRow)
    state = trunk(row.arch, row.weights, row.seed, row.sha256)
    origin = weights.describe(row.weights, row.seed, row.sha256)
    weights.save(layout.weights(key), state, {"arch": row.arch, "origin": origin})


if __name__ == "__main__":
    stage.run(main)
