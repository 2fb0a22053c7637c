"""Degrade the validation and test images of a data set by each level of a row: `python stages/degrade.py photos`."""

from afterimage import layout, params, stage
from afterimage.observations import frames


def main(name: str) -> None:
    row = params.row(stage.PARAMS, "degradations", name, frames.DegradationRow)
    frames.write(row, name, layout.shards(row.dataset), layout.degradations(name))


if __name__ == "__main__":
    stage.run(main)
