"""Draw the fixed masks of the validation and test images: `python stages/draw_holes.py two-boxes`."""

from afterimage import layout, params, stage
from afterimage.observations import holes


def main(name: str) -> None:
    row = params.row(stage.PARAMS, "holes", name, holes.HolesRow)
    holes.write(row, name, layout.shards(row.dataset), layout.holes(name))


if __name__ == "__main__":
    stage.run(main)
