import json
from pathlib import Path

import numpy as np
import pictures
import pytest
import torch
import webdataset
from torch.utils.data import DataLoader

from afterimage.core import outputs, shards, weights
from afterimage.core.errors import ShardError, SpaceError
from afterimage.core.images import to_tensor
from afterimage.datasets import checks
from afterimage.observations.features import store as features
from afterimage.core.arrays import SCALE, from_npy, stored_bytes, to_npy
from afterimage.observations.features.encoders import Encoder, EncoderRow, trunk

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


@pytest.mark.parametrize("data", [b"", b"not an array", to_npy(np.zeros(3))[:-1], b"\x93NUMPY\x01\x00"])
def test_damaged_arrays_are_named(data: bytes) -> None:
    with pytest.raises(ShardError, match="cat: not an array"):
        from_npy(data, "cat")


def test_npy_is_numpy_s_own(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.float16).reshape(2, 3, 4)
    path = tmp_path / "x.npy"
    path.write_bytes(to_npy(array))
    np.testing.assert_array_equal(np.load(path), array)
    np.testing.assert_array_equal(from_npy(path.read_bytes(), "x"), array)


# Size on disk


def test_8_bits_say_their_error_and_keep_it(store: Path, images: Path, encoder: Encoder, tmp_path: Path) -> None:
    about = {"weights": "abc"}
    for name in ("once", "twice"):
        features.extract(encoder, row(dtype="uint8"), "mine", about, images, tmp_path / name)
    for layer, share in (("relu1_1", 0.51), ("relu2_1", 0.51)):
        folder = tmp_path / "once" / layer
        index, floats = shards.load_index(folder), shards.load_index(store / layer)
        assert (index["dtype"], index["shape"]) == ("uint8", floats["shape"])
        for split in index["splits"]:
            for shard, wide in zip(index["splits"][split]["shards"], floats["splits"][split]["shards"], strict=True):
                assert shard["bytes"] < share * wide["bytes"] + 20_000
                assert (folder / shard["name"]).read_bytes() == (
                    tmp_path / "twice" / layer / shard["name"]
                ).read_bytes()
        errors, values = [], []
        for split in index["splits"]:
            pairs = features.FeaturePairs([folder], images, split)
            positions = range(len(pairs))
            with torch.inference_mode():
                true = encoder(to_tensor(pairs.pixels(positions)))[layer]
            found = pairs.layer(0, positions)
            assert found.dtype == torch.float32
            steps = (true.amax((2, 3), keepdim=True) - true.amin((2, 3), keepdim=True)) / 255
            assert bool(((found - true).abs() <= 0.501 * steps + 1e-6).all())
            errors.append((found - true).flatten())
            values.append(true.flatten())
        off, true = torch.cat(errors), torch.cat(values)
        assert index["error"]["largest"] == pytest.approx(float(off.abs().max()), rel=0.01)
        relative = float(off.square().mean().sqrt() / true.square().mean().sqrt())
        assert index["error"]["relative"] == pytest.approx(relative, rel=0.01)
        assert 0 < relative < 0.01


def test_a_channel_that_is_one_value_comes_back_exactly(images: Path, tmp_path: Path) -> None:
    class Flat(Encoder):
        def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"relu1_1": images.mean((2, 3), keepdim=True).expand(-1, -1, 4, 4)}

    flat = Flat("vgg11", ["relu1_1"])
    features.extract(flat, row(dtype="uint8", layers=["relu1_1"]), "mine", {}, images, tmp_path / "out")
    pairs = features.FeaturePairs([tmp_path / "out/relu1_1"], images, "test")
    true = to_tensor(pairs.pixels(range(4))).mean((2, 3), keepdim=True).expand(-1, -1, 4, 4)
    torch.testing.assert_close(pairs.layer(0, range(4)), true, rtol=1e-6, atol=0)
    assert shards.Table(tmp_path / "out/relu1_1", "test", SCALE).keys == pairs.keys


@pytest.mark.parametrize("dtype", ["float16", "float32", "uint8"])
def test_the_bytes_that_are_asked_for_are_those_that_are_written(
    dtype: str, images: Path, encoder: Encoder, tmp_path: Path
) -> None:
    features.extract(encoder, row(dtype=dtype), "mine", {}, images, tmp_path / "out")
    for layer in LAYERS:
        index = shards.load_index(tmp_path / "out" / layer)
        tars = [shard for split in index["splits"].values() for shard in split["shards"]]
        written = sum(shard["bytes"] for shard in tars)
        needed = stored_bytes(index["shape"], dtype, 16)
        assert needed < written <= needed + len(tars) * 2 * 10_240  # two empty blocks, and up to whole records


