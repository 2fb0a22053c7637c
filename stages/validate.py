"""Check the shards of a data set, a gate for what comes after: `python stages/validate.py photos`."""

from afterimage.core import layout, params, stage


def main(dataset: str) -> None:
    from afterimage.datasets import sources
    from afterimage.validation import checks

    row = params.row(stage.PARAMS, "datasets", dataset, sources.Dataset)
    report = layout.validation(dataset)
    checks.check_images(dataset, layout.shards(dataset), layout.raw(dataset), row.max_rejected, report)


if __name__ == "__main__":
    stage.run(main)
