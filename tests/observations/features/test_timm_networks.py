"""Encoders of timm: their layers, sizes, weights and how images are normalised."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import timm
import torch
from hubs import Models
from huggingface_hub import constants
from safetensors.torch import save
from servers import serving

from afterimage.core import weights
from afterimage.core.errors import LayerError, WeightsError
from afterimage.observations.features import encoders, graphs
from afterimage.observations.features.encoders import Encoder, EncoderRow, described, trunk

VIT, TAG = "timm/test_vit", "r160_in1k"
REPOSITORY = f"{VIT}.{TAG}"
COMMIT = "1" * 40


def filled(folder: Path, arch: str, layers: list[str], seed: int = 0) -> Encoder:
    """An encoder with random weights, by way of a file as the stage writes it."""
    row = EncoderRow(arch=arch, weights="random", sha256=None, seed=seed)
    path = folder / f"{arch.removeprefix('timm/')}.safetensors"
    weights.save(path, trunk(arch, "random", seed, None), described(row))
    found = Encoder(arch, layers)
    found.load(path)
    return found


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(scope="module")
def whole() -> torch.nn.Module:
    """The network with its classifier, under other weights than those of the seeds below."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return timm.create_model("test_vit", dynamic_img_size=True).eval()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(2, 3, 64, 48, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Models]:
    """A hub on this machine, and an empty cache."""
    found = Models()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", found.token)
    with serving(found) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield found


def test_maps_and_tokens_are_those_of_a_block(tmp_path: Path, whole: torch.nn.Module, images: torch.Tensor) -> None:
    state = tmp_path / "whole.safetensors"
    state.write_bytes(save(whole.state_dict()))
    path = tmp_path / "vit.safetensors"
    row = EncoderRow(arch=VIT, weights=str(state), sha256=sha256(state.read_bytes()), seed=0)
    weights.save(path, trunk(row.arch, row.weights, row.seed, row.sha256), described(row))
    encoder = Encoder(VIT, ["blocks.3.tokens", "blocks.3", "blocks.1"])
    assert encoder.load(path)["origin"] == f"whole.safetensors ({row.sha256[:12]})"  # type: ignore[index]
    seen: dict[str, torch.Tensor] = {}
    for number in (1, 3):
        whole.get_submodule(f"blocks.{number}").register_forward_hook(
            lambda module, given, out, number=number: seen.update({f"blocks.{number}": out})
        )
    with torch.inference_mode():
        whole((images - 0.5) / 0.5)
        found = encoder(images)
    assert list(found) == ["blocks.3.tokens", "blocks.3", "blocks.1"]
    for layer in ("blocks.1", "blocks.3"):
        patches = seen[layer][:, 1:].movedim(2, 1).reshape(2, -1, 4, 3)
        torch.testing.assert_close(found[layer], patches, rtol=1e-4, atol=1e-5, check_stride=False)
    torch.testing.assert_close(found["blocks.3.tokens"].flatten(1), seen["blocks.3"][:, 0], rtol=1e-4, atol=1e-5)
    assert not any(key.startswith(("blocks.4", "norm.", "head.")) for key in encoder.body.state_dict())


def test_registers_are_kept_apart_too(tmp_path: Path) -> None:
    encoder = filled(tmp_path, "timm/vit_small_patch14_reg4_dinov2", ["blocks.0", "blocks.0.tokens"])
    with torch.inference_mode():
        found = encoder(torch.rand(1, 3, 224, 224))
    assert {layer: list(values.shape) for layer, values in found.items()} == {
        "blocks.0": [1, 384, 16, 16],
        "blocks.0.tokens": [1, 5 * 384, 1, 1],
    }


