"""Kinds from elsewhere are found by their entry points, in the version that their rows are written for."""

import sys
from pathlib import Path
from typing import Any

import pytest

from afterimage import reconstructors
from afterimage.core.errors import ParamsError
from afterimage.reconstructors import external

MODULE = """
from afterimage.reconstructors import Kind
from afterimage.reconstructors.external import ExternalRow


class Row(ExternalRow):
    gain: float

    @property
    def together(self) -> int:
        return 2


class Toy(Kind):
    observes = "holes"
    Row = Row

    def learner(self, row, stored):
        return None

    def load(self, model):
        return {}


KIND = Toy()
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A distribution on the path with two entry points: a kind, and a class of one."""
    site = tmp_path / "site"
    about = site / "toy_reconstructor-1.2.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-reconstructor\nVersion: 1.2\n")
    (about / "entry_points.txt").write_text(
        "[afterimage.reconstructors]\ntoy = toy_reconstructor:KIND\ntoy-class = toy_reconstructor:Toy\n"
    )
    (site / "toy_reconstructor.py").write_text(MODULE)
    monkeypatch.syspath_prepend(site)
    yield site
    sys.modules.pop("toy_reconstructor", None)


def values(**changes: Any) -> dict[str, Any]:
    plain = {"kind": "external", "entry": "toy", "version": "1.2", "dataset": "mine", "observes": "holes"}
    return {**plain, "observation": "two", "gain": 2.0, **changes}


@pytest.mark.parametrize("entry", ["toy", "toy-class"])
def test_an_entry_point_is_a_kind(installed: Path, entry: str) -> None:
    kind = reconstructors.kind_of(values(entry=entry))
    assert type(kind).__name__ == "Toy"
    row: Any = kind.Row.model_validate(values(entry=entry))
    assert (row.gain, row.together, row.entry) == (2.0, 2, entry)
    assert type(reconstructors.kind_of(row)).__name__ == "Toy"


def test_a_row_of_one_is_read_and_checked_as_any_other(installed: Path, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"

    def read(**changes: Any) -> Any:
        text = f"reconstructors:\n  mine: {values(**changes)}\nobservations:\n  two: {{kind: holes, dataset: mine}}\n"
        path.write_text(text)
        return reconstructors.row(path, "mine")

    assert read(gain=3.5).gain == 3.5
    with pytest.raises(ParamsError, match=r"`reconstructors\.mine\.gain`: 'much': input should be a valid number"):
        read(gain="much")
    with pytest.raises(ParamsError, match=r"`reconstructors\.mine\.width`: unknown key; the keys are kind, "):
        read(width=3)
    with pytest.raises(ParamsError, match=r"`reconstructors\.mine\.observes`: 'frames', but `external` observes 'hol"):
        read(observes="frames")
    with pytest.raises(ParamsError, match=r"`reconstructors\.mine\.kind`: entry 'doll' is not among the installed"):
        read(entry="doll")


def test_an_entry_that_is_not_installed_names_those_that_are(installed: Path) -> None:
    with pytest.raises(ParamsError) as caught:
        reconstructors.kind_of(values(entry="doll"))
    expected = "entry 'doll' is not among the installed entry points of afterimage.reconstructors; there are "
    assert str(caught.value).startswith(expected)
    assert "toy, toy-class" in str(caught.value)


def test_another_version_than_the_row_s_is_named(installed: Path) -> None:
    with pytest.raises(ParamsError) as caught:
        external.kind(values(version="1.3"))
    assert str(caught.value) == "version '1.3' of 'toy' is expected, and 1.2 is installed"
    with pytest.raises(ParamsError, match="version None of 'toy' is expected"):
        external.kind({"entry": "toy"})


def test_without_any_package_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external.metadata, "entry_points", lambda group: [])
    with pytest.raises(ParamsError, match="there are none"):
        external.kind(values())
