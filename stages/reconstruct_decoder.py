"""Decode the test split with a trained row: `python stages/reconstruct_decoder.py vgg16-relu3_3`."""

from afterimage import layout, params, stage
from afterimage.observations.features import encoder_of
from afterimage.reconstructors import decoder


def main(key: str) -> None:
    row = params.row(stage.PARAMS, "decoders", key, decoder.DecoderRow)
    layers = [layout.features(row.encoder) / layer for layer in row.layers]
    decoder.reconstruct(
        layout.model(decoder.FAMILY, key),
        layers,
        layout.shards(row.dataset),
        layout.reconstructions(decoder.FAMILY, key),
        row.training.batch,
        encoder_of(layers, layout.weights(row.encoder)),
    )


if __name__ == "__main__":
    stage.run(main)
