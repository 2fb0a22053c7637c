"""Extract the features of all layers of an encoder: `python stages/extract.py vgg16`."""

from afterimage import layout, outputs, params, stage
from afterimage.observations import features
from afterimage.observations.encoders import Encoder, EncoderRow


def main(key: str) -> None:
    row = params.row(stage.PARAMS, "encoders", key, EncoderRow)
    path = layout.weights(key)
    encoder = Encoder(row.arch, row.layers)
    origin = encoder.load(path)["origin"]
    about = {"arch": row.arch, "weights": outputs.sha256(path), "weights_origin": origin}
    features.extract(encoder, row, key, about, layout.shards(row.dataset), layout.features(key))


if __name__ == "__main__":
    stage.run(main)
