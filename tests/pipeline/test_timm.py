"""Rows on encoders of timm, from weights to commands: extraction, decoding and inversion, by the stages themselves."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pictures
import pytest
import rows
from PIL import Image
from stages import evaluate, observe, train
from stages import weights as place
from toys import call

from afterimage.core import layout, shards, weights
from afterimage.core.errors import ShardError
from afterimage.evaluation.results import read_json

SIZE = 60
"""px: sides that no patch of 16 px divides."""
NETWORKS: dict[str, dict[str, Any]] = {
    "vit": {"arch": "timm/test_vit", "layers": ["blocks.1", "blocks.2.tokens"], "map": [64, 4, 4]},
    "convnext": {"arch": "timm/test_convnext", "layers": ["stages.0", "stages.1"], "map": [24, 15, 15]},
}


def observation(name: str, **values: Any) -> dict[str, Any]:
    path = f"data/weights/{name.removesuffix('-unstored')}.safetensors"
    layers = NETWORKS[name.removesuffix("-unstored")]["layers"]
    return {
        "kind": "features",
        "dataset": "mine",
        "path": path,
        "layers": layers,
        "dtype": "float16",
        "batch": 4,
    } | values


def decoder(name: str, **values: Any) -> dict[str, Any]:
    return rows.row("decoder", observation=name, training={"epochs": 2}, **values).model_dump()


@pytest.fixture(scope="module", params=list(NETWORKS))
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A project where one network has been observed and decoded."""
    name = str(request.param)
    root = tmp_path_factory.mktemp(name)
    first, second = NETWORKS[name]["layers"]
    random = {"weights": "random", "sha256": None, "seed": 0}
    search = {"observation": f"{name}/{first}", "decoder": "one", "steps": 3, "images": 2}
    data = {
        "encoders": {name: {"arch": NETWORKS[name]["arch"], **random}, "lpips": {"arch": "alexnet", **random}},
        "observations": {name: observation(name), f"{name}-unstored": observation(name, store=False)},
        "reconstructors": {
            "one": decoder(f"{name}/{first}"),
            "both": decoder(name, layers=[first, second]),
            "unstored": decoder(f"{name}-unstored", layers=[first, second]),
        },
        "searches": {"search": {**rows.SEARCH, **search}},
        "metrics": {"seed": 0, "bootstrap": 50},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        Path("params.yaml").write_text(json.dumps(data))
        pictures.shards_of(layout.shards("mine"), {"train": [12], "val": [4], "test": [4]}, SIZE)
        for encoder in (name, "lpips"):
            place.main(encoder)
        for each in data["observations"]:
            observe.main(each)
        for each in data["reconstructors"]:
            train.main(each)
        for each in (*data["reconstructors"], "search"):
            evaluate.main(each)
    return root, name


@pytest.fixture(autouse=True)
def inside(project: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project[0])


def test_what_is_stored_says_whose_it_is(project: tuple[Path, str]) -> None:
    name = project[1]
    first, second = NETWORKS[name]["layers"]
    index = shards.load_index(layout.observation(f"{name}/{first}"))
    assert (index["arch"], index["node"], index["shape"]) == (NETWORKS[name]["arch"], first, NETWORKS[name]["map"])
    assert (index["mean"], index["std"], index["weights_origin"]) == ([0.5] * 3, [0.5] * 3, "random, seed 0")
    deep = shards.load_index(layout.observation(f"{name}/{second}"))
    assert deep["shape"] == ([64, 1, 1] if name == "vit" else [32, 7, 7])
    about = weights.read_about(layout.observation(f"{name}/{first}") / "encoder.safetensors")
    assert (about["graph"], about["mean"]) == (None, [0.5] * 3)


def test_each_row_is_measured(project: tuple[Path, str]) -> None:
    for row, cases in (("one", ["test"]), ("both", ["test"]), ("search", ["decoder", "optimisation", "hybrid"])):
        for case in cases:
            found = read_json(layout.metrics("features", row) / f"{case}.json")
            assert found["psnr"] > 5
    error = {
        case: read_json(layout.metrics("features", "search") / f"{case}.json")["feature_error"]
        for case in ("decoder", "hybrid")
    }
    assert error["hybrid"] < error["decoder"]


def test_features_that_are_not_stored_come_to_the_same(project: tuple[Path, str]) -> None:
    stored, computed = (read_json(layout.metrics("features", row) / "test.json") for row in ("both", "unstored"))
    assert stored == pytest.approx(computed, rel=0.02)
    assert not list(layout.observation(f"{project[1]}-unstored").rglob("*.tar"))


@pytest.mark.parametrize("size", [(SIZE, SIZE), (100, 75)])
def test_the_commands_take_images_of_any_size(size: tuple[int, int], tmp_path: Path) -> None:
    Image.fromarray(np.asarray(pictures.noise(*size))).save(tmp_path / "photo.png")
    for words in (("reconstruct", "both"), ("invert", "search", "--steps", "2")):
        out = tmp_path / f"{words[0]}.png"
        code, said, _ = call(*words, tmp_path / "photo.png", "-o", out)
        assert code == 0 and " dB" in said
        assert Image.open(out).size == size


def test_maps_tell_the_size_of_their_image_and_tokens_do_not(project: tuple[Path, str], tmp_path: Path) -> None:
    from afterimage import apply

    first = apply.load(Path(), "one", "cpu")
    assert first.image_size(first.features(pictures.noise(64, 96))) == (96, 64)
    np.save(tmp_path / "features.npy", first.features(pictures.noise(64, 96))[0].numpy())
    assert call("invert", "search", tmp_path / "features.npy", "-o", tmp_path / "found.png")[0] == 0
    assert Image.open(tmp_path / "found.png").size == (64, 96)
    if project[1] == "vit":
        data = json.loads(Path("params.yaml").read_text())
        data["reconstructors"]["tokens"] = decoder("vit/blocks.2.tokens")
        Path("params.yaml").write_text(json.dumps(data))
        train.main("tokens")
        tokens = apply.load(Path(), "tokens", "cpu")
        assert tokens(pictures.noise(SIZE, 80)).size == (SIZE, 80)
        taken = tokens.features(pictures.noise(SIZE, 80))
        assert tokens.rebuild(taken, (80, SIZE)).shape == (1, 3, 80, SIZE)
        with pytest.raises(ShardError, match=r"features of shape \[64, 1, 1\]; .* give the image's size"):
            tokens.image_size(taken)
