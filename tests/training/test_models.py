"""Model folders are written and read in one place, whatever the kind of reconstructor."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from learners import TRAINING, Learner, Lines

from afterimage.core import layout, weights
from afterimage.core.errors import WeightsError
from afterimage.reconstructors import ReconstructorRow
from afterimage.training import loop, models


class Row(ReconstructorRow):
    kind: str = "toy"
    dataset: str = "mine"
    observes: str = "holes"
    observation: str = "two"
    width: int = 16
    training: loop.TrainingRow = loop.TrainingRow.model_validate({**TRAINING, "epochs": 2})


class Keeping(Learner):
    """Leaves files of its own, and tells what loading it takes."""

    about: Mapping[str, Any] = {"window": 7}

    def files(self) -> Mapping[str, bytes]:
        return {"samples/0001.png": b"png"}


def learner() -> Keeping:
    return Keeping(Lines(16, 0), Lines(4, 1))


@pytest.fixture
def stored(tmp_path: Path) -> Any:
    """Observations of two parts, with a file that the model needs beside it."""
    (tmp_path / "encoder.safetensors").write_bytes(b"an encoder")
    indices = [{"layer": name, "size": 32, "splits": {"test": {}}} for name in "ab"]
    return SimpleNamespace(indices=indices, carried=[tmp_path / "encoder.safetensors"])


def trained(root: Path, stored: Any, which: Keeping | None, row: Row | None = None) -> Path:
    folder = root / layout.model("mine")
    models.train("mine", row or Row(), lambda *_: which, stored, folder, root / "state")
    return folder


def test_a_model_folder_has_all_it_takes_to_use_it(tmp_path: Path, stored: Any) -> None:
    made = learner()
    folder = trained(tmp_path, stored, made)
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == {
        "model.safetensors",
        "card.json",
        "curves.csv",
        "encoder.safetensors",
        "samples/0001.png",
    }
    card = json.loads((folder / "card.json").read_text())
    assert card == {
        "row": "mine",
        "kind": "toy",
        "observes": "holes",
        "observation": "two",
        "dataset": "mine",
        "size": 32,
        "words": "small",
        "settings": Row().model_dump(),
        "given": [{"layer": "a", "size": 32}, {"layer": "b", "size": 32}],
        "parameters": sum(parameter.numel() for parameter in made.model.parameters()),
        "epochs": 2,
        "window": 7,
    }
    header, *lines = (folder / "curves.csv").read_text().splitlines()
    assert header == "epoch,learning_rate,train_loss,val_mse"
    assert [line.split(",")[0] for line in lines] == ["1", "2"]
    assert weights.read_about(folder / "model.safetensors") == {"row": "mine"}
    assert (folder / "encoder.safetensors").read_bytes() == b"an encoder"
    assert not (tmp_path / "state/checkpoint.pt").exists()


def test_a_model_is_read_back_as_it_was(tmp_path: Path, stored: Any) -> None:
    made = learner()
    folder = trained(tmp_path, stored, made)
    model = models.read(tmp_path, "mine", torch.device("cpu"))
    assert (model.folder, model.project, model.state) == (folder, tmp_path, None)
    assert Row.model_validate(model.settings) == Row()
    assert [part["layer"] for part in model.given] == ["a", "b"]
    other = learner().model
    assert model.fill(other) is other
    assert not other.training
    wanted = made.model.state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in other.state_dict().items())


def test_the_same_training_gives_the_same_bytes(tmp_path: Path, stored: Any) -> None:
    folders = [trained(tmp_path / name, stored, learner()) for name in "ab"]
    for path in folders[0].rglob("*.*"):
        assert path.read_bytes() == (folders[1] / path.relative_to(folders[0])).read_bytes(), path.name


def test_a_run_that_broke_off_leaves_no_folder_and_goes_on(
    tmp_path: Path, stored: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    whole = trained(tmp_path / "whole", stored, learner())
    plain, steps = Keeping.step, []

    def killed(self: Keeping, batch: Any, update: Any) -> Any:
        steps.append(1)
        if len(steps) == 6:
            raise KeyboardInterrupt
        return plain(self, batch, update)

    monkeypatch.setattr(Keeping, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "killed", stored, learner())
    assert not (tmp_path / "killed" / layout.model("mine")).exists()
    assert (tmp_path / "killed/state/checkpoint.pt").is_file()
    again = trained(tmp_path / "killed", stored, learner())
    assert len(steps) == 9  # 8 in all, one of them asked for twice
    for path in whole.rglob("*.*"):
        assert path.read_bytes() == (again / path.relative_to(whole)).read_bytes(), path.name


def test_a_row_with_nothing_to_train_has_a_card_alone(tmp_path: Path, stored: Any) -> None:
    folder = trained(tmp_path, stored, None)
    assert {path.name for path in folder.iterdir()} == {"card.json", "encoder.safetensors"}
    card = models.read(tmp_path, "mine", torch.device("cpu")).card
    assert (card["parameters"], card["epochs"], card["words"]) == (0, 0, "toy")
    with pytest.raises(WeightsError, match=r"model\.safetensors: there is no such weights file"):
        models.read(tmp_path, "mine", torch.device("cpu")).fill(learner().model)


def test_a_model_that_is_not_there_says_what_helps(tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        models.read(tmp_path, "mine", torch.device("cpu"))
    folder = tmp_path / layout.model("mine")
    assert str(caught.value) == f"{folder}: no trained model; `dvc repro` trains it, `dvc pull` fetches it"


@pytest.fixture
def damaged(tmp_path: Path, stored: Any) -> Iterator[Path]:
    """The folder of a model; afterwards it is read, which has to fail in one line."""
    folder = trained(tmp_path, stored, learner())
    yield folder
    with pytest.raises(WeightsError) as caught:
        models.read(tmp_path, "mine", torch.device("cpu")).fill(learner().model)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", "{}", '{"row": "mine", "kind": "toy"}'])
def test_a_damaged_card(damaged: Path, text: str) -> None:
    (damaged / "card.json").write_text(text)


def test_a_damaged_model(damaged: Path) -> None:
    path = damaged / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])


def test_a_model_of_another_network(damaged: Path) -> None:
    weights.save(damaged / "model.safetensors", {"0.weight": torch.zeros(2)}, {"row": "mine"})


def test_a_seed_more_is_a_model_more(tmp_path: Path, stored: Any) -> None:
    """The row's own folder has the model of its first seed; the others lie in it, each as if it were alone."""

    def seeded(*seeds: int) -> Row:
        return Row(training=loop.TrainingRow.model_validate({**TRAINING, "epochs": 2, "seeds": list(seeds)}))

    def learns(row: Any, _: Any) -> Keeping:
        asked.append(row.training.seed)
        return Keeping(Lines(16, row.training.seed), Lines(4, 1))

    asked: list[int] = []
    several, alone = tmp_path / "several", tmp_path / "alone"
    models.train("mine", seeded(4, 9), learns, stored, several, tmp_path / "a")
    models.train("mine", seeded(9), learns, stored, alone, tmp_path / "b")
    assert asked == [4, 9, 9]
    for name in ("model.safetensors", "curves.csv", "samples/0001.png", "card.json"):
        assert (several / "seeds/9" / name).read_bytes() == (alone / name).read_bytes()
        assert (several / name).is_file()
    assert (several / "model.safetensors").read_bytes() != (alone / "model.safetensors").read_bytes()
    card = json.loads((several / "card.json").read_text())
    assert (card["words"], card["settings"]["training"]["seeds"]) == ("small, 2 seeds", [4, 9])
    assert not list((several / "seeds").rglob("encoder.safetensors"))  # one beside all of them
    assert not list((tmp_path / "a").rglob("*.pt"))


def test_a_seed_is_read_by_its_number(tmp_path: Path, stored: Any) -> None:
    row = Row(training=loop.TrainingRow.model_validate({**TRAINING, "epochs": 1, "seeds": [4, 9]}))
    learns = lambda row, _: Keeping(Lines(16, row.training.seed), Lines(4, 1))  # noqa: E731
    models.train("mine", row, learns, stored, tmp_path / layout.model("mine"), tmp_path / "state")
    cpu = torch.device("cpu")
    assert models.read(tmp_path, "mine", cpu).settings["training"]["seeds"] == [4, 9]
    assert models.read(tmp_path, "mine", cpu, 9).settings["training"]["seeds"] == [9]
    with pytest.raises(WeightsError, match="seeds/5: no trained model"):
        models.read(tmp_path, "mine", cpu, 5)


def test_a_seed_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="a seed is listed twice"):
        loop.TrainingRow.model_validate({**TRAINING, "seeds": [1, 1]})
