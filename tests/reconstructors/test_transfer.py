"""A trained row on other images than its own."""

import json

import numpy as np
import pytest
import rows
from pictures import shards_of
from rows import observed

from afterimage import reconstructors
from afterimage.core import images, layout
from afterimage.core.errors import ParamsError, WeightsError
from afterimage.observations.frames import Frames


def test_it_answers_as_the_row_that_was_trained(tmp_path):
    originals = shards_of(tmp_path / layout.shards("mine"), {"train": [4], "val": [2], "test": [2]})
    frames = rows.written(observed("frames"), "mine", originals, tmp_path / layout.observation("mine"))
    others = shards_of(tmp_path / layout.shards("others"), {"train": [1], "val": [1], "test": [3]})
    rows.written(observed("frames", dataset="others"), "others", others, tmp_path / layout.observation("others"))
    trained = rows.row("autoencoder", observation="mine")
    transfer = {"kind": "transfer", "decoder": "trained", "dataset": "others", "observes": "frames"}
    data = {
        "observations": {
            name: {"kind": "frames", "dataset": name, "path": "src", "seed": 0} for name in ("mine", "others")
        },
        "reconstructors": {"trained": trained.model_dump()},
        "searches": {"there": {**transfer, "observation": "others"}},
    }
    (tmp_path / "params.yaml").write_text(json.dumps(data))
    with pytest.raises(WeightsError, match="no trained model"):
        reconstructors.load(tmp_path, "there")
    rows.trained(trained, frames, originals, tmp_path, "trained")
    answers = []
    for name in ("trained", "there"):
        loaded = reconstructors.load(tmp_path, name)
        (one,) = loaded.reconstructors.values()
        some = [np.full((32, 32, 3), 90, np.uint8)]
        answers.append(images.to_uint8(one(Frames(["a"], (32, 32), some)).images))
    np.testing.assert_array_equal(*answers)
    assert (loaded.row.dataset, loaded.row.together) == ("others", 8)

    data["searches"]["there"]["decoder"] = "nothing"
    (tmp_path / "params.yaml").write_text(json.dumps(data))
    with pytest.raises(ParamsError, match="nothing"):
        reconstructors.load(tmp_path, "there")
