"""Check the shards of a data set, a gate for what comes after: `python stages/validate.py photos`."""

from afterimage.core import layout, params, stage


def main(dataset: str) -> None:
    from afterimage.datasets import sources
    from afterimage.validation import checks

    row = params.row(stage.PARAMS, "datasets", dataset, sources.Dataset)
    report = layout.validation(dataset)
    allowed = checks.Allowed(row.max_rejected, row.max_copies)
    checks.check_images(dataset, layout.shards(dataset), layout.raw(dataset), allowed, report)


if __name__ == "__main__":
    stage.run(main)
