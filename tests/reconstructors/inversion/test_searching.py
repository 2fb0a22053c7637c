"""Searches as reconstructors: from features alone, from a decoder's answer, and beside that decoder itself."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pictures
import pytest
import rows
import torch
from toys import call

from afterimage import reconstructors
from afterimage.core import layout, outputs, shards
from afterimage.core.errors import DeviceError, LayerError, ParamsError, ShardError, WeightsError
from afterimage.core.images import to_uint8
from afterimage.observations import Given
from afterimage.reconstructors.inversion import KIND, checkpoint, searching
from afterimage.reconstructors.inversion.checkpoint import Checkpoint
from afterimage.reconstructors.inversion.row import InversionRow
from afterimage.training import models

LAYER = "relu1_1"
CASES = ["decoder", "optimisation", "hybrid"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with shards, features and a trained decoder."""
    root = tmp_path_factory.mktemp("project")
    images = pictures.shards_of(root / layout.shards("mine"), {"train": [16], "val": [4], "test": [6]}, size=32)
    folder = rows.features(images, root / layout.observation("vgg11"))
    learned = rows.row("decoder", observation=f"vgg11/{LAYER}", training={"epochs": 2})
    rows.trained(learned, folder / LAYER, images, root, "decoder")
    write_params(root, learned)
    return root


def write_params(root: Path, learned: Any, **values: Any) -> None:
    """params.yaml, which may be JSON."""
    data = {
        "observations": {"vgg11": {"kind": "features", "dataset": "mine"}},
        "reconstructors": {"decoder": learned.model_dump()},
        "searches": {"search": {**rows.SEARCH, **values}},
    }
    (root / "params.yaml").write_text(json.dumps(data))


def row(**values: Any) -> InversionRow:
    return InversionRow.model_validate({**rows.SEARCH, **values})


def loaded(root: Path, state: Path | None = None, **values: Any) -> Mapping[str, Any]:
    return reconstructors.load(root, "search", "cpu", state, values or None).reconstructors


def given(root: Path) -> Given:
    stored = rows.stored(row(), root / layout.observation(f"vgg11/{LAYER}"), root / layout.shards("mine"))
    (batch,) = stored.given("test", 3, shards.Table(root / layout.shards("mine"), "test").keys[:3])
    return batch


