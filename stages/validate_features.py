"""Check the features of an encoder, a gate a layer: `python stages/validate_features.py vgg16`."""

from afterimage import checks, layout, params, stage
from afterimage.observations.encoders import EncoderRow


def main(encoder: str) -> None:
    row = params.row(stage.PARAMS, "encoders", encoder, EncoderRow)
    for layer in row.layers:
        folder = layout.features(encoder) / layer
        report = layout.validation(f"features/{encoder}/{layer}/result")
        checks.check_features(encoder, layer, folder, layout.shards(row.dataset), report)


if __name__ == "__main__":
    stage.run(main)
