"""Fetch a data set: `python stages/fetch.py photos` writes data/raw/photos."""

from afterimage.core import layout, params, stage


def main(dataset: str) -> None:
    from afterimage.datasets import sources

    row = params.row(stage.PARAMS, "datasets", dataset, sources.Dataset)
    sources.fetch(row, dataset, layout.raw(dataset))


if __name__ == "__main__":
    stage.run(main)
