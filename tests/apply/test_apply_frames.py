"""Frames of any size go through a row and come back as they are."""

from pathlib import Path

import numpy as np
import pictures
import pytest
import torch
import toys

from afterimage import apply
from afterimage.apply import frames
from afterimage.apply.frames import Applied
from afterimage.core.errors import ParamsError
from afterimage.observations.frames import Frames
from afterimage.reconstructors import Reconstruction


@pytest.fixture
def toy() -> toys.Negative:
    return toys.Negative()


@pytest.fixture
def applied(toy: toys.Negative, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Applied:
    found = apply.load(toys.project(tmp_path, monkeypatch, {"mine": toy}), "mine", "cpu")
    assert isinstance(found, Applied)
    return found


def test_an_image_of_any_size(applied: Applied, toy: toys.Negative) -> None:
    image = pictures.noise(61, 45)
    assert np.array_equal(np.asarray(applied(image)), 255 - np.asarray(image))
    (given,) = toy.given
    assert (given.keys, given.size, len(given.frames)) == (["0"], (45, 61), 1)


def test_many_frames_go_through_a_few_at_a_time(
    applied: Applied, toy: toys.Negative, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "TOGETHER", 2 * 30 * 20 + 7)
    series = np.stack([np.asarray(pictures.noise(30, 20, seed)) for seed in range(5)])
    assert np.array_equal(applied.frames(series), 255 - series)
    assert [given.keys for given in toy.given] == [["0", "1"], ["2", "3"], ["4"]]


def test_a_row_is_held_back_without_changing_it(applied: Applied, toy: toys.Negative) -> None:
    with pytest.raises(ParamsError, match="mine: this row does not set the light of frames apart"):
        applied.adjusted(0.0, 1.0)
    with pytest.raises(ParamsError, match="mine: rows of its kind have no strength to set"):
        applied.adjusted(1.0, 0.5)
    toy.strength = 1.0  # type: ignore[attr-defined]
    weaker = applied.adjusted(1.0, 0.5)
    assert (weaker.reconstructor.strength, applied.reconstructor.strength) == (0.5, 1.0)  # type: ignore[attr-defined]
    assert weaker.about == {**applied.about, "strength": 0.5}


def test_super_resolution_enlarges_where_it_is_asked_to(applied: Applied, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ParamsError, match="mine: this row does not enlarge; rows with `factor: 2` or 4 do"):
        applied.enlarging()
    seen = []

    def white(given: Frames) -> Reconstruction:
        seen.append(given.frames[0].shape)
        return Reconstruction(torch.ones(len(given.frames), 3, *given.size))

    monkeypatch.setattr(applied, "card", {"settings": {"factor": 2}})
    monkeypatch.setattr(applied, "reconstructor", white)
    assert applied(pictures.noise(61, 45)).size == (61, 45)
    larger = applied.enlarging()
    assert larger(pictures.noise(61, 45)).size == (122, 90)
    assert seen == [(45, 61, 3)] * 2
    assert larger.about == {**applied.about, "times": 2}


def test_what_tells_models_apart(applied: Applied, tmp_path: Path) -> None:
    assert applied.about == {"row": "mine", "files": {}}
    folder = tmp_path / "data/models/mine"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"one")
    first = applied.about
    assert list(first["files"]) == ["model.safetensors"]
    (folder / "model.safetensors").write_bytes(b"two")
    assert applied.about != first
