"""Weights of networks: where they come from, checked against their hashes, and files that say so."""

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from afterimage.core import weights
from afterimage.core.errors import WeightsError


@pytest.fixture(scope="module")
def alexnet() -> dict[str, torch.Tensor]:
    """A state dict of AlexNet's features, and of the classifier its small last layer."""
    from torchvision.models import AlexNet

    with torch.random.fork_rng():
        torch.manual_seed(5)
        state = AlexNet(num_classes=2).state_dict()
    return {key: value for key, value in state.items() if key.startswith(("features.", "classifier.6."))}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_published_weights_are_fetched_once_and_checked(
    alexnet: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file's name carries its true hash, so that both checks are real."""
    from torchvision.models import AlexNet_Weights

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    served = tmp_path / "server/unnamed"
    served.parent.mkdir()
    torch.save(alexnet, served)
    served = served.rename(served.with_name(f"alexnet-{sha256(served)[:8]}.pth"))
    monkeypatch.setattr(AlexNet_Weights.IMAGENET1K_V1.value, "url", served.as_uri())
    cached = tmp_path / "torch/hub/checkpoints" / served.name

    found = weights.from_torchvision("alexnet", "IMAGENET1K_V1")
    assert all(torch.equal(found[key], value) for key, value in alexnet.items())
    assert cached.is_file()
    whole = served.read_bytes()
    served.unlink()
    assert weights.from_torchvision("alexnet", "IMAGENET1K_V1").keys() == found.keys()  # from where it lies

    cached.unlink()
    served.write_bytes(whole + b"altered")
    with pytest.raises(WeightsError, match="hash"):
        weights.from_torchvision("alexnet", "IMAGENET1K_V1")
    served.unlink()
    with pytest.raises(WeightsError, match=f"cannot download .*; without a network, place the file in {cached.parent}"):
        weights.from_torchvision("alexnet", "IMAGENET1K_V1")


@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_a_file_is_read_if_it_is_the_one(kind: str, alexnet: dict[str, torch.Tensor], tmp_path: Path) -> None:
    file = tmp_path / f"own.{kind}"
    with pytest.raises(WeightsError, match=rf"own\.{kind}: there is no such weights file"):
        weights.from_file(file, "0" * 64)
    save_file(alexnet, file) if kind == "safetensors" else torch.save(alexnet, file)
    found = weights.from_file(file, sha256(file))
    assert all(torch.equal(found[key], value) for key, value in alexnet.items())
    with pytest.raises(WeightsError, match=f"own.{kind}: its sha256 is {sha256(file)}, expected {'0' * 64}"):
        weights.from_file(file, "0" * 64)


@pytest.mark.parametrize("data", [b"", b"something else", b"PK\x03\x04"])
@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_what_cannot_be_read_safely_is_one_line(kind: str, data: bytes, tmp_path: Path) -> None:
    file = tmp_path / f"own.{kind}"
    file.write_bytes(data)
    with pytest.raises(WeightsError, match=rf"own\.{kind}: not weights that can be read safely") as caught:
        weights.from_file(file, sha256(file))
    assert "\n" not in str(caught.value)


def test_a_list_of_tensors_is_no_state(tmp_path: Path) -> None:
    file = tmp_path / "own.pth"
    torch.save([torch.zeros(1)], file)
    with pytest.raises(WeightsError, match="expected a state dict of tensors, found list"):
        weights.from_file(file, sha256(file))


def test_the_origin_in_words() -> None:
    assert weights.describe("random", 3, None) == "random, seed 3"
    assert weights.describe("IMAGENET1K_V2", 0, None) == "ImageNet (torchvision IMAGENET1K_V2)"
    assert weights.describe("models/mine.pth", 0, "0123456789abcdef") == "mine.pth (0123456789ab)"


def test_what_is_saved_says_what_it_is(tmp_path: Path) -> None:
    state = {"b": torch.arange(6.0).reshape(2, 3).T, "a": torch.ones(1, dtype=torch.float16)}
    about = {"z": 1, "a": "x", "nested": {"y": [1, 2]}}
    weights.save(tmp_path / "once", state, about)
    weights.save(tmp_path / "twice", dict(reversed(state.items())), dict(reversed(about.items())))
    assert (tmp_path / "once").read_bytes() == (tmp_path / "twice").read_bytes()
    said, found = weights.load(tmp_path / "once")
    assert said == weights.read_about(tmp_path / "once") == about
    assert all(torch.equal(found[key], value) for key, value in state.items())
    save_file(found, tmp_path / "other")
    with pytest.raises(WeightsError, match="other: not a weights file of this pipeline"):
        weights.load(tmp_path / "other")