@pytest.mark.parametrize(
    ("arch", "layer", "strides"),
    [
        ("timm/test_convnext", "stages.2", 16),
        ("timm/test_efficientnet", "blocks.3", 16),
        ("timm/test_resnet", "act1", 2),
    ],
)
def test_networks_of_stages_have_the_maps_of_a_stage(arch: str, layer: str, strides: int, tmp_path: Path) -> None:
    encoder = filled(tmp_path, arch, [layer])
    with torch.inference_mode():
        found = encoder(torch.rand(1, 3, 64, 96))[layer]
    assert list(found.shape[2:]) == [64 // strides, 96 // strides]
    assert len(encoder.body.state_dict()) < len(encoder.uncut)
    assert graphs.described(encoder.body, layer) is None


def test_a_map_covers_the_whole_of_an_image_of_any_size(tmp_path: Path) -> None:
    encoder = filled(tmp_path, VIT, ["blocks.0"])
    with torch.inference_mode():
        for height, width, cells in ((100, 75, (6, 5)), (30, 500, (2, 31)), (5, 5, (1, 1))):
            assert encoder(torch.rand(1, 3, height, width))["blocks.0"].shape[2:] == cells
        image = torch.rand(1, 3, 100, 75)
        smaller = torch.nn.functional.interpolate(image, (96, 80), mode="bilinear", align_corners=False)
        torch.testing.assert_close(encoder(image), encoder(smaller), rtol=1e-3, atol=1e-4)


def test_a_network_of_one_size_says_so() -> None:
    encoder = Encoder("timm/test_vit_relpos", ["blocks.0"])
    assert encoder(torch.zeros(1, 3, 160, 160))["blocks.0"].shape[2:] == (10, 10)
    with pytest.raises(LayerError, match=r"takes images of 160 x 160 px alone, and these have 80 x 64"):
        encoder(torch.zeros(1, 3, 64, 80))


@pytest.mark.parametrize(
    ("arch", "layer", "words"),
    [
        (VIT, "blocks.6", ["timm/test_vit has no layer `blocks.6`; it has blocks.0, blocks.1", "blocks.5.tokens"]),
        ("timm/test_convnext", "stages.1.tokens", ["it has stages.0, stages.1, stages.2, stages.3"]),
        ("timm/tset_vit", "blocks.0", ["timm has no network `tset_vit`; it has test_vit"]),
        ("timm/hf-hub:someone/net", "blocks.0", ["timm has no network `hf-hub:someone/net`"]),
    ],
)
def test_what_is_not_there_names_what_is(arch: str, layer: str, words: list[str]) -> None:
    with pytest.raises(LayerError) as error:
        Encoder(arch, [layer])
    assert all(word in str(error.value) for word in words)
    assert "\n" not in str(error.value)


def test_random_weights_follow_from_the_seed_and_nothing_else_changes() -> None:
    torch.manual_seed(5)
    one = trunk(VIT, "random", 3, None)
    Encoder(VIT, ["blocks.0"])
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1))
    again, other = trunk(VIT, "random", 3, None), trunk(VIT, "random", 4, None)
    assert all(torch.equal(value, again[key]) for key, value in one.items())
    assert not torch.equal(one["blocks.0.attn.qkv.weight"], other["blocks.0.attn.qkv.weight"])
    assert not any(key.startswith("head.") for key in one)


def test_a_file_goes_in_with_or_without_its_classifier(tmp_path: Path, whole: torch.nn.Module) -> None:
    state = dict(whole.state_dict())
    headless = {key: value for key, value in state.items() if not key.startswith("head.")}
    for given, name in ((state, "whole"), (headless, "headless")):
        path = tmp_path / f"{name}.pth"
        torch.save(given, path)
        assert trunk(VIT, str(path), 0, sha256(path.read_bytes())).keys() == headless.keys()
    path = tmp_path / "other.safetensors"
    path.write_bytes(save({**headless, "extra": torch.zeros(1)}))
    with pytest.raises(WeightsError, match=r"other\.safetensors: 1 keys are unknown, the first `extra`"):
        trunk(VIT, str(path), 0, sha256(path.read_bytes()))
    with pytest.raises(WeightsError, match="expected abc"):
        trunk(VIT, str(path), 0, "abc")


def test_weights_by_their_name_come_from_the_hub_and_are_pinned(hub: Models, whole: torch.nn.Module) -> None:
    data = save(whole.state_dict())
    hub.commits[REPOSITORY] = {COMMIT: {"model.safetensors": data}}
    with pytest.raises(
        WeightsError, match=rf"test_vit\.r160_in1k: model\.safetensors has the sha256 {sha256(data)}; put"
    ):
        trunk(VIT, TAG, 0, None)
    found = trunk(VIT, TAG, 0, sha256(data))
    assert torch.equal(found["blocks.2.mlp.fc1.weight"], whole.state_dict()["blocks.2.mlp.fc1.weight"])
    assert not any(key.startswith("head.") for key in found)
    with pytest.raises(WeightsError, match=rf"has the sha256 {sha256(data)}, expected abc"):
        trunk(VIT, TAG, 0, "abc")


