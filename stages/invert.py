"""Search test images from the features of a layer, and measure what was found: `python stages/invert.py vgg16-relu3_3`.

Both methods run and are measured in one process, because imports take as long as they do. Seconds an image are no
output: they go to .afterimage/, beside the checkpoint.
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
    layer_dir = layout.features(row.encoder) / row.layer
    index = shards.load_index(layer_dir)
    path = layout.weights(row.encoder)
    if outputs.sha256(path) != index["weights"]:
        raise ShardError(f"{layer_dir}: features from other weights than {path}; run dvc repro")
    encoder = Encoder(index["arch"], [row.layer])
    encoder.load(path)
    out, measured = layout.reconstructions(inversion.FAMILY, key), layout.metrics(inversion.FAMILY, key)
    state = layout.training_state(inversion.FAMILY, key)
    seconds = inversion.reconstruct(
        key,
        row,
        encoder,
        layer_dir,
        layout.shards(row.dataset),
        layout.model("decoders", row.decoder) if row.decoder else None,
        out,
        measured / "features.csv",
        state,
    )
    outputs.write_json(state / "seconds.json", {"seconds_an_image": seconds})
    lpips = Lpips(layout.weights("lpips-alexnet"))
    for method in row.methods:
        evaluate(out / method, layout.shards(row.dataset), measured / method, metrics, lpips)


if __name__ == "__main__":
    stage.run(main)
