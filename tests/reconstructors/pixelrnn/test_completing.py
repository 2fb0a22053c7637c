"""Completions of a trained row: their mean, what they keep, and what the row says of the truth."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pictures
import pytest
import rows
import torch
from rows import observed

from afterimage.core import images, shards
from afterimage.observations.holes import Draws
from afterimage.observations.holes.store import Stored
from afterimage.reconstructors.pixelrnn.completing import Completing, mean
from afterimage.reconstructors.pixelrnn.learner import bits
from afterimage.reconstructors.pixelrnn.row import PixelRnnRow

HOLES = observed("holes", count=1, side=0.3)


def row(**values: Any) -> Any:
    training = {"epochs": 2, "batch": 8, **values.pop("training", {})}
    return rows.row("pixelrnn", **values, training=training)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pixelrnn")
    pictures.shards_of(root / "images", {"train": [24], "val": [8], "test": [4]}, size=32)
    rows.written(HOLES, "two", root / "images", root / "holes")
    return root


def trained(folder: Path, out: Path, mine: PixelRnnRow) -> Path:
    return rows.trained(mine, folder / "holes", folder / "images", out)


def stored(folder: Path, mine: PixelRnnRow) -> Stored:
    return rows.stored(mine, folder / "holes", folder / "images")


@pytest.fixture(scope="module")
def complete(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Completing:
    root = tmp_path_factory.mktemp("trained")
    trained(folder, root, row(training={"epochs": 1}))
    (found,) = rows.loaded(root).values()
    return found


def test_the_answer_is_the_mean_of_the_samples_and_keeps_what_is_known(folder: Path, complete: Completing) -> None:
    (batch,) = stored(folder, row()).given("test", 4)
    made = complete(batch.observation)
    assert made.samples is not None and made.samples.shape == (4, 3, 3, 32, 32)
    drawn = np.stack([images.to_uint8(each) for each in made.samples])
    known = (batch.observation.masks[:, 0] < 0.5).numpy()
    for number, found in enumerate(images.to_uint8(made.images)):
        np.testing.assert_array_equal(found[known[number]], batch.originals[number][known[number]])
        np.testing.assert_array_equal(found, np.rint(drawn[number].mean(0)).astype(np.uint8))
        np.testing.assert_array_equal(found, mean(drawn[number]))
    assert (drawn[:, 0][~known] != drawn[:, 1][~known]).any()


def test_what_is_drawn_follows_from_the_key_alone(folder: Path, complete: Completing) -> None:
    given = stored(folder, row())
    (together,) = given.given("test", 4)
    samples = complete(together.observation).samples
    assert samples is not None
    for number, batch in enumerate(given.given("test", 1)):
        alone = complete(batch.observation).samples
        assert alone is not None and torch.equal(alone[0], samples[number])


def test_draws_may_be_asked_for(folder: Path, complete: Completing) -> None:
    (batch,) = stored(folder, row()).given("test", 4, [shards.Table(folder / "images", "test").keys[0]])

    def drawn(**asked: Any) -> torch.Tensor:
        found = complete(replace(batch.observation, draws=Draws(**asked))).samples
        assert found is not None
        return found[0]

    plain = drawn()
    assert torch.equal(drawn(samples=5)[:3], plain)
    assert torch.equal(drawn(seed=0, temperature=1.0), plain)
    assert not torch.equal(drawn(seed=1), plain)
    assert len({tuple(each.flatten().tolist()) for each in drawn(temperature=0.0)}) == 1


def test_the_truth_takes_bits(folder: Path, complete: Completing) -> None:
    (batch,) = stored(folder, row()).given("test", 4)
    rebuilt = images.to_uint8(complete(batch.observation).images)
    found = complete.score(batch.observation, batch.originals, rebuilt)
    assert found.keys() == {"bits", "bits_whole"}
    with torch.inference_mode():
        wanted = bits(complete.network, images.to_tensor(batch.originals), batch.observation.masks)
    np.testing.assert_allclose(found["bits"], wanted.double().numpy(), rtol=1e-6)
    for values in found.values():
        assert values.shape == (4,) and values.dtype == np.float64
        assert ((values > 0) & (values < 20)).all()
