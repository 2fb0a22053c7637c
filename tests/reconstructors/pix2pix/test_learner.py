"""Pix2pix learns to fill holes, and each part of its objective does something."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pictures
import pytest
import rows
import torch
from rows import observed

from afterimage import reconstructors
from afterimage.core import params
from afterimage.core.errors import ParamsError, WeightsError
from afterimage.core.images import to_uint8
from afterimage.observations.holes.smooth import smooth_fill
from afterimage.reconstructors.pix2pix import KIND
from afterimage.reconstructors.pix2pix.learner import Pix2PixLearner
from afterimage.reconstructors.pix2pix.row import Pix2PixRow
from afterimage.training import loop

LOSS = rows.ROWS["pix2pix"]["loss"]


def row(**values: Any) -> Any:
    return rows.row("pix2pix", **values)


class Given:
    """The same images whatever is asked for."""

    def __init__(self, batch: dict[str, torch.Tensor]):
        self.batch = batch

    def __len__(self) -> int:
        return len(self.batch["images"])

    def __getitems__(self, positions: loop.Positions) -> dict[str, torch.Tensor]:
        return self.batch


def learner(mine: Pix2PixRow, batch: dict[str, torch.Tensor]) -> Pix2PixLearner:
    return Pix2PixLearner(mine, SimpleNamespace(size=32, images=lambda split: Given(batch)))  # type: ignore[arg-type]


def batch(count: int = 3, size: int = 32) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    masks = torch.zeros(count, 1, size, size)
    masks[:, :, 5:15, 8:20] = 1
    coarse = torch.rand(count, 3, size // 4, size // 4)
    return {"images": torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear"), "masks": masks}


def test_an_untrained_row_with_a_smooth_start_is_that_start():
    given = batch()
    mine = learner(row(), given)
    expected = torch.where(given["masks"] > 0.5, smooth_fill(**given), given["images"])
    assert mine.generator(**given).equal(expected)


def test_each_part_of_the_objective_does_something():
    def step(**loss: float) -> dict[str, float]:
        given = batch()
        mine = learner(row(loss={**LOSS, **loss}), given)
        before = {name: weight.clone() for name, weight in mine.networks.state_dict().items()}

        def update(value: torch.Tensor, optimizer: torch.optim.Optimizer) -> None:
            optimizer.zero_grad()
            value.backward()
            optimizer.step()

        losses = mine.step(given, update)
        after = mine.networks.state_dict()
        moved = {name.split(".")[0] for name, weight in after.items() if (weight != before[name]).any()}
        assert moved == set(mine.networks)
        return {name: float(value.detach()) for name, value in losses.items()}

    full = step()
    assert set(full) == {"l1", "adversarial", "discriminator"}
    assert set(step(adversarial=0.0)) == {"l1"}
    assert set(step(adversarial=0.0, l1=0.0, l2=1.0)) == {"l2"}
    assert set(step(adversarial=0.0, l1=0.0, rmse=1.0)) == {"rmse"}
    # With a smooth start all of the error is in the hole, which has 11.7 % of the pixels
    assert step(hole=10.0)["l1"] / full["l1"] == pytest.approx(10 / (1 + 9 * 120 / 1024), rel=1e-3)


def test_the_rmse_is_that_of_each_hole():
    given = batch(2)
    mine = learner(row(loss={**LOSS, "l1": 0.0, "rmse": 1.0, "adversarial": 0.0}), given)
    fill = smooth_fill(given["images"], given["masks"])
    squares = ((fill - given["images"]).square() * given["masks"]).sum((1, 2, 3)) / (3 * given["masks"].sum((1, 2, 3)))
    found = mine.step(given, lambda value, optimizer: None)["rmse"]
    assert float(found.detach()) == pytest.approx(float((squares + 1 / 255**2).sqrt().mean()), rel=1e-4)


def test_training_mirrors_images_with_their_masks():
    given = batch(16)
    mine, seen = learner(row(flip=True), given), []
    mine.generator.guess = lambda known, missing: (seen.append((known, missing)), known)[1]  # type: ignore[assignment]
    torch.manual_seed(0)
    mine.step(given, lambda value, optimizer: None)
    ((known, masks),) = seen
    mirrored = [bool(masks[i].equal(given["masks"][i].flip(-1))) for i in range(16)]
    assert 0 < sum(mirrored) < 16
    for i, turned in enumerate(mirrored):
        assert masks[i].equal(given["masks"][i].flip(-1) if turned else given["masks"][i])
        assert known[i].equal(given["images"][i].flip(-1) if turned else given["images"][i])


def test_optimisers_are_those_of_the_paper():
    mine = learner(row(), batch())
    assert set(mine.optimizers) == {"generator", "discriminator"}
    assert all(group["betas"] == (0.5, 0.999) for opt in mine.optimizers.values() for group in opt.param_groups)
    rates = [loop._rate(row(training={"schedule": "linear"}).training, step, 8) for step in range(9)]
    assert rates == [1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pix2pix")
    pictures.shards_of(root / "shards", {"train": [16], "val": [5], "test": [4]})
    rows.written(observed("holes"), "two", root / "shards", root / "holes")
    return root


def trained(data: Path, out: Path, mine: Pix2PixRow) -> Path:
    return rows.trained(mine, data / "holes", data / "shards", out)


def test_training_fills_better_than_its_start(data, tmp_path):
    mine = row(loss={**LOSS, "l1": 0.0, "l2": 1.0, "adversarial": 0.0}, training={"epochs": 12})
    model = trained(data, tmp_path, mine)
    curves = np.genfromtxt(model / "curves.csv", delimiter=",", names=True)
    assert curves["val_hole_mse"][-1] < curves["val_hole_mse"][0]
    assert sorted(path.stem for path in (model / "samples").iterdir()) == [
        *("0001", "0002", "0004", "0008", "0012"),
        *("holes", "originals"),
    ]
    card = json.loads((model / "card.json").read_text())
    assert (card["words"], card["size"], card["epochs"]) == ("L2; plain, smooth start", 32, 12)
    assert card["given"][0]["observation"] == "two"


def test_known_pixels_come_back_as_they_were(data, tmp_path):
    mine = row(training={"epochs": 1})
    trained(data, tmp_path, mine)
    (fill,) = rows.loaded(tmp_path).values()
    given = rows.stored(mine, data / "holes", data / "shards")
    for batch in given.given("test", 3):
        made = fill(batch.observation)
        assert made.samples is None and not made.values
        known = (batch.observation.masks[:, 0] < 0.5).numpy()
        np.testing.assert_array_equal(to_uint8(made.images)[known], batch.originals[known])


def test_the_same_training_gives_the_same_bytes(data, tmp_path):
    mine = row(training={"epochs": 1})
    files = [sorted(path for path in trained(data, tmp_path / name, mine).rglob("*.*")) for name in ("a", "b")]
    assert len(files[0]) == len(files[1]) > 4
    for first, second in zip(*files, strict=True):
        assert first.read_bytes() == second.read_bytes(), first.name


def test_a_killed_training_ends_as_one_that_was_not(data, tmp_path, monkeypatch):
    """Both networks, both optimisers and the kept samples are in the checkpoint."""
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    mine = row(training={"epochs": 2})
    whole = trained(data, tmp_path / "whole", mine)
    plain, steps = Pix2PixLearner.step, []

    def killed(self: Pix2PixLearner, given: Any, update: Any) -> Any:
        steps.append(1)
        if len(steps) == 7:
            raise KeyboardInterrupt
        return plain(self, given, update)

    monkeypatch.setattr(Pix2PixLearner, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        trained(data, tmp_path / "killed", mine)
    resumed = trained(data, tmp_path / "killed", mine)
    assert len(steps) == 9  # 8 steps in all, one of which was asked for twice
    for path in whole.rglob("*.*"):
        assert path.read_bytes() == (resumed / path.relative_to(whole)).read_bytes(), path.name


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        ({}, "adversarial + 100 L1; plain, smooth start"),
        ({"hole": 10.0, "adversarial": 0.5}, "0.5 adversarial + 100 L1, hole × 10; plain, smooth start"),
        ({"l1": 0.0, "l2": 1.0, "adversarial": 0.0}, "L2; plain, smooth start"),
    ],
)
def test_the_objective_in_a_few_words(loss, words):
    assert learner(row(loss={**LOSS, **loss}), batch()).words == words


def test_what_does_not_fit(data, tmp_path):
    with pytest.raises(WeightsError, match="no trained model"):
        rows.loaded(tmp_path)
    wrong = {**row().model_dump(), "loss": {**LOSS, "l1": 0.0}}
    (tmp_path / "params.yaml").write_text(json.dumps({"reconstructors": {"a": wrong}}))
    with pytest.raises(ParamsError, match=r"reconstructors\.a\.loss.*nothing would tie a fill to its image"):
        params.row(tmp_path / "params.yaml", "reconstructors", "a", Pix2PixRow)


def test_the_kind_is_found_by_its_name():
    assert reconstructors.kind_of(row()) is KIND
    assert (KIND.observes, row().together) == ("holes", 4)
