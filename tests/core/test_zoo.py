"""Rows of the zoo: their names, their cards, and files that have to be those of the card."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from conftest import ROOT

from afterimage import apply, reconstructors
from afterimage.cli import options
from afterimage.core import layout, outputs, weights, zoo
from afterimage.core.errors import ParamsError, WeightsError
from afterimage.training import models

NAME = "zoo/real-blind"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a zoo and nothing else."""
    shutil.copytree(ROOT / NAME, tmp_path / NAME)
    return tmp_path


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("mine", ("mine", "")),
        ("mine/coarse", ("mine", "coarse")),
        ("mine/coarse/fine", ("mine", "coarse/fine")),
        ("zoo/mine", ("zoo/mine", "")),
        ("zoo/mine/coarse", ("zoo/mine", "coarse")),
        ("zoo", ("zoo", "")),
        ("zoology/mine", ("zoology", "mine")),
    ],
)
def test_a_name_is_told_from_its_case(given: str, expected: tuple[str, str]) -> None:
    assert zoo.parted(given) == expected
    assert zoo.holds(given) == given.startswith("zoo/")


def test_a_row_is_loaded_without_params_and_data(project: Path) -> None:
    loaded = reconstructors.load(project, NAME, "cpu")
    assert loaded.folder == project / NAME
    assert (loaded.row.kind, loaded.row.observes) == (loaded.card["kind"], loaded.card["observes"])
    stored = weights.load(project / NAME / models.MODEL)[1]
    assert {value.dtype for value in stored.values() if value.is_floating_point()} == {torch.float16}
    network = apply.pick(loaded, NAME, "").network  # type: ignore[attr-defined]
    own = network.state_dict()
    assert {value.dtype for value in own.values() if value.is_floating_point()} == {torch.float32}
    assert all(torch.equal(own[key], value.to(own[key].dtype)) for key, value in stored.items())


def test_what_there_is(project: Path) -> None:
    assert zoo.names(project) == [NAME]
    assert zoo.names(project / "zoo") == []
    assert layout.model(NAME) == Path(NAME)
    said = f"there is no row `zoo/none`; there are {NAME}"
    for load in (zoo.card, reconstructors.load, apply.load):
        with pytest.raises(ParamsError, match=said):
            load(project, "zoo/none")  # type: ignore[operator]
    with pytest.raises(ParamsError, match=said):
        options.require(project, "zoo/none", "frames")
    with pytest.raises(ParamsError, match="there are none"):
        zoo.card(project / "zoo", NAME)
    (project / "params.yaml").write_text("reconstructors: {mine: {}}")
    with pytest.raises(ParamsError, match=f"no reconstructor `real-blind`; there are mine, {NAME}"):
        reconstructors.load(project, "real-blind")
    with pytest.raises(ParamsError, match=f"there is no `{NAME}/heavy`; there is {NAME} alone"):
        apply.load(project, f"{NAME}/heavy", "cpu")


def test_another_file_than_that_of_the_card_is_not_loaded(project: Path) -> None:
    path = project / NAME / models.MODEL
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(WeightsError, match=rf"{path}: its sha256 is [0-9a-f]{{64}}, its card says"):
        reconstructors.load(project, NAME)
    path.unlink()
    with pytest.raises(WeightsError, match=rf"{path}: .*it is missing"):
        reconstructors.load(project, NAME)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"row": "real-blind", "observes": 3}'])
def test_a_damaged_card_is_one_line(project: Path, text: str) -> None:
    (project / NAME / zoo.CARD).write_text(text)
    for use in (zoo.card, reconstructors.load):
        with pytest.raises(WeightsError) as caught:
            use(project, NAME)  # type: ignore[operator]
        assert str(project / NAME / zoo.CARD) in str(caught.value)


def test_a_card_of_another_version_says_what_mends_it(project: Path) -> None:
    path = project / NAME / zoo.CARD
    card = json.loads(path.read_text())
    card["settings"]["width_of_old"] = 3
    outputs.write_json(path, card)
    with pytest.raises(WeightsError, match=r"`width_of_old`: unknown key;.*check out its zoo/ with the code"):
        reconstructors.load(project, NAME)
