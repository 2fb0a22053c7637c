"""Train a reconstructor: `python stages/train.py vgg16-relu3_3` writes data/models/vgg16-relu3_3."""

from afterimage.core import layout, stage


def main(name: str) -> None:
    from afterimage import observations, reconstructors
    from afterimage.training import models, processes

    row = reconstructors.row(stage.PARAMS, name)
    store = observations.module(row.observes, "store")
    stored = store.Stored(layout.observation(row.observation), layout.shards(row.dataset), row.model_dump())
    learns = reconstructors.kind_of(row).learner
    with processes.joined():
        models.train(name, row, learns, stored, layout.model(name), layout.training_state(name))


if __name__ == "__main__":
    stage.run(main)
