from pathlib import Path
from typing import Self

import pytest
from pydantic import Field, model_validator

from afterimage.core import params
from afterimage.core.errors import ParamsError


class Colour(params.Row):
    red: float = Field(ge=0, le=1)
    name: str
    levels: list[int] = Field(default_factory=list)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(
        "colours:\n  sea: {red: 0.1, name: blue}\n  sun: {red: 1, name: yellow, levels: [1, 2]}\n"
        "flat: {red: 0, name: x}\n"
    )
    return path


def message(path: Path, text: str, key: str = "sea") -> str:
    path.write_text(text)
    with pytest.raises(ParamsError) as error:
        params.row(path, "colours", key, Colour)
    assert "\n" not in str(error.value)
    return str(error.value).removeprefix(f"{path}: ").removeprefix(str(path))


def test_rows_sections_and_tables_are_typed(path: Path) -> None:
    assert params.row(path, "colours", "sun", Colour) == Colour(red=1.0, name="yellow", levels=[1, 2])
    assert list(params.section(path, "colours", Colour)) == ["sea", "sun"]
    assert params.table(path, "flat", Colour).name == "x"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("other: {}", "section `colours` is missing; there are other"),
        ("colours: 3", "`colours` should be a mapping, found 3"),
        ("colours: {sky: {}}", "`colours` has no row `sea`; it has sky"),
        ("colours: {sea: {red: 0.1}}", "`colours.sea.name`: this key is missing"),
        (
            "colours: {sea: {red: 0.1, name: a, rde: 2}}",
            "`colours.sea.rde`: unknown key; the keys are red, name, levels",
        ),
        ("colours: {sea: {red: high, name: a}}", "`colours.sea.red`: 'high': input should be a valid number"),
        ("colours: {sea: {red: 2, name: a}}", "`colours.sea.red`: 2: input should be less than or equal to 1"),
        ("colours: {sea: {red: 1, name: 5}}", "`colours.sea.name`: 5: input should be a valid string"),
        (
            "colours: {sea: {red: 1, name: a, levels: [1, x, y]}}",
            "`colours.sea.levels.1`: 'x': input should be a valid integer (and 1 more like it)",
        ),
        ("colours: {sea: 7}", "`colours.sea`: 7: input should be a valid dictionary or instance of Colour"),
        ("- a\n- b", "expected sections with rows, found list"),
        ("colours: {sea: [", ", line "),  # 1 or 2: the parser in C looks a line further
    ],
)
def test_what_is_wrong_is_named_in_full(path: Path, text: str, expected: str) -> None:
    assert message(path, text).startswith(expected)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="there is no such parameter file"):
        params.load(tmp_path / "params.yaml")


class Schedule(params.Row):
    epochs: int = Field(gt=0)
    rate: float
    seed: int


class Loss(params.Row):
    pixel: float = Field(ge=0)
    edges: float = Field(ge=0)


class Network(params.Row):
    kind: str
    width: int = Field(gt=0)
    loss: Loss
    training: Schedule


SHARED = """
networks:
  plain: {kind: net}
  wide: {kind: net, width: 64, loss: {edges: 2.0}, training: {epochs: 9}}
  other: {kind: lone, width: 1}
shared:
  net: {width: 8, loss: {pixel: 1.0, edges: 0.0}, training: {epochs: 3, rate: 0.1}}
  lone:
training: {seed: 5, rate: 0.5}
"""


def test_what_rows_share_stands_under_their_own_values(path: Path) -> None:
    path.write_text(SHARED)
    plain, wide = (params.row(path, "networks", name, Network) for name in ("plain", "wide"))
    assert (plain.width, plain.loss.edges) == (8, 0.0)
    assert plain.training == Schedule(epochs=3, rate=0.1, seed=5)  # of a kind before of all training
    assert (wide.width, wide.loss) == (64, Loss(pixel=1.0, edges=2.0))
    assert wide.training == Schedule(epochs=9, rate=0.1, seed=5)
    assert params.values(path, "networks", "wide") == wide.model_dump()
    assert params.values(path, "networks", "other") == {"kind": "lone", "width": 1}
    assert params.values(path, "networks", "plain") is not params.values(path, "networks", "plain")


