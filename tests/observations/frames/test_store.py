"""Fixed frames of validation and test, and fresh ones for training."""

import numpy as np
import pytest
import rows
from pictures import shards_of
from rows import LEVELS, observed

from afterimage.core import shards
from afterimage.core.errors import ShardError
from afterimage.core.images import decode
from afterimage.observations.frames import Frames, cctv, store


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("frames")
    originals = shards_of(root / "shards", {"train": [6], "val": [3], "test": [4]})
    rows.written(observed("frames"), "mine", originals, root / "out")
    return originals, root / "out"


def test_every_stored_frame_is_repeated_from_its_record(written):
    originals, out = written
    for level in store.levels(out):
        records = store.records(level.folder)
        for split in ("val", "test"):
            table = shards.Table(originals, split)
            stored = dict(level.frames(split))
            assert list(stored) == table.keys
            for place, key in enumerate(table.keys):
                image = np.asarray(decode(table.bytes(place)))
                np.testing.assert_array_equal(cctv.replay(image, records.get(key, [])), stored[key])
                np.testing.assert_array_equal(level.fresh(image, key, 0), stored[key])
                assert not np.array_equal(level.fresh(image, key, 1), stored[key])


def test_levels_come_in_the_order_of_params_and_carry_their_steps(written):
    _, out = written
    there = store.levels(out)
    assert [level.name for level in there] == list(LEVELS)
    assert [[step.step for step in level.steps] for level in there] == [
        [step["step"] for step in steps] for steps in LEVELS.values()
    ]
    assert [level.name for level in store.levels(out, ["bad"])] == ["bad"]
    with pytest.raises(ShardError, match="there is no level `worse`; there are bad, mild"):
        store.levels(out, ["worse"])


def test_a_step_alone_is_what_the_frame_drew_of_it(written):
    originals, out = written
    level = store.levels(out)[1]
    table = shards.Table(originals, "test")
    for place, key in enumerate(table.keys):
        image = np.asarray(decode(table.bytes(place)))
        record = store.records(level.folder)[key][1]
        assert record["step"] == "downscale"
        np.testing.assert_array_equal(level.alone(image, key, 1), cctv.replay(image, [record]))
    happened = [level.alone(np.zeros((32, 32, 3), np.uint8), key, 3) is not None for key in map(str, range(60))]
    assert 0.25 < np.mean(happened) < 0.75


def test_frames_of_each_level_come_in_batches_beside_their_images(written):
    originals, out = written
    given = store.Stored(out, originals, {})
    assert (given.cases(), given.size, given.carried) == (list(LEVELS), 32, [])
    assert [index["level"] for index in given.indices] == list(LEVELS)
    assert [level.name for level in given.some(["bad"])] == ["bad"]
    truth = {key: np.asarray(decode(data)) for key, data, _ in shards.read(originals, "test")}
    for case, level in given.levels.items():
        stored = dict(level.frames("test"))
        batches = list(given.given(case, 3))
        assert [batch.keys for batch in batches] == [list(truth)[:3], list(truth)[3:]]
        for batch in batches:
            observation = batch.observation
            assert isinstance(observation, Frames)
            assert (observation.keys, observation.size) == (batch.keys, (32, 32))
            for number, key in enumerate(batch.keys):
                np.testing.assert_array_equal(batch.originals[number], truth[key])
                np.testing.assert_array_equal(observation.frames[number], stored[key])
    chosen = [list(truth)[3], list(truth)[1]]
    assert [batch.keys for batch in given.given("mild", 1, chosen)] == [[chosen[1]], [chosen[0]]]


def test_frames_that_are_not_there(written, tmp_path):
    originals, out = written
    with pytest.raises(ShardError, match="there are no frames; run dvc repro"):
        store.Stored(tmp_path, originals, {})
    with pytest.raises(ShardError, match="there is no level `worse`; there are bad, mild"):
        store.Stored(out, originals, {}).some(["worse"])
