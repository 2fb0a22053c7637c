"""Every pinned package has a licence that goes with the project's own, or is looked into in docs/licences.md."""

import csv
import re
import runpy
from importlib import metadata
from types import SimpleNamespace

import pytest
from conftest import ROOT

PAGE = SimpleNamespace(**runpy.run_path(str(ROOT / "docs/licences.py")))
TEXT = PAGE.PAGE.read_text(encoding="utf-8")
PACKAGES = sorted({*PAGE.pinned(PAGE.PINS), *PAGE.pinned(PAGE.SETUP)})


def test_the_table_is_that_of_the_packages() -> None:
    assert len(PACKAGES) > 100 and {"torch", "uv", "ruff"} <= set(PACKAGES)
    assert len(re.findall(r"^\| \S+ \| .* \| to (?:run|develop|set up) \|$", TEXT, re.MULTILINE)) == len(PACKAGES)
    assert PAGE.written(TEXT) == TEXT, "run `python docs/licences.py`"


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_has_a_compatible_licence_or_is_looked_into(name: str) -> None:
    found = PAGE.licence(name)
    known = PAGE.compatible(found) or name.startswith(PAGE.LOOKED_INTO.get(found, ()) or "\0")
    assert known, f"{name} is under `{found}`: look into it, and say in docs/licences.md what follows"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("MIT", True),
        ("Apache-2.0 OR GPL-2.0-or-later", True),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", True),
        ("GPL-2.0-only", False),
        ("AGPL-3.0-or-later", False),
        ("MIT AND GPL-3.0-only", False),
        ("MIT AND (GPL-3.0-only OR AGPL-3.0-only)", False),
        ("unknown", False),
    ],
)
def test_what_is_compatible(expression: str, expected: bool) -> None:
    assert PAGE.compatible(expression) is expected


def test_what_was_looked_into_is_explained() -> None:
    explained = TEXT[: TEXT.index("## Libraries")]
    for names in PAGE.LOOKED_INTO.values():
        for name in names:
            assert f"`{name.removesuffix('-')}{'-*' if name.endswith('-') else ''}`" in explained
            assert any(package.startswith(name) for package in PACKAGES), f"{name} is no longer needed"


def test_wheels_with_gpl_libraries_are_named() -> None:
    found = {
        name
        for name in PACKAGES
        for file in metadata.files(name) or []
        if re.match(r"lib(x26[45]|heif|de265)\b", file.name)
    }
    section = TEXT[TEXT.index("## Libraries") : TEXT.index("## Data")]
    assert found == set(re.findall(r"^\| `(\S+)` \|", section, re.MULTILINE))


def test_every_photograph_has_its_licence_and_the_page_names_those_that_ask_for_something() -> None:
    with (ROOT / "src/afterimage/datasets/sources/bundled.csv").open(encoding="utf-8", newline="") as stream:
        licences = {line["name"]: line["licence"] for line in csv.DictReader(stream)}
    free = ("public domain", "CC0", "CC0 1.0", "no known copyright restrictions")
    asking = {name for name, licence in licences.items() if licence not in free}
    assert {re.sub("_(left|right)$", "_*", name) for name in asking} == {"china", "flower", "motorcycle_*"}
    assert all(f"`{name}`" in TEXT for name in ("china", "flower", "motorcycle_*"))
