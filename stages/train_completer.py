"""Train the PixelRNN of a row on images with holes: `python stages/train_completer.py photos-hybrid`."""

from afterimage import layout, params, stage
from afterimage.observations.holes import HolesRow
from afterimage.reconstructors.pixelrnn import completer


def main(name: str) -> None:
    row = params.row(stage.PARAMS, "completers", name, completer.CompleterRow)
    completer.train(
        name,
        row,
        params.row(stage.PARAMS, "holes", row.holes, HolesRow),
        layout.shards(row.dataset),
        layout.holes(row.holes),
        layout.model(completer.FAMILY, name),
        layout.training_state(completer.FAMILY, name),
    )


if __name__ == "__main__":
    stage.run(main)
