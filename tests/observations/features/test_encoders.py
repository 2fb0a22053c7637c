import hashlib
from pathlib import Path

import pictures
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import get_model

from afterimage.core import weights
from afterimage.core.errors import LayerError, WeightsError
from afterimage.observations.features.encoders import IMAGENET_MEAN, IMAGENET_STD, Encoder, EncoderRow, trunk


@pytest.fixture(scope="module")
def vgg() -> Encoder:
    encoder = Encoder("vgg11", ["relu1_1", "conv2_1", "block2_conv1", "pool2"])
    weights.fit(encoder.body, trunk("vgg11", "random", 0, None), "vgg11", optional=encoder.uncut)
    return encoder


@pytest.fixture(scope="module")
def checkpoint() -> dict[str, torch.Tensor]:
    return dict(get_model("resnet18", weights=None).state_dict())


def saved(tmp_path: Path, state: dict[str, torch.Tensor], name: str = "mine.pth") -> tuple[str, str]:
    path = tmp_path / name
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return str(path), hashlib.sha256(path.read_bytes()).hexdigest()


def test_names_of_the_literature_mean_the_nodes_they_should(vgg: Encoder) -> None:
    assert vgg.nodes == {
        "relu1_1": "features.1",
        "conv2_1": "features.3",
        "block2_conv1": "features.4",
        "pool2": "features.5",
    }
    resnet = Encoder("resnet50", ["layer2", "conv3_block4_out", "layer2.0.relu"])
    assert resnet.nodes == {"layer2": "layer2", "conv3_block4_out": "layer2.3", "layer2.0.relu": "layer2.0.relu"}


def test_features_are_those_of_the_whole_network(vgg: Encoder) -> None:
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = get_model("vgg11", weights=None).eval()
    mean, std = torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), torch.tensor(IMAGENET_STD).view(1, 3, 1, 1)
    with torch.inference_mode():
        found = vgg(images)
        first = network.features[0]((images - mean) / std)
        before = network.features[3](network.features[2](first.relu()))
        expected = {
            "relu1_1": first.relu(),
            "conv2_1": before,
            "block2_conv1": before.relu(),
            "pool2": network.features[5](before.relu()),
        }
    assert set(found) == set(expected)
    for layer, values in expected.items():
        torch.testing.assert_close(found[layer].contiguous(), values.contiguous(), rtol=1e-4, atol=1e-5)
    assert found["conv2_1"].min() < 0 <= found["block2_conv1"].min()  # the tap before a ReLU does not see its output


def test_the_network_is_cut_after_the_deepest_layer(vgg: Encoder) -> None:
    assert not any(isinstance(module, nn.Linear) for module in vgg.body.modules())
    assert {key.split(".")[1] for key in vgg.body.state_dict()} == {"0", "3"}


def test_any_torchvision_network_goes_by_its_node_names() -> None:
    encoder = Encoder("squeezenet1_1", ["features.2", "features.5"])
    encoder.body.load_state_dict(trunk("squeezenet1_1", "random", 0, None), strict=False)
    found = encoder(torch.rand(1, 3, 64, 64))
    assert {layer: values.shape[1] for layer, values in found.items()} == {"features.2": 64, "features.5": 128}


@pytest.mark.parametrize(
    ("arch", "layer", "words"),
    [
        ("vgg11", "relu9_9", ["vgg11 has no layer `relu9_9`", "relu1_1", "block5_conv2"]),
        ("resnet18", "layer7", ["resnet18 has no layer `layer7`", "layer1", "layer4"]),
        ("resnet51", "layer1", ["no network `resnet51`", "resnet50"]),
    ],
)
def test_a_layer_that_is_not_there_names_those_that_are(arch: str, layer: str, words: list[str]) -> None:
    with pytest.raises(LayerError) as error:
        Encoder(arch, [layer])
    assert all(word in str(error.value) for word in words)


def test_random_weights_follow_from_the_seed_alone() -> None:
    torch.manual_seed(5)
    one = trunk("resnet18", "random", 3, None)
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1))  # the caller's generator was left alone
    again, other = trunk("resnet18", "random", 3, None), trunk("resnet18", "random", 4, None)
    assert torch.equal(one["layer1.0.conv1.weight"], again["layer1.0.conv1.weight"])
    assert not torch.equal(one["layer1.0.conv1.weight"], other["layer1.0.conv1.weight"])
    assert "fc.weight" not in one


@pytest.mark.parametrize("name", ["mine.pth", "mine.safetensors"])
def test_a_checkpoint_goes_in_with_or_without_its_classifier(tmp_path: Path, checkpoint, name: str) -> None:
    path, sha256 = saved(tmp_path, checkpoint, name)
    state = trunk("resnet18", path, 0, sha256)
    assert torch.equal(state["layer3.0.conv1.weight"], checkpoint["layer3.0.conv1.weight"])
    headless = {key: value for key, value in checkpoint.items() if not key.startswith("fc.")}
    path, sha256 = saved(tmp_path, headless, f"headless-{name}")
    assert trunk("resnet18", path, 0, sha256).keys() == state.keys()


