"""LPIPS is called so on ImageNet weights alone; test_references.py compares it with the official package."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import rebuilt
import torch
from safetensors.torch import load_file, save_file

from afterimage.core.errors import WeightsError
from afterimage.evaluation import alexnet
from afterimage.evaluation.metrics import Lpips


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """A state dict with features unlike those of seed 0, and of the classifier its small last layer."""
    from torchvision.models import AlexNet

    with torch.random.fork_rng():
        torch.manual_seed(5)
        state = AlexNet(num_classes=2).state_dict()
    return {key: value for key, value in state.items() if key.startswith(("features.", "classifier.6."))}


def test_lpips_heads_are_those_of_the_wheel(lpips: Lpips) -> None:
    import lpips as official

    heads = torch.load(Path(official.__file__).parent / "weights/v0.1/alex.pth", "cpu", weights_only=True)
    assert len(heads) == len(lpips._model.heads) == 5
    for number, head in enumerate(lpips._model.heads):
        assert torch.equal(head.weight, heads[f"lin{number}.model.1.weight"])
    assert not lpips._model.training


def test_a_package_without_its_heads_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alexnet, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=r"alex\.pth: the heads of LPIPS are not there; expected them in the lpips"):
        alexnet.heads()


def test_measuring_imports_neither_torchvision_nor_lpips(trunk: Path) -> None:
    program = (
        "import sys; from pathlib import Path; import numpy as np; from afterimage.evaluation import rebuilding\n"
        f"lpips = rebuilding.Lpips(Path({str(trunk)!r}))\n"
        "images = np.random.default_rng(0).integers(0, 256, (2, 40, 40, 3), dtype=np.uint8)\n"
        "assert rebuilding.measure(images, 255 - images, lpips)['lpips_untrained'].min() > 0\n"
        "print(sorted({'torchvision', 'lpips', 'matplotlib', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# The trunk's weights


def test_the_random_trunk_is_seeded_and_the_same_every_time(trunk: Path, tmp_path: Path) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    again, other = rebuilt.trunk(tmp_path / "again"), rebuilt.trunk(tmp_path / "other", seed=1)
    Lpips(again)
    assert again.read_bytes() == trunk.read_bytes() != other.read_bytes()
    assert torch.equal(torch.get_rng_state(), before), "nobody else's random numbers may move"


@pytest.mark.parametrize(
    ("origin", "name"),
    [
        ("random, seed 0", "lpips_untrained"),
        ("ImageNet (torchvision IMAGENET1K_V1)", "lpips"),
        ("alexnet-owt-7be5be79.pth (7be5be791159)", "lpips"),  # as one without a network has it: known by its hash
        ("alexnet-owt-7be5be79.pth (0123456789ab)", "lpips_untrained"),
        ("own.pth (0123456789ab)", "lpips_untrained"),
    ],
)
def test_only_imagenet_weights_are_called_lpips(origin: str, name: str, tmp_path: Path) -> None:
    assert Lpips(rebuilt.trunk(tmp_path / "trunk", origin=origin)).name == name


def test_an_untrained_trunk_says_so(lpips: Lpips) -> None:
    assert lpips.name == "lpips_untrained"


@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_weights_from_a_file(kind: str, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    file = tmp_path / f"own.{kind}"
    save_file(state, file) if kind == "safetensors" else torch.save(state, file)
    path = rebuilt.trunk(tmp_path / "trunk", str(file), sha256=hashlib.sha256(file.read_bytes()).hexdigest())
    kept = load_file(path)
    assert sorted(kept) == sorted(key for key in state if key.startswith("features."))
    assert all(torch.equal(state[key], value) for key, value in kept.items())
    assert Lpips(path).name == "lpips_untrained", "who trained it, and on what, is not known"


def test_weights_that_do_not_fit(state: dict[str, torch.Tensor], trunk: Path, tmp_path: Path) -> None:
    for change, message in (
        ({"features.3.bias": None}, r"missing.*features\.3\.bias"),
        ({"features.3.extra": torch.zeros(1)}, r"unknown.*features\.3\.extra"),
        ({"features.0.weight": torch.zeros(64, 3, 7, 7)}, r"features\.0\.weight.*\[64, 3, 7, 7\]"),
    ):
        file = tmp_path / "own.pth"
        changed = {key: value for key, value in (state | change).items() if value is not None}
        torch.save(changed, file)
        with pytest.raises(WeightsError, match=message):
            rebuilt.trunk(tmp_path / "trunk", str(file), sha256=hashlib.sha256(file.read_bytes()).hexdigest())
        features = {key: value for key, value in changed.items() if key.startswith("features.")}
        rebuilt.weights.save(tmp_path / "other", features, {"origin": "mine"})
        with pytest.raises(WeightsError, match=message):
            Lpips(tmp_path / "other")
    assert not (tmp_path / "trunk").exists()


def test_a_trunk_of_unknown_origin_is_refused(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.safetensors"):
        Lpips(tmp_path / "none.safetensors")
    own = tmp_path / "own.safetensors"
    save_file(state, own)
    with pytest.raises(WeightsError, match=r"own\.safetensors"):
        Lpips(own)