def test_the_hub_is_asked_once(hub: Models, whole: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    data = save(whole.state_dict())
    hub.commits[REPOSITORY] = {COMMIT: {"model.safetensors": data}}
    trunk(VIT, TAG, 0, sha256(data))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert trunk(VIT, TAG, 0, sha256(data))
    with pytest.raises(WeightsError, match=r"test_vit2\.r160_in1k: cannot download .*; without a network, name a file"):
        trunk("timm/test_vit2", TAG, 0, "abc")


def test_a_file_of_the_hub_that_is_no_safetensors_is_read_without_code(hub: Models, tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    torch.save({"weight": torch.nn.Linear(1, 1)}, path)
    hub.commits[REPOSITORY] = {COMMIT: {"pytorch_model.bin": path.read_bytes()}}
    with pytest.raises(WeightsError, match="not weights that can be read safely"):
        trunk(VIT, TAG, 0, sha256(path.read_bytes()))
    torch.save({"weight": torch.zeros(1)}, path)
    hub.commits[REPOSITORY] = {"2" * 40: {"pytorch_model.bin": path.read_bytes()}}
    with pytest.raises(WeightsError, match=r"pytorch_model\.bin does not fit timm/test_vit: .*[Mm]issing"):
        trunk(VIT, TAG, 0, sha256(path.read_bytes()))


def test_weights_that_are_not_there(hub: Models) -> None:
    with pytest.raises(WeightsError, match="timm has no weights `lvd142m` of test_vit; it has r160_in1k"):
        trunk(VIT, "lvd142m", 0, None)
    with pytest.raises(WeightsError, match=r"timm/test_vit\.r160_in1k: cannot download model\.safetensors: .*404"):
        trunk(VIT, TAG, 0, None)


def test_images_are_normalised_as_the_weights_ask(tmp_path: Path, images: torch.Tensor) -> None:
    clip = EncoderRow(arch="timm/vit_base_patch16_clip_224", weights="openai", sha256="abc", seed=0)
    about = described(clip)
    assert about["origin"] == "openai (abc)"
    assert (about["mean"][0], about["std"][0]) == (0.48145466, 0.26862954)
    dino = EncoderRow(arch="timm/vit_small_patch16_224.dino", weights="mine.pth", sha256="abc", seed=0)
    assert described(dino)["mean"] == [0.485, 0.456, 0.406]
    assert described(dino.model_copy(update={"arch": "timm/vit_small_patch16_224"}))["mean"] == [0.5] * 3
    plain = filled(tmp_path, VIT, ["blocks.0"])
    assert plain.normalisation == {"mean": [0.5] * 3, "std": [0.5] * 3}
    path = tmp_path / "test_vit.safetensors"
    about, state = weights.load(path)
    weights.save(path, state, {**about, "mean": [0.0] * 3, "std": [1.0] * 3})
    other = Encoder(VIT, ["blocks.0"])
    other.load(path)
    torch.testing.assert_close(other((images - 0.5) / 0.5), plain(images), rtol=1e-4, atol=1e-5)
    weights.save(path, state, {"arch": VIT, "origin": "mine"})
    with pytest.raises(WeightsError, match="says nothing of how its images are normalised: KeyError: 'mean'"):
        other.load(path)
    vgg = EncoderRow(arch="vgg11", weights="random", sha256=None, seed=0)
    assert described(vgg) == {"arch": "vgg11", "origin": "random, seed 0"}


def test_a_row_may_leave_the_hash_of_a_name_to_be_found_and_no_other() -> None:
    row = dict(arch=VIT, weights=TAG, sha256=None, seed=0)
    assert EncoderRow.model_validate(row).sha256 is None
    assert EncoderRow.model_validate({**row, "sha256": "abc"}).sha256 == "abc"
    assert EncoderRow.model_validate({**row, "weights": "random"}).weights == "random"
    with pytest.raises(ValueError, match="neither `random` nor a name of timm's such as lvd142m"):
        EncoderRow.model_validate({**row, "weights": "mine.pth"})
    with pytest.raises(ValueError, match="sha256 goes with weights from a file"):
        EncoderRow.model_validate({**row, "weights": "random", "sha256": "abc"})
    with pytest.raises(ValueError, match="a name of torchvision's"):
        EncoderRow.model_validate({**row, "arch": "vgg11"})


def test_a_layer_of_timm_has_one_name() -> None:
    assert encoders.node(VIT, "blocks.1") == "blocks.1"
    assert encoders.node("vgg11", "block2_conv1") == "features.4"
