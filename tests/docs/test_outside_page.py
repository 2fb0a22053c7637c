"""docs/outside.md: its rows are rows, and its table has every format with its keys."""

import re
from typing import Any

import pytest
from conftest import ROOT
from ruamel.yaml import YAML

from afterimage import reconstructors
from afterimage.core.errors import ParamsError
from afterimage.observations import KINDS
from afterimage.reconstructors.external.row import Declared, OutsideRow, Sized

TEXT = (ROOT / "docs/outside.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
ROWS = {name: row for block in BLOCKS for name, row in YAML(typ="safe").load(block)["reconstructors"].items()}
TABLE = re.findall(r"^\| `(?!format`)(\w+)` \| .* \| (.*) \| (.*) \|$", TEXT, re.MULTILINE)


@pytest.mark.parametrize("name", list(ROWS))
def test_a_row_of_the_page_is_a_row(name: str) -> None:
    row = dict(ROWS[name])
    assert reconstructors.kind_of(row).Row.model_validate(row).observes == row["observes"]


@pytest.mark.parametrize(("form", "observes", "keys"), TABLE)
def test_the_table_has_the_keys_of_each_format(form: str, observes: str, keys: str) -> None:
    def kind(each: str) -> Any:
        return reconstructors.kind_of({"kind": "external", "format": form, "observes": each})

    taken = list(KINDS) if observes == "all" else observes.split(", ")
    row = kind(taken[0]).Row
    for each in set(KINDS) - set(taken):
        with pytest.raises(ParamsError, match="takes holes and frames"):
            kind(each)
    own = set(row.model_fields) - set(OutsideRow.model_fields)
    if issubclass(row, Declared):
        own -= set(Declared.model_fields) - set(Sized.model_fields)
    said = set(re.findall(r"`(\w+)", keys)) | ({"path", "sha256", "side"} if "the same" in keys else set())
    assert said == own


def test_every_format_is_in_the_table() -> None:
    with pytest.raises(ParamsError) as caught:
        reconstructors.kind_of({"kind": "external", "format": "?", "observes": "holes"})
    assert {form for form, _, _ in TABLE} == set(str(caught.value).partition("there are ")[2].split(", "))


def test_everything_that_is_declared_is_explained() -> None:
    assert [name for name in Declared.model_fields if f"`{name}`" not in TEXT] == []
