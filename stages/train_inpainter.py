"""Train the inpainter of a row: `python stages/train_inpainter.py pix2pix`."""

from afterimage import layout, params, stage
from afterimage.observations.holes import HolesRow
from afterimage.reconstructors import pix2pix


def main(key: str) -> None:
    row = params.row(stage.PARAMS, "inpainters", key, pix2pix.InpainterRow)
    pix2pix.train(
        key,
        row,
        params.row(stage.PARAMS, "holes", row.holes, HolesRow),
        layout.shards(row.dataset),
        layout.holes(row.holes),
        layout.model(pix2pix.FAMILY, key),
        layout.training_state(pix2pix.FAMILY, key),
    )


if __name__ == "__main__":
    stage.run(main)