def test_rows_of_data_sets_share_by_their_source(path: Path) -> None:
    path.write_text("datasets: {a: {source: folder, size: 8}}\nshared: {folder: {tile: 9}}\ntraining: {seed: 1}\n")
    assert params.values(path, "datasets", "a") == {"source": "folder", "size": 8, "tile": 9}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("width: 64", "width: 0", "`networks.wide.width`: 0: input should be greater than 0"),
        ("edges: 2.0", "edges: -2.0", "`networks.wide.loss.edges`: -2.0: "),
        ("pixel: 1.0", "pixel: no", "`shared.net.loss.pixel`: "),
        ("rate: 0.1", "rate: fast", "`shared.net.training.rate`: 'fast': "),
        ("seed: 5", "seed: five", "`training.seed`: 'five': "),
        ("epochs: 9", "epochs: 0", "`networks.wide.training.epochs`: 0: "),
        ("{width: 8,", "{depth: 2, width: 8,", "`shared.net.depth`: unknown key; the keys are kind, width, "),
        ("{seed: 5,", "{pause: 1, seed: 5,", "`training.pause`: unknown key; "),
        ("seed: 5, ", "", "`networks.wide.training.seed`: this key is missing"),
    ],
)
def test_a_wrong_value_is_named_where_it_stands(path: Path, old: str, new: str, expected: str) -> None:
    assert old in SHARED
    path.write_text(SHARED.replace(old, new))
    with pytest.raises(ParamsError) as error:
        params.row(path, "networks", "wide", Network)
    assert str(error.value).startswith(f"{path}: {expected}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", params.RENAMED)
def test_a_file_of_an_earlier_version_is_answered_in_one_line(path: Path, name: str) -> None:
    path.write_text(f"datasets: {{}}\n{name}: {{a: {{}}}}\n")
    with pytest.raises(ParamsError) as error:
        params.load(path)
    assert str(error.value) == (
        f"{path}: rows of `{name}` are now rows of {params.RENAMED[name]}; docs/upgrading.md has an example of each"
    )


def test_all_that_was_renamed_is_in_that_line(path: Path) -> None:
    path.write_text("restorers: {a: {}}\nholes: {b: {}}\n")
    with pytest.raises(ParamsError, match=r"rows of `restorers` are now .*; rows of `holes` are now .* `kind: holes`"):
        params.values(path, "reconstructors", "a")


class Range(params.Row):
    low: int
    high: int

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low: {self.low} is above high: {self.high}")
        return self


def test_values_that_conflict_are_named_without_the_rest_of_the_row(path: Path) -> None:
    path.write_text("ranges: {sea: {low: 3, high: 2}}\n")
    with pytest.raises(ParamsError) as error:
        params.row(path, "ranges", "sea", Range)
    assert str(error.value) == f"{path}: `ranges.sea`: low: 3 is above high: 2"
    with pytest.raises(ParamsError) as error:
        params.typed("here", {"low": 3, "high": 2}, Range)
    assert str(error.value) == "here: low: 3 is above high: 2"
    with pytest.raises(ParamsError) as error:
        params.typed("here", {"low": 3}, Range)
    assert str(error.value) == "here: `high`: this key is missing"


def test_rows_that_would_share_a_folder_are_named(path: Path) -> None:
    path.write_text("observations: {mine: {}}\nsearches: {other: {}, mine: {}}\n")
    with pytest.raises(ParamsError) as error:
        params.load(path)
    assert str(error.value) == (
        f"{path}: `searches` has a row `mine`, and so has `observations`: their results lie in folders of that name, "
        "so rows of observations, reconstructors and searches need names of their own"
    )
    path.write_text("datasets: {mine: {}}\nreconstructors: {mine: {}}\n")
    assert params.load(path)["reconstructors"] == {"mine": {}}


def test_every_value_of_the_project_is_read() -> None:
    """Every row of the committed file is what its class expects, and says nothing that it shares anyway."""
    from conftest import ROOT

    from afterimage import observations, reconstructors
    from afterimage.datasets import sources
    from afterimage.evaluation.metrics import MetricsRow
    from afterimage.observations.features.encoders import EncoderRow

    path = ROOT / "params.yaml"
    data = params.load(path)
    assert list(params.section(path, "datasets", sources.Dataset)) == list(data["datasets"])
    assert list(params.section(path, "encoders", EncoderRow)) == list(data["encoders"])
    assert list(params.section(path, "observations", observations.ObservationRow)) == list(data["observations"])
    assert params.table(path, "metrics", MetricsRow).bootstrap > 0
    for section in reconstructors.SECTIONS:
        for name, own in data[section].items():
            row = reconstructors.row(path, name)
            given = data["observations"][observations.row_of(row.observation)]
            assert (row.observes, row.dataset) == (given["kind"], given["dataset"])
            shared = data["shared"][own["kind"]] | data["training"]
            assert {key for key, value in own.items() if shared.get(key, ...) == value} == set()
