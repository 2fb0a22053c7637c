"""Train the restorer of a row: `python stages/train_restorer.py photos-nafnet`."""

from afterimage import layout, params, stage
from afterimage.observations import frames
from afterimage.reconstructors import restorer


def main(key: str) -> None:
    row = params.row(stage.PARAMS, "restorers", key, restorer.RestorerRow)
    restorer.train(
        key,
        row,
        frames.levels(layout.degradations(row.degradations), row.levels),
        layout.shards(row.dataset),
        layout.model(restorer.FAMILY, key),
        layout.training_state(restorer.FAMILY, key),
    )


if __name__ == "__main__":
    stage.run(main)
