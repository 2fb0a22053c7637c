"""Search test images from the features of a layer, and measure what was found: `python stages/invert.py vgg16-relu3_3`.

All methods run and are measured in one process, because imports take as long as they do.
"""

from afterimage import layout, outputs, params, shards, stage
from afterimage.errors import ShardError
from afterimage.evaluation import evaluate
from afterimage.metrics import Lpips, MetricsRow
from afterimage.observations.encoders import Encoder
from afterimage.reconstructors import inversion


def main(key: str) -> None:
    row = params.row(stage.PARAMS, inversion.FAMILY, key, inversion.InversionRow)
    metrics = params.table(stage.PARAMS, "metrics", MetricsRow)
    places = inversion.Places(
        features=layout.features(row.encoder) / row.layer,
        shards=layout.shards(row.dataset),
        model=layout.model("decoders", row.decoder),
        out=layout.reconstructions(inversion.FAMILY, key),
        state=layout.training_state(inversion.FAMILY, key),
    )
    index, weights = shards.load_index(places.features), layout.weights(row.encoder)
    if outputs.sha256(weights) != index["weights"]:
        raise ShardError(f"{places.features}: features from other weights than {weights}; run dvc repro")
    encoder = Encoder(index["arch"], [row.layer])
    encoder.load(weights)
    keys = inversion.reconstruct(key, row, encoder, places)
    lpips = Lpips(layout.weights("lpips-alexnet"))
    for method in inversion.METHODS:
        measured = layout.metrics(inversion.FAMILY, key) / method
        evaluate(places.out / method, places.shards, measured, metrics, lpips, keys)


if __name__ == "__main__":
    stage.run(main)
