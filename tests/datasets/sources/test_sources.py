"""Rows of data sets, of any source."""

import ast
import re
import textwrap
from pathlib import Path

import pytest
from conftest import ROOT

from afterimage.core import images, params
from afterimage.core.errors import ParamsError
from afterimage.datasets import sharding, sources
from afterimage.datasets.sources import quarantine


def problem(tmp_path: Path, text: str) -> str:
    path = tmp_path / "params.yaml"
    path.write_text(f"datasets:\n  mine: {{{text}}}\n")
    with pytest.raises(ParamsError) as caught:
        params.row(path, "datasets", "mine", sources.Dataset)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{path}: ")


def test_a_row_is_of_the_class_of_its_source(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("datasets:\n  mine: {source: folder, path: p, size: 64, tile: 96, stride: 48, group: image}\n")
    mine = params.row(path, "datasets", "mine", sources.Dataset)
    assert type(mine) is sources.module("folder").Row
    assert (mine.tile, mine.stride, mine.shorter_side, mine.split.seed) == (96, 48, None, 0)
    assert params.section(path, "datasets", sources.Dataset) == {"mine": mine}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("source: fodler, path: p, size: 8", "`datasets.mine.source`: 'fodler': no such source"),
        ("path: p, size: 8", "`datasets.mine.source`: this key is missing"),
        ("source: bundled, path: p, size: big", "`datasets.mine.size`: 'big': input should be a valid integer"),
        ("source: bundled, path: p, size: 8, group: image", "`datasets.mine.group`: unknown key; the keys are source"),
        ("source: folder, path: p, size: 8, grouo: image", "shard_samples, group"),
        ("source: folder, path: p, size: 64, tile: 32", "`datasets.mine.tile`: 32: smaller than `size` 64"),
        ("source: folder, path: p, size: 8, shorter_side: 6", "`datasets.mine.shorter_side`: 6: smaller than `size` 8"),
        ("source: folder, path: p, size: 8, tile: 9, shorter_side: 8", "8: smaller than `tile` 9"),
        ("source: folder, path: p, size: 8, stride: 4", "`datasets.mine.stride`: 4: a stride without a tile"),
        ("source: folder, path: p, size: 8, group: parents", "`datasets.mine.group`: 'parents': expected `parent`"),
        ("source: folder, path: p, size: 8, group: '('", "`datasets.mine.group`: '(': not a pattern"),
        ("source: folder, path: p, size: 8, split: {val: 0.5, test: 0.5}", "`datasets.mine.split.test`: 0.5: val and"),
        ("source: folder, path: p, size: 8, max_rejected: 2", "`datasets.mine.max_rejected`: 2"),
    ],
)
def test_faults_of_a_row_are_named(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in problem(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pairs: {input: '(.*)_a', target: b}", "`datasets.mine.pairs.target`: 'b': expected a pattern with brackets"),
        ("pairs: {input: '(.*)_(a)', target: (.*)}", "`input` and `target` need as many brackets as each other"),
        ("only: '['", "`datasets.mine.only`: '[': not a pattern"),
    ],
)
def test_faults_of_pairs(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in problem(tmp_path, f"source: folder, path: p, size: 8, {text}")


def test_every_reason_has_its_kind() -> None:
    """Of all reasons that the code gives, with their values left out."""
    given = set()
    for path in (Path(sources.__file__).parent, Path(images.__file__), Path(sharding.__file__)):
        for file in sorted(path.glob("*.py")) if path.is_dir() else [path]:
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "ImageError":
                    given |= {"".join(_words(part)) for part in node.args}
    given |= {"absolute name", "encrypted", "sparse file", "a later file of the archive has this name"}
    said = {reason for reason in given if len(reason.split()) > 1 or reason in ("encrypted",)}
    assert len(said) > 25
    assert {reason: quarantine.kind(reason) for reason in said if quarantine.kind(reason) == "other"} == {}
    assert quarantine.kind("40 x 8 px, smaller than 64 x 64 px") == "too small"
    assert quarantine.kind("its partner a.png: the file is empty") == "partner"
    assert quarantine.kind("damaged image: the file is empty") == "damaged"
    assert quarantine.kind("something else") == "other"


def _words(node: ast.AST) -> list[str]:
    if isinstance(node, ast.JoinedStr):
        return [str(part.value) if isinstance(part, ast.Constant) else "7" for part in node.values]
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def test_the_rows_of_the_guide_are_rows(tmp_path: Path) -> None:
    guide = (ROOT / "docs/data.md").read_text(encoding="utf-8")
    rows = "".join(re.findall(r"^```yaml\n(.*?)^```", guide, re.MULTILINE | re.DOTALL))
    (tmp_path / "params.yaml").write_text("datasets:\n" + textwrap.indent(rows, "  "))
    found = params.section(tmp_path / "params.yaml", "datasets", sources.Dataset)
    assert {row.source for row in found.values()} == {"folder", "archive", "huggingface", "kaggle", "video"}
    kinds = re.findall(r"`([^`]+)`", guide[guide.index("They are\n`partner`") :].partition(".")[0])
    assert kinds == [*quarantine.KINDS, "other"]