def test_a_row_has_all_methods_and_the_same_images_twice(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    batch = given(root)
    found = []
    for _ in range(2):
        made = {name: each(batch.observation) for name, each in loaded(root).items()}
        assert list(made) == CASES
        found.append({name: one.images for name, one in made.items()})
    assert "hybrid: 3 of 3 searches not converged after 8 steps" in capsys.readouterr().err
    assert all(torch.equal(found[0][name], found[1][name]) for name in CASES)
    assert all(images.shape == (3, 3, 32, 32) for images in found[0].values())
    assert dict(made["decoder"].values) == {}
    told = dict(made["hybrid"].values)
    assert all(0 < error < 1 for error in told.pop("feature_error"))
    assert told == {"steps": [8.0] * 3, "converged": [0.0] * 3}


def test_the_error_of_the_8_bit_image_is_what_is_told(root: Path) -> None:
    batch, told = given(root), {}
    for name, each in loaded(root).items():
        rebuilt = to_uint8(each(batch.observation).images)
        (told[name],) = each.score(batch.observation, batch.originals, rebuilt).values()
        seen = rows.encoder()(torch.from_numpy(rebuilt).movedim(-1, 1).float() / 255)[LAYER]
        wanted = batch.observation.layers[0].float()  # type: ignore[attr-defined]
        error = (seen - wanted).square().sum((1, 2, 3)) / wanted.square().sum((1, 2, 3))
        np.testing.assert_allclose(told[name], error.numpy(), rtol=1e-3)
    assert (told["hybrid"] < told["decoder"]).all()


def test_the_decoder_s_answer_is_that_of_its_row(root: Path) -> None:
    batch = given(root)
    (decode,) = reconstructors.load(root, "decoder", "cpu").reconstructors.values()
    wanted = decode(batch.observation).images
    torch.testing.assert_close(loaded(root)["decoder"](batch.observation).images, wanted, rtol=1e-3, atol=1e-3)


def test_a_layer_goes_by_another_of_its_names(root: Path, tmp_path: Path) -> None:
    """A search of `block1_conv1` starts from the decoder of `relu1_1`: they are the same."""
    batch = given(root)
    wanted = loaded(root)["hybrid"](batch.observation).images
    data = json.loads((root / "params.yaml").read_text())
    data["searches"]["alias"] = {**rows.SEARCH, "observation": "vgg11/block1_conv1"}
    data["searches"]["none"] = {**rows.SEARCH, "observation": "vgg11/relu9_9"}
    (root / "params.yaml").write_text(json.dumps(data))
    found = reconstructors.load(root, "alias", "cpu")
    assert found.card["given"][0]["layer"] == LAYER
    assert torch.equal(found.reconstructors["hybrid"](batch.observation).images, wanted)
    np.save(tmp_path / "features.npy", batch.observation.layers[0].float().numpy())  # type: ignore[attr-defined]
    words = ("alias", tmp_path / "features.npy", "-o", tmp_path / "found.png", "--steps", "2", "--project", root)
    code, said, _ = call("invert", *words)
    assert (code, said.count("feature error")) == (0, 3)
    with pytest.raises(LayerError, match="vgg11 has no layer `relu9_9`; it has conv1_1, relu1_1"):
        reconstructors.load(root, "none", "cpu")


class KilledError(Exception):
    """Stands for a signal."""


@pytest.mark.parametrize("name", ["optimisation", "hybrid"])
def test_a_killed_search_goes_on_to_the_same_bits(
    name: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "CHECKPOINT_SECONDS", 0.0)
    batch = given(root)
    whole = loaded(root, batch=2)[name](batch.observation)
    keep, steps = Checkpoint.keep, [0]

    def kept(self: Checkpoint, label: str, state: Mapping[str, Any]) -> None:
        keep(self, label, state)
        steps[0] += 1
        if steps[0] in (2, 7, 11):  # the first batch takes 8 steps
            raise KilledError

    monkeypatch.setattr(Checkpoint, "keep", kept)
    for _ in range(3):
        with pytest.raises(KilledError):
            loaded(root, tmp_path, batch=2)[name](batch.observation)
        assert (tmp_path / f"{name}.pt").is_file()
    found = loaded(root, tmp_path, batch=2)[name](batch.observation)
    assert steps == [16]  # none was made twice
    assert torch.equal(found.images, whole.images)
    assert found.values == whole.values
    search = loaded(root, tmp_path, batch=2)[name]
    assert torch.equal(search(batch.observation).images, whole.images)
    assert steps == [16], "what ended is kept until all that is searched is written"
    search.forget()
    assert not (tmp_path / f"{name}.pt").exists()


def test_a_checkpoint_of_other_settings_keys_or_start_is_not_used(root: Path, tmp_path: Path) -> None:
    batch, search = given(root), loaded(root, tmp_path)["hybrid"]
    identity = search._identity(batch.observation)
    assert identity == loaded(root, tmp_path)["hybrid"]._identity(batch.observation)
    others = [
        loaded(root, tmp_path, steps=9)["hybrid"]._identity(batch.observation),
        loaded(root, tmp_path)["optimisation"]._identity(batch.observation),
        search._identity(type(batch.observation)(["x"], (32, 32), batch.observation.layers)),  # type: ignore
    ]
    assert all(json.dumps(other) != json.dumps(identity) for other in others)


def test_settings_may_be_changed(root: Path) -> None:
    batch = given(root)
    found = loaded(root, steps=3)["optimisation"](batch.observation)
    assert found.values["steps"] == [3.0] * 3
    with pytest.raises(ParamsError, match=r"`searches\.search` with jitter=2: jitter: 2 gives another loss at every"):
        loaded(root, jitter=2)
    with pytest.raises(ParamsError, match=r"`searches\.search` with steps=0: `steps`: 0: input should be greater than"):
        loaded(root, steps=0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the device that the row asks for")
def test_a_row_may_say_where_it_searches(root: Path) -> None:
    changes = {"device": "cuda"}
    with pytest.raises(DeviceError, match="`cuda` is not available here"):
        reconstructors.load(root, "search", "auto", None, changes)
    assert list(reconstructors.load(root, "search", "cpu", None, changes).reconstructors) == CASES


def test_the_decoder_is_told_whose_features_it_gets(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "DECODED", 2)
    batch, start = given(root), loaded(root)["decoder"]
    asked: list[list[str]] = []
    decode = start.decode

    def watched(observation: Any) -> Any:
        asked.append(list(observation.keys))
        return decode(observation)

    monkeypatch.setattr(start, "decode", watched)
    assert len(start(batch.observation).images) == 3
    assert asked == [batch.keys[:2], batch.keys[2:]]


def test_nothing_is_trained_and_the_card_is_made_up(root: Path) -> None:
    assert KIND.learner(row(), None) is None  # type: ignore[arg-type]
    assert reconstructors.kind_of(row()) is KIND
    assert KIND.observes == "features"
    assert row().together > 10**9, "one checkpoint covers a whole row, whatever its batches"
    found = reconstructors.load(root, "search", "cpu")
    assert (found.row, found.folder) == (row(), root / layout.observation(f"vgg11/{LAYER}"))
    assert (found.card["row"], found.card["size"], found.card["given"][0]["layer"]) == ("search", 32, LAYER)


def test_a_row_that_does_not_fit_its_decoder_is_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"search.decoder: 'decoder' decodes vgg11/relu1_1, expected vgg11/relu2_1"):
        loaded(root, observation="vgg11/relu2_1")
    with pytest.raises(ParamsError, match="there is no reconstructor `nobody`; there are decoder, search"):
        loaded(root, decoder="nobody")
    folder = root / layout.observation(f"vgg11/{LAYER}")
    index = {**shards.load_index(folder), "weights": "of another encoder"}
    card = models.card("search", row(), [index])
    with pytest.raises(ShardError, match="search.decoder: 'decoder' was trained on features from other weights"):
        KIND.load(models.Model(folder, card, root))
    bare = tmp_path / "bare"
    outputs.write_json(bare / "index.json", shards.load_index(folder))
    with pytest.raises(WeightsError, match=r"bare/encoder\.safetensors: there is no such weights file"):
        KIND.load(models.Model(bare, models.card("search", row(), [shards.load_index(folder)]), root))
