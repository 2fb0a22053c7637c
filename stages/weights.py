"""Put the weights of an encoder in place: `python stages/weights.py vgg16`."""

from afterimage.core import layout, params, stage


def main(encoder: str) -> None:
    from afterimage.core import weights
    from afterimage.observations.features.encoders import EncoderRow, described, trunk

    row = params.row(stage.PARAMS, "encoders", encoder, EncoderRow)
    state = trunk(row.arch, row.weights, row.seed, row.sha256)
    weights.save(layout.weights(encoder), state, described(row))


if __name__ == "__main__":
    stage.run(main)
