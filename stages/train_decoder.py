"""Train the decoder of a row: `python stages/train_decoder.py vgg16-relu3_3`."""

from afterimage import layout, params, stage
from afterimage.observations.encoders import Encoder, EncoderRow
from afterimage.observations.features import encoder_of
from afterimage.reconstructors import decoder


def main(key: str) -> None:
    row = params.row(stage.PARAMS, "decoders", key, decoder.DecoderRow)
    layers = [layout.features(row.encoder) / layer for layer in row.layers]
    encoder = encoder_of(layers, layout.weights(row.encoder))
    if encoder is None and row.loss.perceptual:
        arch = params.row(stage.PARAMS, "encoders", row.encoder, EncoderRow).arch
        encoder = Encoder(arch, row.layers)
        encoder.load(layout.weights(row.encoder))
    decoder.train(
        key,
        row,
        layers,
        layout.shards(row.dataset),
        encoder,
        layout.model(decoder.FAMILY, key),
        layout.training_state(decoder.FAMILY, key),
    )


if __name__ == "__main__":
    stage.run(main)
