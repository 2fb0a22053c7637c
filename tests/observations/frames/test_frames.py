"""Fixed frames of validation and test, and fresh ones for training."""

from pathlib import Path

import numpy as np
import pictures
import pytest
from pictures import shards_of
from test_cctv import STEPS

from afterimage.core import layout, outputs, shards
from afterimage.core.errors import ShardError
from afterimage.core.images import decode
from afterimage.datasets import sharding, sources
from afterimage.observations.frames import cctv
from afterimage.observations.frames import store as frames

LEVELS = {
    "mild": [{"step": "noise", **STEPS["noise"]}],
    "bad": [{"step": name, **STEPS[name]} for name in ("low_light", "downscale", "noise")]
    + [{"step": "jpeg", **STEPS["jpeg"], "chance": 0.5}],
}


def row(**changes) -> frames.DegradationRow:
    given = {"dataset": "mine", "seed": 0, "levels": LEVELS, "baselines": ["identity", "bicubic"]}
    return frames.DegradationRow.model_validate({**given, **changes})


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("frames")
    originals = shards_of(root / "shards", {"train": [6], "val": [3], "test": [4]})
    frames.write(row(), "mine", originals, root / "out")
    return originals, root / "out"


def test_the_same_bytes_whatever_the_number_of_jobs(written, tmp_path, monkeypatch):
    originals, out = written
    monkeypatch.setenv("AFTERIMAGE_JOBS", "3")
    frames.write(row(), "mine", originals, tmp_path / "again")
    for path in out.rglob("*.*"):
        assert outputs.sha256(path) == outputs.sha256(tmp_path / "again" / path.relative_to(out)), path


def test_every_stored_frame_is_repeated_from_its_record(written):
    originals, out = written
    for level in frames.levels(out):
        records = frames.records(level.folder)
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
    there = frames.levels(out)
    assert [level.name for level in there] == list(LEVELS)
    assert [[step.step for step in level.steps] for level in there] == [
        [step["step"] for step in steps] for steps in LEVELS.values()
    ]
    assert [level.name for level in frames.levels(out, ["bad"])] == ["bad"]
    with pytest.raises(ShardError, match="there is no level `worse`; there are bad, mild"):
        frames.levels(out, ["worse"])


def test_a_step_alone_is_what_the_frame_drew_of_it(written):
    originals, out = written
    level = frames.levels(out)[1]
    table = shards.Table(originals, "test")
    for place, key in enumerate(table.keys):
        image = np.asarray(decode(table.bytes(place)))
        record = frames.records(level.folder)[key][1]
        assert record["step"] == "downscale"
        np.testing.assert_array_equal(level.alone(image, key, 1), cctv.replay(image, [record]))
    happened = [level.alone(np.zeros((32, 32, 3), np.uint8), key, 3) is not None for key in map(str, range(60))]
    assert 0.25 < np.mean(happened) < 0.75


def test_a_level_needs_a_name_that_a_folder_can_have():
    with pytest.raises(ValueError, match="no name of a level"):
        row(levels={"../up": LEVELS["mild"]})


def test_a_level_without_steps_takes_the_inputs_of_pairs(tmp_path, written):
    originals = pair_shards(tmp_path)
    frames.write(row(levels={"real": [], **LEVELS}), "mine", originals, tmp_path / "out")
    real, mild, _ = frames.levels(tmp_path / "out")
    inputs = {key: np.asarray(decode(data)) for key, data, _ in shards.read(originals, "test", shards.INPUT)}
    stored = dict(real.frames("test"))
    assert list(stored) == list(inputs)
    for key, image in inputs.items():
        np.testing.assert_array_equal(stored[key], image)
    assert frames.records(real.folder) == {}
    assert mild.inputs(originals, "train") is None
    with pytest.raises(ShardError, match=r"degradations\.mine\.levels\.real: no steps, and the images of mine are no"):
        frames.write(row(levels={"real": []}), "mine", written[0], tmp_path / "other")


def pair_shards(root: Path) -> Path:
    """Shards of pairs, 16 px."""
    pictures.pairs(root / "in")
    given = {"source": "folder", "path": str(root / "in"), "size": 16, "pairs": pictures.PAIRS, "group": "image"}
    dataset = sources.Dataset.kind(given).model_validate(given)
    sources.fetch(dataset, "mine", root / "raw")
    sharding.write(dataset, "mine", root / "raw", root / layout.shards("mine"), jobs=1)
    return root / layout.shards("mine")
