"""Keep what is left of the images of a data set, behind a gate: `python stages/observe.py two-boxes`."""

from afterimage.core import layout, params, stage


def main(name: str) -> None:
    from afterimage import observations

    row = params.row(stage.PARAMS, "observations", name, observations.ObservationRow)
    write = observations.module(row.kind, "writing").write
    write(row, name, layout.shards(row.dataset), layout.observation(name))


if __name__ == "__main__":
    stage.run(main)