def test_a_disk_without_room_is_named_before_anything_is_written(
    images: Path, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = outputs.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(outputs.shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    with pytest.raises(SpaceError) as caught:
        features.extract(encoder, row(), "mine", {}, images, tmp_path / "new/out")
    assert str(caught.value).startswith("features of mine for 16 images: this needs 0.00318 GB, 0.001 GB are free in ")
    assert not (tmp_path / "new").exists()
    features.extract(encoder, row(store=False), "mine", {}, images, tmp_path / "new/out")


@pytest.fixture(scope="module")
def index_alone(tmp_path_factory: pytest.TempPathFactory, encoder: Encoder, images: Path) -> Path:
    """The same row without storing, with the weights that it names."""
    root = tmp_path_factory.mktemp("alone")
    weights.save(root / "vgg11.safetensors", trunk("vgg11", "random", 0, None), {"origin": "random, seed 0"})
    about = {"arch": "vgg11", "weights": outputs.sha256(root / "vgg11.safetensors")}
    features.extract(encoder, row(store=False), "mine", about, images, root / "vgg11")
    return root


def test_features_that_are_not_stored_are_computed(index_alone: Path, store: Path, images: Path) -> None:
    folders = [index_alone / "vgg11" / layer for layer in LAYERS]
    assert {path.name for folder in folders for path in folder.iterdir()} == {"index.json"}
    assert shards.load_index(folders[1])["shape"] == [128, 16, 16]
    encoder = features.encoder_of(folders, index_alone / "vgg11.safetensors")
    computed = features.FeaturePairs(folders, images, "train", encoder)
    stored = features.FeaturePairs([store / layer for layer in LAYERS], images, "train")
    batch = computed.__getitems__([(0, 3), (0, 1)])
    assert batch.keys() == {"images"}
    ways = zip(computed.features([3, 1]), computed.observe(batch), stored.features([3, 1]), strict=True)
    for asked, observed, wanted in ways:
        assert asked.dtype == observed.dtype == wanted.dtype == torch.float16
        for found in (asked, observed):
            torch.testing.assert_close(found, wanted, rtol=2e-3, atol=1e-4)
    assert features.encoder_of([store / "relu1_1"], index_alone / "vgg11.safetensors") is None


def test_features_that_cannot_be_computed_say_why(
    index_alone: Path, images: Path, encoder: Encoder, tmp_path: Path
) -> None:
    folder = index_alone / "vgg11/relu1_1"
    with pytest.raises(ShardError, match="these features are not stored, and there is no encoder"):
        features.FeaturePairs([folder], images, "train")
    other = pictures.shards_of(tmp_path / "other", {"train": [2], "val": [1], "test": [1]})
    with pytest.raises(ShardError, match="features of another version of"):
        features.FeaturePairs([folder], other, "train", encoder)
    weights.save(tmp_path / "w.safetensors", trunk("vgg11", "random", 1, None), {"origin": "random, seed 1"})
    with pytest.raises(ShardError, match="w.safetensors: its sha256 is .*, expected"):
        features.encoder_of([folder], tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="nothing on disk"):
        row(dtype="uint8", store=False)


@pytest.mark.parametrize("values", [{"dtype": "uint8"}, {"store": False}])
def test_the_gate_knows_8_bits_and_features_that_are_not_stored(
    values: dict, images: Path, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    features.extract(encoder, row(**values), "mine", {}, images, tmp_path / "out")
    checks.check_features("mine", "relu2_1", tmp_path / "out/relu2_1", images, tmp_path / "result.json")
    counts = json.loads((tmp_path / "result.json").read_text())["counts"]
    if "store" in values:
        assert counts == {"shape": [128, 16, 16], "dtype": "float16", "stored": False}
        return
    assert counts["error"].keys() == {"relative", "largest"}
    pairs = features.FeaturePairs([tmp_path / "out/relu2_1"], images, "test")
    true = pairs.layer(0, range(4))
    assert counts["splits"]["test"]["highest"] == pytest.approx(float(true.max()), rel=1e-5)
    tar = tmp_path / "out/relu2_1/test-000000.tar"
    tar.write_bytes(tar.read_bytes().replace(b".scale.npy", b".scali.npy"))
    index = json.loads((tmp_path / "out/relu2_1/index.json").read_text())
    index["splits"]["test"]["shards"][0]["sha256"] = outputs.sha256(tar)
    (tmp_path / "out/relu2_1/index.json").write_text(json.dumps(index))
    with pytest.raises(ShardError):
        checks.check_features("mine", "relu2_1", tmp_path / "out/relu2_1", images, tmp_path / "result.json")
