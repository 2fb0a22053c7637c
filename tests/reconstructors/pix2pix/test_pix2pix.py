"""The inpainter: what it keeps, what it does not look at, and that it learns."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pictures
import pytest
import torch
from test_decoder import TRAINING
from test_holes import row as holes_row

from afterimage.core import images, params, shards, weights
from afterimage.core.errors import ParamsError, WeightsError
from afterimage.observations.holes import store as holes
from afterimage.observations.holes.smooth import smooth_fill
from afterimage.reconstructors.pix2pix import learner as pix2pix
from afterimage.reconstructors.pix2pix.learner import InpainterLearner, InpainterRow
from afterimage.reconstructors.pix2pix.unet import Discriminator, Generator
from afterimage.training import loop as training

LOSS = dict(l1=100.0, l2=0.0, adversarial=1.0, hole=1.0)
BLOCKS = ("plain", "gated", "fourier")


def row(**values: Any) -> InpainterRow:
    plain = dict(dataset="mine", holes="two", width=4, blocks="plain", start="smooth", loss=LOSS, training=TRAINING)
    return InpainterRow.model_validate({**plain, **values})


def batch(count: int = 3, size: int = 32) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    masks = torch.zeros(count, 1, size, size)
    masks[:, :, 5:15, 8:20] = 1
    coarse = torch.rand(count, 3, size // 4, size // 4)
    return {"images": torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear"), "masks": masks}


def generator(blocks: str = "plain", smooth: bool = True, size: int = 32) -> Generator:
    torch.manual_seed(0)
    made = Generator(size, 4, blocks, smooth)  # type: ignore[arg-type]
    torch.nn.init.normal_(made.last.weight, std=0.1)  # it starts at zero, where much would be the same
    return made


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("blocks", BLOCKS)
def test_training_and_use_are_one_thing(blocks, smooth):
    """Instance norm and no dropout: neither the mode nor the rest of a batch changes an image's fill."""
    made, given = generator(blocks, smooth), batch()
    with torch.no_grad():
        trained = made.train()(**given)
        used = made.eval()(**given)
        alone = torch.cat([made(given["images"][i : i + 1], given["masks"][i : i + 1]) for i in range(3)])
    assert trained.equal(used)
    torch.testing.assert_close(alone, used, rtol=1e-4, atol=1e-5)
    assert used.min() >= 0 and used.max() <= 1


@pytest.mark.parametrize("smooth", [True, False])
def test_known_pixels_are_exact_and_missing_ones_are_not_seen(smooth):
    made, given = generator(smooth=smooth), batch()
    other = torch.where(given["masks"] > 0.5, torch.rand_like(given["images"]), given["images"])
    with torch.no_grad():
        first, second = made(**given), made(other, given["masks"])
    known = (given["masks"] < 0.5).expand_as(first)
    assert first[known].equal(given["images"][known])
    assert first.equal(second)


def test_depth_follows_the_size():
    assert [len(Generator(size, 1, "plain", True).downs) for size in (32, 64, 128, 256, 512)] == [5, 6, 7, 8, 8]


@pytest.mark.parametrize(("size", "field"), [(64, 16), (128, 34), (256, 70)])
def test_patches_shrink_with_the_image(size, field):
    layers = Discriminator(size, 1).layers
    seen = 1
    for layer in reversed([layer for layer in layers if isinstance(layer, torch.nn.Conv2d)]):
        seen = (seen - 1) * layer.stride[0] + layer.kernel_size[0]
    assert seen == field


def test_the_discriminator_does_not_see_the_answer():
    made, given = Discriminator(32, 4), batch()
    other = torch.where(given["masks"] > 0.5, 0.0, given["images"])
    filled = torch.rand_like(other)
    assert made(filled, given["images"], given["masks"]).equal(made(filled, other, given["masks"]))


def test_a_smooth_fill_follows_a_slope_and_scales_with_it():
    slope = torch.linspace(0.2, 0.8, 64).expand(1, 3, 64, 64)
    masks = torch.zeros(1, 1, 64, 64)
    masks[..., 20:39, 10:29] = 1
    found = smooth_fill(slope, masks)
    assert (found - slope).abs().max() < 0.03
    torch.testing.assert_close(smooth_fill(slope * 0.5, masks), found * 0.5)
    assert smooth_fill(torch.full((1, 3, 33, 47), 0.3), torch.ones(1, 1, 33, 47).tril()).sub(0.3).abs().max() < 1e-5


def test_an_untrained_row_with_a_smooth_start_is_that_start():
    given = batch()
    learner = InpainterLearner(row(), 32, given)
    expected = torch.where(given["masks"] > 0.5, smooth_fill(**given), given["images"])
    assert learner.generator(**given).equal(expected)


def test_each_part_of_the_objective_does_something():
    def step(**loss: float) -> dict[str, float]:
        given = batch()
        learner = InpainterLearner(row(loss={**LOSS, **loss}), 32, given)
        before = {name: weight.clone() for name, weight in learner.networks.state_dict().items()}

        def update(value: torch.Tensor, optimizer: torch.optim.Optimizer) -> None:
            optimizer.zero_grad()
            value.backward()
            optimizer.step()

        losses = learner.step(given, update)
        after = learner.networks.state_dict()
        moved = {name.split(".")[0] for name, weight in after.items() if (weight != before[name]).any()}
        assert moved == set(learner.networks)
        return {name: float(value.detach()) for name, value in losses.items()}

    full = step()
    assert set(full) == {"l1", "adversarial", "discriminator"}
    assert set(step(adversarial=0.0)) == {"l1"}
    assert set(step(adversarial=0.0, l1=0.0, l2=1.0)) == {"l2"}
    # With a smooth start all of the error is in the hole, which has 11.7 % of the pixels
    assert step(hole=10.0)["l1"] / full["l1"] == pytest.approx(10 / (1 + 9 * 120 / 1024), rel=1e-3)


