"""Check the shards of a data set, a gate for what comes after: `python stages/validate.py photos`."""

from afterimage import checks, layout, params, stage
from afterimage.sources import Dataset


def main(dataset: str) -> None:
    row = params.row(stage.PARAMS, "datasets", dataset, Dataset)
    report = layout.validation(dataset)
    checks.check_images(dataset, layout.shards(dataset), layout.raw(dataset), row.max_rejected, report)


if __name__ == "__main__":
    stage.run(main)
