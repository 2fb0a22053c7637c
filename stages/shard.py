"""Cut a fetched data set into shards: `python stages/shard.py photos` writes data/shards/photos."""

from afterimage.core import layout, params, stage


def main(dataset: str) -> None:
    from afterimage.datasets import sharding, sources

    row = params.row(stage.PARAMS, "datasets", dataset, sources.Dataset)
    sharding.write(row, dataset, layout.raw(dataset), layout.shards(dataset))


if __name__ == "__main__":
    stage.run(main)
