from pathlib import Path

import pytest
from pydantic import Field

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
