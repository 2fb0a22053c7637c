"""Defences of features: what each step does, what it draws by, and that stored and computed features have the same."""

import copy
from pathlib import Path
from typing import Any

import pictures
import pytest
import rows
import torch
from rows import observed
from torch.nn import functional as F

from afterimage.core import params, shards
from afterimage.core.errors import ParamsError
from afterimage.observations import ObservationRow
from afterimage.observations.features import defences, store
from afterimage.observations.features.encoders import Encoder

NOISE: dict[str, Any] = {"step": "noise", "strength": 0.5}
POOL: dict[str, Any] = {"step": "pool", "factor": 2}
DROP: dict[str, Any] = {"step": "drop", "share": 0.25}


def defended(features: torch.Tensor, keys: Any, *steps: dict[str, Any], layer: str = "relu1_1") -> torch.Tensor:
    return defences.defended(features, defences.read(list(steps)), layer, keys)


@pytest.fixture(scope="module")
def features() -> torch.Tensor:
    return torch.randn(3, 8, 40, 40, generator=torch.Generator().manual_seed(0)).relu()


def test_noise_has_the_strength_that_it_says_and_is_drawn_by_key_layer_and_seed(features: torch.Tensor) -> None:
    noisy = defended(features, ["a", "b", "c"], NOISE)
    added = noisy - features
    for each, own in zip(added, features, strict=True):
        assert float(each.std()) == pytest.approx(0.5 * float(own.std()), rel=0.03)
        assert abs(float(each.mean())) < 0.02
    alone = defended(features[1:2], ["b"], NOISE)
    assert torch.equal(alone[0], noisy[1])
    for other in (
        defended(features, ["b", "a", "c"], NOISE),
        defended(features, ["a", "b", "c"], NOISE, layer="relu2_1"),
        defended(features, ["a", "b", "c"], {**NOISE, "seed": 1}),
    ):
        assert not torch.equal(other[0], noisy[0])
    assert torch.equal(defended(features, None, NOISE), features)


def test_pooling_takes_means_and_keeps_the_edge() -> None:
    ramp = torch.arange(15.0).reshape(1, 1, 3, 5)
    wanted = torch.tensor([[3.0, 5.0, 6.5], [10.5, 12.5, 14.0]])
    assert torch.equal(defended(ramp, ["a"], POOL)[0, 0], wanted)


def test_dropping_takes_out_the_same_channels_of_every_image(features: torch.Tensor) -> None:
    fewer = defended(features, ["a", "b", "c"], DROP)
    assert fewer.shape == (3, 6, 40, 40)
    places = [next(place for place in range(8) if torch.equal(features[:, place], each)) for each in fewer.unbind(1)]
    assert places == sorted(set(places))
    assert torch.equal(defended(features[2:], None, DROP), fewer[2:])
    assert not torch.equal(defended(features, None, {**DROP, "seed": 1}), fewer)
    assert defended(features, None, {**DROP, "share": 0.99}).shape[1] == 1


def test_steps_go_in_their_order(features: torch.Tensor) -> None:
    both = defended(features, ["a", "b", "c"], NOISE, POOL)
    assert torch.equal(both, F.avg_pool2d(defended(features, ["a", "b", "c"], NOISE), 2))
    assert defences.described(defences.read([NOISE, POOL, DROP])) == "noise 0.5, pool 2, drop 0.25"
    assert defences.described([]) == ""


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([{"step": "blur", "radius": 2}], "defence"),
        ([{"step": "noise", "strength": 0.0}], "greater than 0"),
        ([{"step": "pool", "factor": 1}], "greater than 1"),
        ([{"step": "drop", "share": 1.0}], "less than 1"),
        ([], "at least 1"),
    ],
)
def test_what_is_no_defence_is_refused_in_one_line(steps: list[Any], said: str) -> None:
    row = {**observed("features").model_dump(exclude={"defence"}), "defence": steps}
    with pytest.raises(ParamsError, match=said) as caught:
        params.typed("params.yaml", row, ObservationRow)
    assert "\n" not in str(caught.value)


# In a store


def encoder(*steps: dict[str, Any]) -> Encoder:
    found = copy.copy(rows.encoder())  # its weights take seconds to draw
    found.defence = defences.read(list(steps))
    return found


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    return pictures.shards_of(folder, {"train": [5, 3], "val": [4], "test": [4]}, size=32)


def test_a_row_without_one_says_nothing_of_it(images: Path, tmp_path: Path) -> None:
    folder = rows.features(images, tmp_path / "plain", observed("features", defence=None))
    index = shards.load_index(folder / "relu1_1")
    assert "defence" not in index
    plain = store.Stored(folder / "relu1_1", images, {})
    guarded = rows.features(images, tmp_path / "guarded", observed("features"), encoder(NOISE))
    assert plain.test_hash("test") != store.Stored(guarded / "relu1_1", images, {}).test_hash("test")


def test_stored_and_computed_features_are_alike_whatever_the_batch(images: Path, tmp_path: Path) -> None:
    steps = [POOL, NOISE, DROP]
    row = {"defence": steps, "dtype": "float32"}
    folders = {
        name: rows.features(images, tmp_path / name, observed("features", **row, **more), encoder(*steps))
        for name, more in {"kept": {}, "large": {"batch": 8}, "alone": {"store": False}}.items()
    }
    index = shards.load_index(folders["kept"] / "relu2_1")
    assert (index["shape"], index["defence"][0]) == ([96, 8, 8], POOL)
    given = {name: store.Stored(folder / "relu2_1", images, {}).pairs("train") for name, folder in folders.items()}
    kept, large = (given[name].features([6, 2])[0] for name in ("kept", "large"))
    torch.testing.assert_close(large, kept, rtol=1e-4, atol=1e-5)
    alone = given["alone"]
    batch = alone.__getitems__([(0, 6), (0, 2)])
    for found in (alone.features([6, 2])[0], alone.observe(batch)[0]):
        torch.testing.assert_close(found, kept, rtol=1e-4, atol=1e-5)


def test_8_bits_come_after_the_defence(images: Path, tmp_path: Path) -> None:
    folder = rows.features(images, tmp_path / "small", observed("features", dtype="uint8"), encoder(DROP))
    index = shards.load_index(folder / "relu1_1")
    assert index["shape"] == [48, 32, 32]
    assert 0 < index["error"]["relative"] < 0.01
    pairs = store.Stored(folder / "relu1_1", images, {}).pairs("test")
    with torch.inference_mode():
        true = encoder(DROP)(pairs.__getitems__([(0, 0)])["images"])["relu1_1"]
    torch.testing.assert_close(pairs.features([0])[0], true, rtol=0, atol=2 * index["error"]["largest"])
