"""What extraction writes: the same bytes, features that fit, and what they take on disk."""

import json
from pathlib import Path
from typing import Any

import pictures
import pytest
import rows
import torch
import webdataset
from rows import LAYERS, observed

from afterimage.core import layout, outputs, shards, weights
from afterimage.core.arrays import SCALE, stored_bytes
from afterimage.core.errors import CheckError, LayerError, ShardError, SpaceError, WeightsError
from afterimage.core.images import to_tensor
from afterimage.observations.features import store
from afterimage.observations.features.encoders import Encoder, trunk
from afterimage.observations.features.writing import write
from afterimage.validation import checks


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return rows.encoder()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Image shards: 8 training samples in two shards, and one shard each of 4."""
    folder = tmp_path_factory.mktemp("images")
    return pictures.shards_of(folder, {"train": [5, 3], "val": [4], "test": [4]}, size=32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Path:
    return rows.features(images, tmp_path_factory.mktemp("features") / "vgg11")


def test_a_folder_a_layer_with_the_same_tars_and_keys(folder: Path, images: Path) -> None:
    for layer, shape in (("relu1_1", [64, 32, 32]), ("relu2_1", [128, 16, 16])):
        index, of_images = shards.load_index(folder / layer), shards.load_index(images)
        assert (index["shape"], index["dtype"], index["weights"]) == (shape, "float16", "abc")
        assert index["images"] == outputs.sha256(images / "index.json")
        for split in of_images["splits"]:
            names = [shard["name"] for shard in index["splits"][split]["shards"]]
            assert names == [shard["name"] for shard in of_images["splits"][split]["shards"]]
            assert shards.Table(folder / layer, split).keys == shards.Table(images, split).keys


def test_stored_features_are_the_network_s(folder: Path, images: Path, encoder: Encoder) -> None:
    pairs = store.FeaturePairs([folder / layer for layer in LAYERS], images, "train")
    with torch.inference_mode():
        expected = encoder(to_tensor(pairs.pixels([6])))
    for found, layer in zip(pairs.features([6]), LAYERS, strict=True):
        assert found.dtype == torch.float16
        torch.testing.assert_close(found.float(), expected[layer], rtol=2e-3, atol=1e-3, check_stride=False)


def test_the_same_bytes_twice_and_any_reader_can_read_them(folder: Path, images: Path, tmp_path: Path) -> None:
    rows.features(images, tmp_path / "again", observed("features"))
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            assert (tmp_path / "again" / path.relative_to(folder)).read_bytes() == path.read_bytes()
    tar = str(folder / "relu2_1/train-000001.tar")
    samples = list(webdataset.WebDataset(tar, shardshuffle=False).decode())
    assert [sample["npy"].shape for sample in samples] == [(128, 16, 16)] * 3


def test_features_that_float16_cannot_hold_are_an_error(images: Path, tmp_path: Path) -> None:
    loud = Encoder("vgg11", ["relu1_1"])
    weights.fit(loud.body, trunk("vgg11", "random", 0, None), "vgg11", optional=loud.uncut)
    with torch.no_grad():
        for parameter in loud.body.parameters():
            parameter.mul_(1e6)
    with pytest.raises(ShardError, match=r"relu1_1: features from .* do not fit into float16; set dtype: float32"):
        rows.features(images, tmp_path / "out", observed("features", layers=["relu1_1"]), loud)
    assert list(tmp_path.iterdir()) == []
    rows.features(images, tmp_path / "out", observed("features", layers=["relu1_1"], dtype="float32"), loud)
    assert shards.load_index(tmp_path / "out/relu1_1")["dtype"] == "float32"


def test_8_bits_say_their_error_and_keep_it(folder: Path, images: Path, encoder: Encoder, tmp_path: Path) -> None:
    for name in ("once", "twice"):
        rows.features(images, tmp_path / name, observed("features", dtype="uint8"))
    for layer, share in (("relu1_1", 0.51), ("relu2_1", 0.51)):
        small = tmp_path / "once" / layer
        index, floats = shards.load_index(small), shards.load_index(folder / layer)
        assert (index["dtype"], index["shape"]) == ("uint8", floats["shape"])
        for split in index["splits"]:
            for shard, wide in zip(index["splits"][split]["shards"], floats["splits"][split]["shards"], strict=True):
                assert shard["bytes"] < share * wide["bytes"] + 20_000
                again = tmp_path / "twice" / layer / shard["name"]
                assert (small / shard["name"]).read_bytes() == again.read_bytes()
        errors, values = [], []
        for split in index["splits"]:
            pairs = store.FeaturePairs([small], images, split)
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
        def forward(self, images: torch.Tensor, keys: Any = None) -> dict[str, torch.Tensor]:
            return {"relu1_1": images.mean((2, 3), keepdim=True).expand(-1, -1, 4, 4)}

    flat = Flat("vgg11", ["relu1_1"])
    rows.features(images, tmp_path / "out", observed("features", dtype="uint8", layers=["relu1_1"]), flat)
    pairs = store.FeaturePairs([tmp_path / "out/relu1_1"], images, "test")
    true = to_tensor(pairs.pixels(range(4))).mean((2, 3), keepdim=True).expand(-1, -1, 4, 4)
    torch.testing.assert_close(pairs.layer(0, range(4)), true, rtol=1e-6, atol=0)
    assert shards.Table(tmp_path / "out/relu1_1", "test", SCALE).keys == pairs.keys


@pytest.mark.parametrize("dtype", ["float16", "float32", "uint8"])
def test_the_bytes_that_are_asked_for_are_those_that_are_written(dtype: str, images: Path, tmp_path: Path) -> None:
    rows.features(images, tmp_path / "out", observed("features", dtype=dtype))
    for layer in LAYERS:
        index = shards.load_index(tmp_path / "out" / layer)
        tars = [shard for split in index["splits"].values() for shard in split["shards"]]
        written = sum(shard["bytes"] for shard in tars)
        needed = stored_bytes(index["shape"], dtype, 16)
        assert needed < written <= needed + len(tars) * 2 * 10_240  # two empty blocks, and up to whole records


def test_a_disk_without_room_is_named_before_anything_is_written(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = outputs.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(outputs.shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    with pytest.raises(SpaceError) as caught:
        rows.features(images, tmp_path / "new/out", observed("features"))
    assert str(caught.value).startswith("features of mine for 16 images: this needs 0.00318 GB, 0.001 GB are free in ")
    assert list((tmp_path / "new").iterdir()) == []
    rows.features(images, tmp_path / "new/out", observed("features", store=False))


@pytest.mark.parametrize("values", [{"dtype": "uint8"}, {"store": False}])
def test_the_gate_knows_8_bits_and_features_that_are_not_stored(
    values: dict[str, Any], images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows.features(images, tmp_path / "out", observed("features", **values))
    counts = checks.check_features("vgg11", "relu2_1", tmp_path / "out/relu2_1", images)["counts"]
    if "store" in values:
        assert counts == {"shape": [128, 16, 16], "dtype": "float16", "stored": False}
        return
    assert counts["error"].keys() == {"relative", "largest"}
    pairs = store.FeaturePairs([tmp_path / "out/relu2_1"], images, "test")
    true = pairs.layer(0, range(4))
    assert counts["splits"]["test"]["highest"] == pytest.approx(float(true.max()), rel=1e-5)
    tar = tmp_path / "out/relu2_1/test-000000.tar"
    tar.write_bytes(tar.read_bytes().replace(b".scale.npy", b".scali.npy"))
    index = json.loads((tmp_path / "out/relu2_1/index.json").read_text())
    index["splits"]["test"]["shards"][0]["sha256"] = outputs.sha256(tar)
    (tmp_path / "out/relu2_1/index.json").write_text(json.dumps(index))
    with pytest.raises(ShardError):
        checks.check_features("vgg11", "relu2_1", tmp_path / "out/relu2_1", images)


def test_each_layer_has_its_encoder_beside_it(folder: Path, images: Path, encoder: Encoder) -> None:
    pixels = to_tensor(store.FeaturePairs([folder / "relu1_1"], images, "test").pixels([0]))
    sizes = {layer: (folder / layer / store.ENCODER).stat().st_size for layer in LAYERS}
    assert sizes["relu1_1"] < 10_000 < sizes["relu2_1"]
    for layer in LAYERS:
        index = shards.load_index(folder / layer)
        cut = store.encoder(folder / layer, [index])
        about = weights.read_about(folder / layer / store.ENCODER)
        assert (about["arch"], about["origin"]) == ("vgg11", "random, seed 0")
        assert torch.equal(cut(pixels)[layer], encoder(pixels)[layer])
    with pytest.raises(WeightsError, match="relu1_1/encoder.safetensors: describes no encoder with these layers"):
        store.encoder(folder / "relu1_1", [shards.load_index(folder / "relu2_1")])


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the weights that the row names."""
    monkeypatch.chdir(tmp_path)
    weights.save(Path("vgg11.safetensors"), trunk("vgg11", "random", 0, None), {"arch": "vgg11", "origin": "mine"})
    return tmp_path


