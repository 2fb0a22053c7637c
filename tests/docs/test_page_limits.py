"""docs/page-limits.md: every limit of the page is in it, as it is in the code, with the words that visitors read."""

import ast
import importlib
import re
from pathlib import Path

import pytest
from conftest import ROOT

from afterimage import app

FOLDER = Path(app.__file__).parent
LINE = re.compile(r"^\| [^|]*\| (\d+) \| `(\w+)\.(\w+)` \| (.+) \|$", re.MULTILINE)
TABLE = LINE.findall((ROOT / "docs/page-limits.md").read_text(encoding="utf-8"))
LIMIT = re.compile(r"M(AX|IN)_\w+|\w+_SECONDS|RUNS")


def test_every_limit_is_in_the_table() -> None:
    """A limit is a number in capitals that is called one."""
    found = set()
    for path in FOLDER.glob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            names = [name for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]
            found |= {f"{path.stem}.{name.id}" for name in names if LIMIT.fullmatch(name.id)}
    assert len(found) > 25
    assert {f"{module}.{name}" for _, module, name, _ in TABLE} == found


@pytest.mark.parametrize(("value", "module", "name"), [line[:3] for line in TABLE])
def test_a_limit_is_as_the_table_says(value: str, module: str, name: str) -> None:
    assert getattr(importlib.import_module(f"afterimage.app.{module}"), name) == int(value)


@pytest.mark.parametrize("words", [words for *_, words in TABLE if words[0] == '"'])
def test_what_visitors_read_is_what_the_code_says(words: str) -> None:
    """The longest run of words of each sentence that has no number in it, and so is in the code as it is."""
    sentence = re.findall(r'"([^"]+)"', words)[0]
    if sentence == "Connecting":  # says Streamlit
        return
    part = max(re.split(r"`?[\w.]*\d[\d,.]*`?(?: x \d+ px)?", sentence.partition(": ")[2] or sentence), key=len)
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.py")))
    assert len(part.strip()) > 10
    assert part.strip().strip(".") in re.sub(r'"\s*f?"', "", text)
