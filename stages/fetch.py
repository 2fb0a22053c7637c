"""Fetch a data set: `python stages/fetch.py photos` writes data/raw/photos."""

from afterimage import layout, params, sources, stage


def main(dataset: str) -> None:
    row = params.row(stage.PARAMS, "datasets", dataset, sources.Dataset)
    sources.fetch(row, dataset, layout.raw(dataset))


if __name__ == "__main__":
    stage.run(main)