def test_checkpoints_that_do_not_fit_say_why(tmp_path: Path, checkpoint) -> None:
    def message(state: dict[str, torch.Tensor], **changes: str) -> str:
        path, sha256 = saved(tmp_path, state)
        with pytest.raises(WeightsError) as error:
            trunk("resnet18", changes.get("path", path), 0, changes.get("sha256", sha256))
        return str(error.value)

    missing = {key: value for key, value in checkpoint.items() if key != "layer2.0.conv1.weight"}
    assert "missing, the first `layer2.0.conv1.weight`" in message(missing)
    assert "unknown, the first `module.x`" in message({**checkpoint, "module.x": torch.zeros(1)})
    assert "`conv1.weight` has shape [1], expected [64, 3, 7, 7]" in message(
        {**checkpoint, "conv1.weight": torch.zeros(1)}
    )
    assert "expected abc" in message(checkpoint, sha256="abc")
    assert "there is no such weights file" in message(checkpoint, path=str(tmp_path / "gone.pth"))


def test_a_pickle_with_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.pth"
    torch.save({"weight": nn.Linear(1, 1)}, path)
    with pytest.raises(WeightsError, match="not weights that can be read safely"):
        trunk("resnet18", str(path), 0, hashlib.sha256(path.read_bytes()).hexdigest())


def test_imagenet_weights_come_from_where_torchvision_keeps_them(tmp_path: Path, checkpoint, monkeypatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub/checkpoints"
    folder.mkdir(parents=True)
    path, sha256 = saved(tmp_path, checkpoint)
    from torchvision.models import ResNet18_Weights

    place = folder / f"resnet18-{sha256[:8]}.pth"
    url = f"https://weights.invalid/{place.name}"
    monkeypatch.setattr(ResNet18_Weights.IMAGENET1K_V1.value, "url", url)
    place.write_bytes(Path(path).read_bytes())
    state = trunk("resnet18", "IMAGENET1K_V1", 0, None)
    assert torch.equal(state["conv1.weight"], checkpoint["conv1.weight"])
    place.write_bytes(b"something else")
    with pytest.raises(WeightsError, match=f"expected {sha256[:8]}"):
        trunk("resnet18", "IMAGENET1K_V1", 0, None)
    place.unlink()
    with pytest.raises(WeightsError, match="without a network, place the file in"):
        trunk("resnet18", "IMAGENET1K_V1", 0, None)


def test_weights_that_torchvision_does_not_have() -> None:
    with pytest.raises(WeightsError, match="no weights `DEFAULT` for resnet50; it has IMAGENET1K_V1, IMAGENET1K_V2"):
        trunk("resnet50", "DEFAULT", 0, None)
    with pytest.raises(WeightsError, match="vgg16 IMAGENET1K_FEATURES is for images with mean"):
        trunk("vgg16", "IMAGENET1K_FEATURES", 0, None)


def test_each_name_has_its_own_file(tmp_path: Path, monkeypatch) -> None:
    """Of the second version of ResNet-50's weights, under torchvision's own name, only the hash can be wrong."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub/checkpoints"
    pictures.folder(folder, {"resnet50-11ad3fa6.pth": b"", "resnet50-0676ba61.pth": b""})
    for name, file in (("IMAGENET1K_V1", "resnet50-0676ba61"), ("IMAGENET1K_V2", "resnet50-11ad3fa6")):
        with pytest.raises(WeightsError, match=f"{file}.pth: its sha256 begins with e3b0c442"):
            trunk("resnet50", name, 0, None)


def test_a_weights_file_says_what_it_is(tmp_path: Path, vgg: Encoder) -> None:
    path = tmp_path / "vgg.safetensors"
    weights.save(path, trunk("vgg11", "random", 0, None), {"origin": "random, seed 0"})
    first = path.read_bytes()
    weights.save(path, trunk("vgg11", "random", 0, None), {"origin": "random, seed 0"})
    assert path.read_bytes() == first
    other = Encoder("vgg11", ["relu1_1"])
    assert other.load(path) == {"origin": "random, seed 0"}
    assert torch.equal(other.body.state_dict()["features.0.weight"], vgg.body.state_dict()["features.0.weight"])
    with pytest.raises(WeightsError, match="keys are missing"):
        Encoder("resnet18", ["layer1"]).load(path)
    path.write_bytes(first[:100])
    with pytest.raises(WeightsError, match="not a weights file"):
        other.load(path)


def test_a_row_needs_a_hash_with_a_file_and_only_then() -> None:
    row = dict(arch="vgg16", weights="random", sha256=None, seed=0)
    assert EncoderRow.model_validate(row).arch == "vgg16"
    assert EncoderRow.model_validate({**row, "weights": "IMAGENET1K_V1"}).sha256 is None
    for change in ({"weights": "mine.pth"}, {"weights": "imagenet"}, {"sha256": "abc"}, {"layers": ["a"]}):
        with pytest.raises(ValueError):
            EncoderRow.model_validate({**row, **change})
