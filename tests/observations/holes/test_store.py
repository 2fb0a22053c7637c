"""Masks for training and for use, beside their images."""

from pathlib import Path

import numpy as np
import pytest
import rows
from pictures import shards_of
from rows import observed

from afterimage.core import shards
from afterimage.core.errors import ShardError
from afterimage.core.images import decode
from afterimage.observations.holes import Draws, Holes, store
from afterimage.observations.holes.store import HoledImages, StoredHoles


@pytest.fixture
def images(tmp_path) -> Path:
    return shards_of(tmp_path / "shards", {"train": [5], "val": [3], "test": [2, 2]})


def test_training_draws_anew_and_validation_does_not(images, tmp_path):
    rows.written(observed("holes", shape="boxes"), "two", images, tmp_path / "holes")
    train = HoledImages(images, "train", observed("holes", shape="boxes"), tmp_path / "holes")
    first, again, other = (train.__getitems__([(epoch, 0), (epoch, 3)]) for epoch in (0, 0, 1))
    assert first["images"].shape == (2, 3, 32, 32)
    assert first["masks"].shape == (2, 1, 32, 32)
    assert set(first["masks"].unique().tolist()) == {0, 1}
    assert first["masks"].equal(again["masks"])
    assert not first["masks"].equal(other["masks"])
    assert first["masks"][1:].equal(train.__getitems__([(0, 3)])["masks"])  # whatever else is in the batch
    val = HoledImages(images, "val", observed("holes", shape="boxes"), tmp_path / "holes")
    assert val.__getitems__([(0, 1)])["masks"].equal(val.__getitems__([(7, 1)])["masks"])


def test_the_holes_of_test_images_come_in_batches_beside_them(images, tmp_path):
    rows.written(observed("holes"), "two", images, tmp_path / "holes")
    given = store.Stored(tmp_path / "holes", images, {})
    assert (given.cases(), given.size, given.carried) == (["test"], 32, [])
    assert given.row == observed("holes")
    assert [index["observation"] for index in given.indices] == ["two"]
    truth = {key: np.asarray(decode(data)) for key, data, _ in shards.read(images, "test")}
    stored = StoredHoles(tmp_path / "holes", "test")
    batches = list(given.given("test", 3))
    assert [batch.keys for batch in batches] == [list(truth)[:3], list(truth)[3:]]
    for batch in batches:
        observation = batch.observation
        assert isinstance(observation, Holes)
        assert (observation.keys, observation.size, observation.draws) == (batch.keys, (32, 32), Draws())
        for number, key in enumerate(batch.keys):
            np.testing.assert_array_equal(batch.originals[number], truth[key])
            np.testing.assert_array_equal(observation.masks[number, 0].numpy() > 0.5, stored[key])
            left = np.where(stored[key][..., None], 0, truth[key])  # nothing of what is missing is told
            np.testing.assert_array_equal((observation.images[number] * 255).round().movedim(0, -1).numpy(), left)
    chosen = [list(truth)[3], list(truth)[1]]
    assert [batch.keys for batch in given.given("test", 4, chosen)] == [chosen[::-1]]
    assert len(given.images("train")) == 5


def test_holes_that_are_not_there(images, tmp_path):
    with pytest.raises(ShardError, match=r"index\.json: there is no such index"):
        store.Stored(tmp_path / "none", images, {})