def test_optimisers_are_those_of_the_paper():
    learner = InpainterLearner(row(), 32, batch())
    assert set(learner.optimizers) == {"generator", "discriminator"}
    assert all(group["betas"] == (0.5, 0.999) for opt in learner.optimizers.values() for group in opt.param_groups)
    rates = [training._rate(row(training={**TRAINING, "schedule": "linear"}).training, step, 8) for step in range(9)]
    assert rates == [1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("inpainter")
    pictures.shards_of(root / "shards", {"train": [16], "val": [5], "test": [4]})
    holes.write(holes_row("boxes"), "two", root / "shards", root / "holes")
    return root


def trained(data: Path, out: Path, mine: InpainterRow) -> Path:
    pix2pix.train("mine", mine, holes_row("boxes"), data / "shards", data / "holes", out / "model", out / "state")
    return out / "model"


def test_training_fills_better_than_its_start(data, tmp_path):
    mine = row(loss={**LOSS, "l1": 0.0, "l2": 1.0, "adversarial": 0.0}, training={**TRAINING, "epochs": 12})
    model = trained(data, tmp_path, mine)
    curves = np.genfromtxt(model / "curves.csv", delimiter=",", names=True)
    assert curves["val_hole_mse"][-1] < curves["val_hole_mse"][0]
    assert sorted(path.stem for path in (model / "samples").iterdir()) == [
        "0001", "0002", "0004", "0008", "0012", "holes", "originals",
    ]  # fmt: skip
    pix2pix.reconstruct(model, holes_row("boxes"), data / "shards", data / "holes", tmp_path / "out", 3)
    found = {key: np.asarray(images.decode(png)) for key, png, _ in shards.read(tmp_path / "out", "test")}
    originals = {key: np.asarray(images.decode(png)) for key, png, _ in shards.read(data / "shards", "test")}
    stored = holes.StoredHoles(data / "holes", "test")
    assert list(found) == list(originals)
    for key, image in found.items():
        np.testing.assert_array_equal(image[~stored[key]], originals[key][~stored[key]])


def test_the_same_training_gives_the_same_bytes(data, tmp_path):
    mine = row(training={**TRAINING, "epochs": 1})
    files = [sorted(path for path in trained(data, tmp_path / name, mine).rglob("*.*")) for name in ("a", "b")]
    assert len(files[0]) == len(files[1]) > 4
    for first, second in zip(*files, strict=True):
        assert first.read_bytes() == second.read_bytes(), first.name


def test_a_killed_training_ends_as_one_that_was_not(data, tmp_path, monkeypatch):
    """Both networks, both optimisers and the kept samples are in the checkpoint."""
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    mine = row(training={**TRAINING, "epochs": 2})
    whole = trained(data, tmp_path / "whole", mine)
    plain, steps = InpainterLearner.step, []

    def killed(self: InpainterLearner, given: Any, update: Any) -> Any:
        steps.append(1)
        if len(steps) == 7:
            raise KeyboardInterrupt
        return plain(self, given, update)

    monkeypatch.setattr(InpainterLearner, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        trained(data, tmp_path / "killed", mine)
    resumed = trained(data, tmp_path / "killed", mine)
    assert len(steps) == 9  # 8 steps in all, one of which was asked for twice
    for path in whole.rglob("*.*"):
        assert path.read_bytes() == (resumed / path.relative_to(whole)).read_bytes(), path.name


def test_what_does_not_fit(data, tmp_path):
    with pytest.raises(ParamsError, match=r"inpainters\.mine\.holes: `two` are holes of mine, not of other"):
        trained(data, tmp_path, row(dataset="other"))
    with pytest.raises(WeightsError, match="no trained model"):
        pix2pix.load(tmp_path / "model")
    wrong = {**row().model_dump(), "loss": {**LOSS, "l1": 0.0}}
    (tmp_path / "params.yaml").write_text(json.dumps({"inpainters": {"a": wrong}}))
    with pytest.raises(ParamsError, match=r"inpainters\.a\.loss.*nothing would tie a fill to its image"):
        params.row(tmp_path / "params.yaml", "inpainters", "a", InpainterRow)
    (tmp_path / "model").mkdir()
    (tmp_path / "model/card.json").write_text("{")
    with pytest.raises(WeightsError, match=r"card\.json: damaged"):
        pix2pix.load(tmp_path / "model")


def save(root: Path, name: str = "mine", size: int = 32) -> None:
    """A row in a project whose generator is as `generator` made it."""
    from afterimage.core import layout, outputs

    model = root / layout.model(pix2pix.FAMILY, name)
    weights.save(model / "model.safetensors", generator(size=size).state_dict(), {"row": name})
    outputs.write_json(model / "card.json", {"size": size, "width": 4, "blocks": "plain", "start": "smooth"})
