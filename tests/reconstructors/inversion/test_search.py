"""The search for images by their features: what it finds, restarts, interruptions, settings that conflict."""

import copy
import math
from typing import Any

import numpy as np
import pictures
import pytest
import rows
import torch

from afterimage.core.errors import ShardError, TrainingError
from afterimage.core.images import to_tensor
from afterimage.observations.features import defences
from afterimage.observations.features.encoders import Encoder
from afterimage.reconstructors.inversion import checkpoint
from afterimage.reconstructors.inversion.checkpoint import Checkpoint
from afterimage.reconstructors.inversion.search import Found, Inverter, Settings

SIZE = (32, 32)
NONE = {
    "total_variation": {"weight": 0.0, "exponent": 1.0},
    "alpha_norm": {"weight": 0.0, "alpha": 6.0},
    "gaussian": {"weight": 0.0},
}
LAYER = "relu1_1"


def settings(**values: Any) -> Settings:
    own = {name: rows.SEARCH[name] for name in Settings.model_fields}
    return Settings.model_validate({**own, **values})


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return rows.encoder()


@pytest.fixture(scope="module")
def photos() -> torch.Tensor:
    return torch.stack([to_tensor(np.asarray(pictures.noise(*SIZE, seed=seed))) for seed in range(3)])


@pytest.fixture(scope="module")
def seen(encoder: Encoder, photos: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return encoder(photos)[LAYER]


def invert(encoder: Encoder, seen: torch.Tensor, starts=None, keys="abc", checkpoint=None, **values) -> list[Found]:
    return Inverter(encoder, LAYER, settings(**values), SIZE)(list(keys), seen, starts, checkpoint)


def stacked(found: list[Found]) -> torch.Tensor:
    return torch.stack([one.image for one in found])


@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
@pytest.mark.parametrize("parametrisation", ["pixel", "fourier", "deep_image_prior"])
def test_a_batch_gives_what_its_images_give_one_by_one(optimiser, parametrisation, encoder, seen) -> None:
    values = dict(optimiser=optimiser, parametrisation=parametrisation, learning_rate=0.01, steps=5)
    together = invert(encoder, seen, **values)
    for number, key in enumerate("abc"):
        (alone,) = invert(encoder, seen[number : number + 1], keys=key, **values)
        torch.testing.assert_close(alone.image, together[number].image, atol=2e-3, rtol=0)
        assert alone.error == pytest.approx(together[number].error, rel=1e-2)


def test_a_shallow_layer_gives_the_image_back(encoder, seen, photos) -> None:
    found = invert(encoder, seen, parametrisation="pixel", priors=NONE, learning_rate=0.05, steps=60)
    psnr = -10 * torch.log10((stacked(found) - photos).square().flatten(1).mean(1))
    assert float(psnr.min()) > 35
    again = invert(encoder, seen, parametrisation="pixel", priors=NONE, learning_rate=0.05, steps=60)
    assert torch.equal(stacked(found), stacked(again))


@pytest.mark.parametrize(
    "values",
    [
        dict(start="noise"),
        dict(optimiser="adam", range="projection", parametrisation="pixel"),
        dict(optimiser="adam", range="projection"),
        dict(optimiser="adam", jitter=2),
        dict(parametrisation="deep_image_prior", optimiser="adam", learning_rate=0.02),
    ],
)
def test_the_feature_error_falls(values: dict, encoder: Encoder, seen: torch.Tensor) -> None:
    values = {"learning_rate": 0.05, "steps": 40, **values}
    after = invert(encoder, seen, **values)
    flat = Inverter(encoder, LAYER, settings(), SIZE).errors(torch.full((3, 3, *SIZE), 0.5), seen)
    for one, before in zip(after, flat.tolist(), strict=True):
        assert one.error < 0.7 * before
    measured = Inverter(encoder, LAYER, settings(), SIZE).errors(stacked(after), seen)
    torch.testing.assert_close(measured, torch.tensor([one.error for one in after]), rtol=1e-3, atol=1e-6)


def test_the_search_goes_on_from_its_start(encoder, seen, photos) -> None:
    starts = (photos + 0.02).clamp(0.02, 0.98)
    before = Inverter(encoder, LAYER, settings(), SIZE).errors(starts, seen)
    found = invert(encoder, seen, starts, parametrisation="pixel", steps=1, priors=NONE, learning_rate=1e-6)
    torch.testing.assert_close(torch.tensor([one.error for one in found]), before, rtol=0.05, atol=1e-6)


def test_restarts_keep_the_best_by_feature_error(encoder, seen, monkeypatch) -> None:
    tried = []
    kept = Checkpoint(None, {})
    monkeypatch.setattr(kept, "finish", lambda name, result: tried.append(result["error"]))
    found = invert(encoder, seen, checkpoint=kept, restarts=3, start="noise")
    errors = torch.stack(tried)
    assert len({round(float(error), 9) for error in errors[:, 0]}) == 3  # each begins elsewhere
    assert [one.error for one in found] == errors.min(0).values.tolist()
    assert [one.restart for one in found] == errors.argmin(0).tolist()
    alone = invert(encoder, seen[1:2], keys="b", restarts=3, start="noise")
    assert alone[0].restart == found[1].restart


def test_an_image_that_is_done_stays_as_it_is(encoder, seen) -> None:
    values = dict(parametrisation="pixel", priors=NONE, learning_rate=0.05)
    patient = invert(encoder, seen, **values, steps=100, patience=2, tolerance=0.5)
    assert all(one.converged and one.steps < 100 for one in patient)
    for number, one in enumerate(patient):
        longer = invert(encoder, seen[number : number + 1], keys="abc"[number], **values, steps=one.steps)
        torch.testing.assert_close(longer[0].image, one.image, atol=2e-3, rtol=0)
        assert not longer[0].converged


def test_features_of_another_shape_or_not_finite_are_named(encoder, seen) -> None:
    with pytest.raises(ShardError, match=r"shape \[64, 20, 20\]; relu1_1 of vgg11 has \[64, 32, 32\] for images of 32"):
        invert(encoder, seen[..., :20, :20])
    with pytest.raises(ShardError, match="2 of 196608 features of relu1_1 are not finite"):
        broken = seen.clone()
        broken[0, 0, 0, :2] = math.nan
        invert(encoder, broken)


def test_what_is_never_finite_is_named(encoder, seen, monkeypatch) -> None:
    monkeypatch.setattr(Inverter, "_error", lambda self, images, wanted: images.sum((1, 2, 3)) * math.nan)
    with pytest.raises(TrainingError, match="a: its feature error is never finite"):
        invert(encoder, seen, start="noise")


class KilledError(Exception):
    """Stands for a signal."""


@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
def test_a_killed_search_goes_on_to_the_same_bits(optimiser, encoder, seen, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(checkpoint, "CHECKPOINT_SECONDS", 0.0)
    values = dict(optimiser=optimiser, batch=2, restarts=2, steps=6, learning_rate=0.01)
    whole = invert(encoder, seen, **values)
    path = tmp_path / "checkpoint.pt"
    for after in (2, 5, 9, 16):
        kept = Checkpoint(path, {"row": 1})
        keep, times = kept.keep, 0

        def keep_until(name: str, state: dict, keep=keep, after=after) -> None:
            nonlocal times
            keep(name, state)
            times += 1
            if times == after:
                raise KilledError

        monkeypatch.setattr(kept, "keep", keep_until)
        try:
            found = invert(encoder, seen, checkpoint=kept, **values)
        except KilledError:
            continue
        break
    assert torch.equal(stacked(found), stacked(whole))
    assert [one[1:] for one in found] == [one[1:] for one in whole]
    assert Checkpoint(path, {"row": 2}).data["done"] == {}
    kept.forget()
    assert not path.exists()


def test_settings_that_conflict_are_both_named() -> None:
    wrong = {
        "jitter: 2 .* optimiser: adam": dict(jitter=2),
        "range: projection .* lbfgs": dict(range="projection"),
        "projection .* deep_image_prior": dict(
            parametrisation="deep_image_prior", range="projection", optimiser="adam"
        ),
        "patience: 5 .* jitter: 2": dict(patience=5, jitter=2, optimiser="adam"),
    }
    for text, values in wrong.items():
        with pytest.raises(ValueError, match=text):
            settings(**values)


def test_a_search_compares_features_after_their_defence(encoder: Encoder, photos: torch.Tensor) -> None:
    steps = [{"step": "pool", "factor": 2}, {"step": "drop", "share": 0.25}, {"step": "noise", "strength": 0.3}]
    guarded = copy.copy(encoder)
    guarded.defence = defences.read(steps)
    with torch.no_grad():
        kept = guarded(photos, list("abc"))[LAYER]
    assert kept.shape == (3, 48, 16, 16)
    inverter = Inverter(guarded, LAYER, settings(parametrisation="pixel", priors=NONE, learning_rate=0.05), SIZE)
    found = inverter(list("abc"), kept)
    noise = float(inverter.errors(photos, kept).mean())
    assert 0.02 < noise < 0.1  # what the noise alone makes of the true images
    assert float(inverter.errors(torch.full_like(photos, 0.5), kept).mean()) > 5 * noise
    assert float(inverter.errors(stacked(found), kept).mean()) < 1.1 * noise