def test_a_row_is_written_behind_its_gate(given: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(observed("features"), "mine", images, Path("out"))
    gates = json.loads(Path("out", layout.GATES).read_text())["gates"]
    assert [(gate["name"], gate["passed"]) for gate in gates] == [
        ("features/vgg11/relu1_1", True),
        ("features/vgg11/relu2_1", True),
    ]
    index = shards.load_index(Path("out/relu2_1"))
    assert (index["kind"], index["observation"], index["encoder"], index["size"]) == ("features", "mine", "vgg11", 32)
    assert index["weights"] == outputs.sha256(Path("vgg11.safetensors"))
    assert (index["arch"], index["weights_origin"]) == ("vgg11", "mine")
    monkeypatch.setattr(Encoder, "forward", lambda self, images, keys=None: dict.fromkeys(LAYERS, images * 0))
    with pytest.raises(CheckError, match=r"features/vgg11/relu1_1: .* not one constant"):
        write(observed("features"), "mine", images, Path("dead"))
    assert not Path("dead").exists()


def test_a_row_without_its_weights_is_named(given: Path, images: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.safetensors: there is no such weights file"):
        write(observed("features", path="none.safetensors"), "mine", images, Path("out"))
    with pytest.raises(LayerError, match="vgg11 has no layer `relu9_9`"):
        write(observed("features", layers=["relu9_9"]), "mine", images, Path("out"))
