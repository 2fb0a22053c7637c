from pathlib import Path

import numpy as np
import pictures
import pytest
import torch
import webdataset
from torch.utils.data import DataLoader

from afterimage import outputs, shards, weights
from afterimage.errors import ShardError
from afterimage.images import to_tensor
from afterimage.observations import features
from afterimage.observations.encoders import Encoder, EncoderRow, trunk

LAYERS = ["relu1_1", "relu2_1"]


def row(**values) -> EncoderRow:
    plain = dict(
        arch="vgg11", weights="random", sha256=None, seed=0, dataset="mine", layers=LAYERS, dtype="float16", batch=3
    )
    return EncoderRow.model_validate({**plain, **values})


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    encoder = Encoder("vgg11", LAYERS)
    weights.fit(encoder.body, trunk("vgg11", "random", 0, None), "vgg11", optional=encoder.uncut)
    return encoder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Image shards: 8 training samples in two shards, and one shard each of 4."""
    folder = tmp_path_factory.mktemp("images")
    return pictures.shards_of(folder, {"train": [5, 3], "val": [4], "test": [4]}, size=32)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, encoder: Encoder, images: Path) -> Path:
    folder = tmp_path_factory.mktemp("features") / "vgg11"
    features.extract(encoder, row(), "mine", {"weights": "abc"}, images, folder)
    return folder


def test_a_folder_a_layer_with_the_same_tars_and_keys(store: Path, images: Path) -> None:
    for layer, shape in (("relu1_1", [64, 32, 32]), ("relu2_1", [128, 16, 16])):
        index, of_images = shards.load_index(store / layer), shards.load_index(images)
        assert (index["shape"], index["dtype"], index["weights"]) == (shape, "float16", "abc")
        assert index["images"] == outputs.sha256(images / "index.json")
        for split in of_images["splits"]:
            names = [shard["name"] for shard in index["splits"][split]["shards"]]
            assert names == [shard["name"] for shard in of_images["splits"][split]["shards"]]
            assert shards.Table(store / layer, split).keys == shards.Table(images, split).keys


def test_stored_features_are_the_network_s(store: Path, images: Path, encoder: Encoder) -> None:
    pairs = features.FeaturePairs([store / layer for layer in LAYERS], images, "train")
    with torch.inference_mode():
        expected = encoder(to_tensor(pairs.pixels([6])))
    for found, layer in zip(pairs.features([6]), LAYERS, strict=True):
        assert found.dtype == torch.float16
        torch.testing.assert_close(found.float(), expected[layer], rtol=2e-3, atol=1e-3, check_stride=False)


def test_the_same_bytes_twice_and_any_reader_can_read_them(
    store: Path, images: Path, encoder: Encoder, tmp_path
) -> None:
    features.extract(encoder, row(), "mine", {"weights": "abc"}, images, tmp_path / "again")
    for path in sorted(store.rglob("*")):
        if path.is_file():
            assert (tmp_path / "again" / path.relative_to(store)).read_bytes() == path.read_bytes()
    tar = str(store / "relu2_1/train-000001.tar")
    samples = list(webdataset.WebDataset(tar, shardshuffle=False).decode())
    assert [sample["npy"].shape for sample in samples] == [(128, 16, 16)] * 3


def test_features_that_float16_cannot_hold_are_an_error(images: Path, tmp_path: Path) -> None:
    loud = Encoder("vgg11", ["relu1_1"])
    weights.fit(loud.body, trunk("vgg11", "random", 0, None), "vgg11", optional=loud.uncut)
    with torch.no_grad():
        for parameter in loud.body.parameters():
            parameter.mul_(1e6)
    with pytest.raises(ShardError, match=r"relu1_1: features from .* do not fit into float16; set dtype: float32"):
        features.extract(loud, row(layers=["relu1_1"]), "mine", {}, images, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    features.extract(loud, row(layers=["relu1_1"], dtype="float32"), "mine", {}, images, tmp_path / "out")
    assert shards.load_index(tmp_path / "out/relu1_1")["dtype"] == "float32"


def test_pairs_join_by_key(store: Path, images: Path, tmp_path: Path) -> None:
    pairs = features.FeaturePairs([store / "relu2_1"], images, "train")
    batch = pairs.__getitems__([(0, 7), (0, 2)])
    assert batch["images"].shape == (2, 3, 32, 32)
    np.testing.assert_array_equal((batch["images"] * 255).round().byte().movedim(1, -1).numpy(), pairs.pixels([7, 2]))
    other = pictures.shards_of(tmp_path / "other", {"train": [5, 3], "val": [4], "test": [4]}, size=32, prefix="b")
    with pytest.raises(ShardError, match="train does not match .* found train_a0000, expected train_b0000"):
        features.FeaturePairs([store / "relu2_1"], other, "train")


def test_pairs_cross_into_the_workers_of_a_loader(store: Path, images: Path) -> None:
    pairs = features.FeaturePairs([store / "relu2_1"], images, "train")
    order = [[(0, 3), (0, 1)], [(0, 7), (0, 0)]]
    here = [pairs.__getitems__(positions) for positions in order]
    loader = DataLoader(pairs, batch_sampler=order, collate_fn=lambda batch: batch, num_workers=2)
    for expected, found in zip(here, loader, strict=True):
        assert torch.equal(expected["images"], found["images"])
        assert torch.equal(expected["features"][0], found["features"][0])


@pytest.mark.parametrize("data", [b"", b"not an array", features.to_npy(np.zeros(3))[:-1], b"\x93NUMPY\x01\x00"])
def test_damaged_arrays_are_named(data: bytes) -> None:
    with pytest.raises(ShardError, match="cat: not an array"):
        features.from_npy(data, "cat")


def test_npy_is_numpy_s_own(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.float16).reshape(2, 3, 4)
    path = tmp_path / "x.npy"
    path.write_bytes(features.to_npy(array))
    np.testing.assert_array_equal(np.load(path), array)
    np.testing.assert_array_equal(features.from_npy(path.read_bytes(), "x"), array)
