"""Frames of validation and test images are stored once a level, behind a gate."""

import json

import numpy as np
import pictures
import pytest
import rows
from pictures import png, shards_of
from rows import LEVELS, observed

from afterimage.core import layout, outputs, shards
from afterimage.core.errors import CheckError
from afterimage.core.images import decode
from afterimage.observations.frames import store, writing


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("frames")
    originals = shards_of(root / "shards", {"train": [6], "val": [3], "test": [4]})
    rows.written(observed("frames"), "mine", originals, root / "out")
    return originals, root / "out"


def test_the_same_bytes_whatever_the_number_of_jobs(written, tmp_path, monkeypatch):
    originals, out = written
    monkeypatch.setenv("AFTERIMAGE_JOBS", "3")
    rows.written(observed("frames"), "mine", originals, tmp_path / "again")
    for path in out.rglob("*.*"):
        assert outputs.sha256(path) == outputs.sha256(tmp_path / "again" / path.relative_to(out)), path


def test_a_level_without_steps_takes_the_inputs_of_pairs_or_the_images(tmp_path, written):
    originals = pictures.pair_shards(tmp_path)
    rows.written(observed("frames", levels={"real": [], **LEVELS}), "mine", originals, tmp_path / "out")
    real, mild, _ = store.levels(tmp_path / "out")
    inputs = {key: np.asarray(decode(data)) for key, data, _ in shards.read(originals, "test", shards.INPUT)}
    stored = dict(real.frames("test"))
    assert list(stored) == list(inputs)
    for key, image in inputs.items():
        np.testing.assert_array_equal(stored[key], image)
    assert store.records(real.folder) == {}
    assert mild.inputs(originals, "train") is None
    rows.written(observed("frames", levels={"clean": []}), "mine", written[0], tmp_path / "other")
    (clean,) = store.levels(tmp_path / "other")
    for (key, frame), (name, data, _) in zip(clean.frames("test"), shards.read(written[0], "test"), strict=True):
        assert key == name
        np.testing.assert_array_equal(frame, np.asarray(decode(data)))


def test_the_gate_is_one_a_level(written):
    _, out = written
    gates = json.loads((out / layout.GATES).read_text())["gates"]
    assert [gate["name"] for gate in gates] == [f"frames/mine/{level}" for level in LEVELS]
    assert all(gate["passed"] and len(gate["checks"]) == 4 for gate in gates)
    assert gates[0]["counts"] == {"splits": {"val": {"samples": 3}, "test": {"samples": 4}}}


def test_a_frame_that_does_not_fit_its_image_is_refused(written, tmp_path, monkeypatch):
    originals, _ = written
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(writing, "encode_png", lambda frame: png(40, 16))
    with pytest.raises(CheckError, match=r"frames/mine/mild: .* 40 x 16 px, RGB; expected RGB and at most 32 x 32 px"):
        rows.written(observed("frames"), "mine", originals, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_index_of_a_level_says_what_happened(written):
    originals, out = written
    index = shards.load_index(out / "bad")
    assert (index["kind"], index["observation"], index["level"], index["place"]) == ("frames", "mine", "bad", 1)
    assert (index["dataset"], index["size"], index["seed"]) == ("mine", 32, 0)
    assert index["images"] == outputs.sha256(originals / "index.json")
    assert list(index["splits"]) == ["test", "val"]
