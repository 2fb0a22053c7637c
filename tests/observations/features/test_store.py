"""Features beside their images, joined by key, stored or computed when they are needed."""

from pathlib import Path

import numpy as np
import pictures
import pytest
import rows
import torch
from rows import LAYERS, observed
from torch.utils.data import DataLoader

from afterimage.core import shards
from afterimage.core.errors import LayerError, ParamsError, ShardError
from afterimage.core.images import decode
from afterimage.observations.features import Features, store

MEMORY = (torch.contiguous_format, torch.channels_last)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Image shards: 8 training samples in two shards, and one shard each of 4."""
    folder = tmp_path_factory.mktemp("images")
    return pictures.shards_of(folder, {"train": [5, 3], "val": [4], "test": [4]}, size=32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Path:
    return rows.features(images, tmp_path_factory.mktemp("features") / "vgg11")


def test_pairs_join_by_key(folder: Path, images: Path, tmp_path: Path) -> None:
    pairs = store.FeaturePairs([folder / "relu2_1"], images, "train")
    batch = pairs.__getitems__([(0, 7), (0, 2)])
    assert batch["images"].shape == (2, 3, 32, 32)
    np.testing.assert_array_equal((batch["images"] * 255).round().byte().movedim(1, -1).numpy(), pairs.pixels([7, 2]))
    other = pictures.shards_of(tmp_path / "other", {"train": [5, 3], "val": [4], "test": [4]}, size=32, prefix="b")
    with pytest.raises(ShardError, match="train does not match .* found train_a0000, expected train_b0000"):
        store.FeaturePairs([folder / "relu2_1"], other, "train")


def test_pairs_cross_into_the_workers_of_a_loader(folder: Path, images: Path) -> None:
    pairs = store.FeaturePairs([folder / "relu2_1"], images, "train")
    order = [[(0, 3), (0, 1)], [(0, 7), (0, 0)]]
    here = [pairs.__getitems__(positions) for positions in order]
    loader = DataLoader(pairs, batch_sampler=order, collate_fn=lambda batch: batch, num_workers=2)
    for expected, found in zip(here, loader, strict=True):
        assert torch.equal(expected["images"], found["images"])
        assert torch.equal(expected["features"][0], found["features"][0])


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Path:
    """The same row without storing."""
    return rows.features(images, tmp_path_factory.mktemp("alone") / "vgg11", observed("features", store=False))


@pytest.mark.parametrize("dtype", ["float16", "float32", "uint8"])
def test_how_features_lie_in_memory_changes_no_stored_bit(dtype: str) -> None:
    values = torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(0))
    values[0, 1] = 7.0  # a channel without a range
    plain, last = (store.kept("a", values.contiguous(memory_format=memory), dtype) for memory in MEMORY)
    assert plain.values.tobytes() == last.values.tobytes() and plain.values.shape == (2, 5, 3, 4)
    if dtype == "uint8":
        assert plain.scales is not None and last.scales is not None
        assert plain.scales.tobytes() == last.scales.tobytes()
        steps = torch.from_numpy(plain.scales[:, 0, :, None, None])
        assert ((plain.read() - values).abs() <= steps * 0.501 + 1e-6).all()
    else:
        assert torch.equal(plain.read(), values.to(getattr(torch, dtype)))


def test_features_that_are_not_stored_are_computed(alone: Path, folder: Path, images: Path) -> None:
    folders = [alone / layer for layer in LAYERS]
    assert {path.name for folder in folders for path in folder.iterdir()} == {"index.json", "encoder.safetensors"}
    assert shards.load_index(folders[1])["shape"] == [128, 16, 16]
    encoder = store.encoder(folders[1], [shards.load_index(folder) for folder in folders])
    computed = store.FeaturePairs(folders, images, "train", encoder)
    stored = store.FeaturePairs([folder / layer for layer in LAYERS], images, "train", encoder)
    assert stored.encoder is None
    batch = computed.__getitems__([(0, 3), (0, 1)])
    assert batch.keys() == {"images", "keys"}
    ways = zip(computed.features([3, 1]), computed.observe(batch), stored.features([3, 1]), strict=True)
    for asked, seen, wanted in ways:
        assert asked.dtype == seen.dtype == wanted.dtype == torch.float16
        for found in (asked, seen):
            torch.testing.assert_close(found, wanted, rtol=2e-3, atol=1e-4)


def test_features_that_cannot_be_computed_say_why(alone: Path, images: Path, tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="these features are not stored, and there is no encoder"):
        store.FeaturePairs([alone / "relu1_1"], images, "train")
    other = pictures.shards_of(tmp_path / "other", {"train": [2], "val": [1], "test": [1]})
    with pytest.raises(ShardError, match="features of another version of"):
        store.FeaturePairs([alone / "relu1_1"], other, "train", rows.encoder())


# What a reconstructor observes


@pytest.mark.parametrize("kept", [True, False])
def test_the_features_of_test_images_come_in_batches_beside_them(
    kept: bool, folder: Path, alone: Path, images: Path
) -> None:
    given = store.Stored(folder if kept else alone, images, {"layers": LAYERS[::-1]})
    assert (given.cases(), given.size, given.layers) == (["test"], 32, LAYERS[::-1])
    assert [index["layer"] for index in given.indices] == given.layers
    truth = {key: np.asarray(decode(data)) for key, data, _ in shards.read(images, "test")}
    pairs = store.FeaturePairs([folder / layer for layer in LAYERS[::-1]], images, "test")
    batches = list(given.given("test", 3))
    assert [batch.keys for batch in batches] == [pairs.keys[:3], pairs.keys[3:]]
    for batch in batches:
        places = [pairs.keys.index(key) for key in batch.keys]
        np.testing.assert_array_equal(batch.originals, np.stack([truth[key] for key in batch.keys]))
        observation = batch.observation
        assert isinstance(observation, Features)
        assert (observation.keys, observation.size) == (batch.keys, (32, 32))
        for found, wanted in zip(observation.layers, pairs.features(places), strict=True):
            torch.testing.assert_close(found, wanted, rtol=2e-3, atol=1e-4)
    chosen = [pairs.keys[3], pairs.keys[1]]
    assert [batch.keys for batch in given.given("test", 1, chosen)] == [[pairs.keys[1]], [pairs.keys[3]]]


def test_one_layer_or_several_of_an_encoder(folder: Path, images: Path) -> None:
    single = store.Stored(folder / "relu1_1", images, {"layers": None})
    assert (single.layers, single.carried) == (["relu1_1"], [folder / "relu1_1/encoder.safetensors"])
    both = store.Stored(folder, images, {"layers": LAYERS})
    assert both.carried == [folder / "relu2_1/encoder.safetensors"]  # it reaches all layers before
    assert set(both.encoder()(torch.rand(1, 3, 32, 32))) == set(LAYERS)
    with pytest.raises(ParamsError, match="expected the folder of a layer, or `layers` of it in the row"):
        store.Stored(folder, images, {})
    with pytest.raises(ParamsError, match=r"holds relu1_1, but the row has layers: \['relu2_1'\]"):
        store.Stored(folder / "relu1_1", images, {"layers": ["relu2_1"]})
    with pytest.raises(LayerError, match="vgg11 has no layer `relu9_9`; it has conv1_1, relu1_1"):
        store.Stored(folder, images, {"layers": ["relu9_9"]})
    with pytest.raises(ShardError, match=r"relu3_1/index\.json: there is no such index"):
        store.Stored(folder, images, {"layers": ["relu3_1"]})


def test_a_layer_goes_by_any_of_its_names(folder: Path, images: Path) -> None:
    single = store.Stored(folder / "block2_conv1", images, {"layers": ["features.4"]})
    assert single.folders == [folder / "relu2_1"] and single.layers == ["relu2_1"]
    both = store.Stored(folder, images, {"layers": ["features.1", "block2_conv1"]})
    assert both.layers == LAYERS
    with pytest.raises(ParamsError, match=r"holds relu2_1, but the row has layers: \['block1_conv1'\]"):
        store.Stored(folder / "relu2_1", images, {"layers": ["block1_conv1"]})
    assert store.located(folder.parent / "gone") == folder.parent / "gone"


def test_rows_that_contradict_themselves() -> None:
    with pytest.raises(ValueError, match="nothing on disk"):
        observed("features", dtype="uint8", store=False)
    with pytest.raises(ValueError, match="a layer is listed twice"):
        observed("features", layers=["a", "a"])
    for change in ({"layers": []}, {"batch": 0}, {"dtype": "int8"}):
        with pytest.raises(ValueError):
            observed("features", **change)
    assert observed("features", path="data/weights/mine.safetensors").encoder == "mine"
