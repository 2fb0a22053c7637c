import csv
import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pictures
import pytest
import torch

from afterimage.apply import inversions
from afterimage.core import shards, weights
from afterimage.core.errors import ParamsError, ShardError, TrainingError
from afterimage.core.images import decode, to_tensor
from afterimage.evaluation import results
from afterimage.evaluation.evaluating import VALUES
from afterimage.observations.features import store as features
from afterimage.observations.features.encoders import Encoder, EncoderRow, trunk
from afterimage.reconstructors.decoder import network as decoder
from afterimage.reconstructors.inversion import checkpoint
from afterimage.reconstructors.inversion import row as inversion
from afterimage.reconstructors.inversion.checkpoint import Checkpoint
from afterimage.reconstructors.inversion.row import InversionRow, spread
from afterimage.reconstructors.inversion.search import Found, Inverter, Settings

SIZE = (32, 32)
NONE = {
    "total_variation": {"weight": 0.0, "exponent": 1.0},
    "alpha_norm": {"weight": 0.0, "alpha": 6.0},
    "gaussian": {"weight": 0.0},
}
LAYER = "relu1_1"


def settings(**values) -> Settings:
    plain = {**inversions.DEFAULTS, "steps": 8, "patience": None, "device": "cpu", "batch": 3}
    return Settings.model_validate({**plain, **values})


def row(**values) -> InversionRow:
    names = dict(dataset="mine", encoder="vgg11", layer=LAYER, features=f"vgg11/{LAYER}", decoder="mine", images=3)
    return InversionRow.model_validate({**settings().model_dump(), **names, **values})


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    encoder = Encoder("vgg11", [LAYER, "relu2_1"])
    weights.fit(encoder.body, trunk("vgg11", "random", 0, None), "vgg11", optional=encoder.uncut)
    return encoder


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


# The search


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
    with pytest.raises(ValueError, match=f"features should be 'vgg11/{LAYER}'"):
        row(features="vgg11/relu2_1")


def test_images_are_spread_over_sorted_keys() -> None:
    assert [list("dacb")[place] for place in spread(list("dacb"), 2)] == ["b", "d"]
    assert spread(list("ab"), 5) == [0, 1]


# The row


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, encoder: Encoder) -> Path:
    """Shards, features and a decoder as the stages before leave them."""
    root = tmp_path_factory.mktemp("store")
    pictures.shards_of(root / "shards", {"train": [16], "val": [4], "test": [6]}, size=32)
    plain = dict(
        arch="vgg11", weights="random", sha256=None, seed=0, dataset="mine", layers=[LAYER, "relu2_1"], dtype="float16"
    )
    about = {"arch": "vgg11", "weights": "abc", "weights_origin": "random, seed 0"}
    encoded = EncoderRow.model_validate({**plain, "batch": 8})
    features.extract(encoder, encoded, "vgg11", about, root / "shards", root / "vgg11")
    training = dict(epochs=2, batch=4, learning_rate=0.003, schedule="constant", weight_decay=0.0, patience=None)
    training |= dict(precision="float32", device="cpu", workers=0, seed=0)
    learned = decoder.DecoderRow.model_validate(
        dict(
            dataset="mine",
            encoder="vgg11",
            layers=[LAYER],
            features=f"vgg11/{LAYER}",
            arch="upconv",
            width=8,
            loss=dict(pixel=1.0, perceptual=0.0, total_variation=0.0),
            training=training,
        )
    )
    decoder.train("mine", learned, [root / "vgg11" / LAYER], root / "shards", None, root / "model", root / "state")
    return root


def reconstructed(store: Path, out: Path, encoder: Encoder, mine: InversionRow) -> list[str]:
    places = inversion.Places(
        store / "vgg11" / mine.layer, store / "shards", store / "model", out, out.parent / "state"
    )
    return inversion.reconstruct("mine", mine, encoder, places)


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_row_gives_all_methods_and_the_same_bytes_twice(store, encoder, tmp_path, capsys) -> None:
    found = [reconstructed(store, tmp_path / name, encoder, row()) for name in "ab"]
    assert "mine hybrid: 3 of 3 searches not converged after 8 steps" in capsys.readouterr().out
    keys = shards.Table(store / "shards", "test").keys
    assert found == [[keys[1], keys[3], keys[5]]] * 2
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    assert set(json.loads((tmp_path / "state/seconds.json").read_text())["seconds_an_image"]) == set(inversion.METHODS)
    errors = {}
    for method in inversion.METHODS:
        table = shards.Table(tmp_path / "a" / method, "test")
        assert table.keys == found[0]
        assert all(decode(table.bytes(place)).size == (32, 32) for place in range(3))
        with (tmp_path / "a" / method / VALUES).open(newline="") as stream:
            lines = list(csv.DictReader(stream))
        assert [line["key"] for line in lines] == found[0]
        errors[method] = [float(line["feature_error"]) for line in lines]
        assert [line.get("steps") for line in lines] == [None if method == "decoder" else "8"] * 3
    assert all(hybrid < learned for hybrid, learned in zip(errors["hybrid"], errors["decoder"], strict=True))


def test_the_report_knows_every_method() -> None:
    assert tuple(results.INVERSIONS) == inversion.METHODS


def test_a_row_that_does_not_fit_is_named(store, encoder, tmp_path) -> None:
    with pytest.raises(ParamsError, match="inversions.mine.dataset: 'other', but the features of vgg11 are of 'mine'"):
        reconstructed(store, tmp_path / "out", encoder, row(dataset="other"))
    deeper = row(layer="relu2_1", features="vgg11/relu2_1")
    with pytest.raises(ParamsError, match=r"decoder: 'model' decodes vgg11/relu1_1, expected vgg11/relu2_1"):
        reconstructed(store, tmp_path / "out", encoder, deeper)
    assert not (tmp_path / "out").exists()
