"""Trained autoencoders on frames of any size."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rows
from pictures import noise, shards_of
from rows import observed

from afterimage.core import images, layout
from afterimage.observations.frames import Frames
from afterimage.observations.frames.filters import fitted
from afterimage.reconstructors.autoencoder import restoring


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A project with shards, degraded frames and trained rows."""
    root = tmp_path_factory.mktemp("project")
    originals = shards_of(root / layout.shards("mine"), {"train": [8], "val": [2], "test": [6]})
    rows.written(observed("frames"), "mine", originals, root / "frames")
    seed = {"levels": [], "filters": ["gamma"], "arch": "lenet", "fold": 1, "loss": "mse"}
    for name, changes in (("strong", {}), ("seed", seed), ("large", {"factor": 2, "arch": "skip"})):
        mine = rows.row("autoencoder", training={"epochs": 2}, **changes)
        rows.trained(mine, root / "frames", originals, root, name)
    return root


def restoring_of(root: Path, name: str) -> restoring.Restoring:
    (found,) = rows.loaded(root, name).values()
    return found


def frames(images: list[Any] | np.ndarray, size: tuple[int, int] | None = None) -> Frames:
    size = size or images[0].shape[:2]
    return Frames([str(number) for number in range(len(images))], size, list(images))


def restored(one: restoring.Restoring, given: Frames) -> np.ndarray:
    made = one(given)
    assert made.samples is None and not made.values
    return images.to_uint8(made.images)


@pytest.mark.parametrize("name", ["strong", "seed", "large"])
@pytest.mark.parametrize("size", [(1, 1), (30, 17), (45, 64)])
def test_images_of_any_size_come_back_at_their_size(data, name, size):
    one = restoring_of(data, name)
    stack = np.stack([np.asarray(noise(*size, seed=seed)) for seed in range(3)])
    found = restored(one, frames(stack))
    assert found.shape == stack.shape and found.dtype == np.uint8
    assert np.abs(found[1].astype(int) - restored(one, frames(stack[1:2]))[0]).max() <= 1
    larger = (2 * size[1], 2 * size[0])
    assert restored(one, frames(stack, larger)).shape == (3, *larger, 3)


def test_frames_of_different_sizes_are_restored_together(data):
    one = restoring_of(data, "strong")
    stack = [np.asarray(noise(32, 32)), np.asarray(noise(12, 12, seed=1))]
    found = restored(one, frames(stack, (32, 32)))
    alone = restored(one, frames([fitted(stack[1], (32, 32))]))
    assert np.abs(found[1].astype(int) - alone[0]).max() <= 1


def test_tiles_make_no_seams(data, monkeypatch):
    one = restoring_of(data, "large")
    given = frames(np.asarray(noise(190, 150))[None], (300, 380))
    whole = restored(one, given)
    monkeypatch.setattr(restoring, "TILE", 64)
    assert np.abs(restored(one, given).astype(int) - whole).max() <= 1


def test_stored_frames_are_restored_to_the_size_of_their_images(data):
    one = restoring_of(data, "strong")
    given = rows.stored(one.row, data / "frames", data / layout.shards("mine"))
    (batch,) = given.given("bad", 6)
    found = restored(one, batch.observation)
    assert found.shape == batch.originals.shape
    wanted = restored(one, frames([fitted(batch.observation.frames[2], (32, 32))]))
    assert np.abs(found[2].astype(int) - wanted[0]).max() <= 1
