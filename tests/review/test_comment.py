"""The comment of a pull request, from two folders of results that are written by hand."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from pictures import png
from results_folders import PSNR, result

from afterimage.review import comment, differences, writing
from afterimage.review.revisions import Folder, RevisionError, Side

LIMIT = 65_536
"""Characters that GitHub takes in a comment."""


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Side, Side]:
    """A row that is a decibel better, and one that is as it was."""
    for name, gain in (("before", 0), ("after", 1)):
        result(tmp_path / name, "changed/test", {"psnr": PSNR + gain})
        result(tmp_path / name, "same/test", {"psnr": PSNR})
        figure(tmp_path / name, "same.png", 0)
        params(tmp_path / name, metrics={"seed": 0, "bootstrap": 200})
    return Folder(tmp_path / "before", "1a2b3c4"), Folder(tmp_path / "after", "workspace")


def figure(root: Path, name: str, seed: int) -> bytes:
    path = root / "reports/figures" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(seed=seed))
    return path.read_bytes()


def params(root: Path, **sections: Any) -> None:
    (root / "params.yaml").write_text(json.dumps(sections), encoding="utf-8")  # JSON is YAML


def written(sides: tuple[Side, Side], folder: Path) -> str:
    comment.write(*sides, folder)
    return (folder / "comment.md").read_text(encoding="utf-8")


def pictures(text: str) -> list[str]:
    """What a reader of Markdown takes for an image, as CML does."""
    tokens = [token for block in MarkdownIt("commonmark").enable("table").parse(text) for token in block.children or []]
    return [str(token.attrs["src"]) for token in tokens if token.type == "image"]


def test_says_what_diff_says(sides: tuple[Side, Side], tmp_path: Path) -> None:
    text = written(sides, tmp_path / "out")
    assert text.startswith("## Results\n\n")
    assert writing.markdown(differences.compare(*sides)).strip() in text
    assert "1 better" in text and "`1a2b3c4`" in text
    assert text.endswith("\n\nNo parameter changed.\n")
    assert "Figures" not in text and pictures(text) == []
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["comment.md"]


def test_figures_stand_before_and_after(sides: tuple[Side, Side], tmp_path: Path) -> None:
    old = figure(tmp_path / "before", "grid.png", 1)
    new = figure(tmp_path / "after", "grid.png", 2)
    gone = figure(tmp_path / "before", "was here|`.png", 3)
    text = written(sides, tmp_path / "out")
    table = "\n\n| before | after |\n| --- | --- |\n"
    assert f"`grid.png`{table}| ![before](figures/1-before.png) | ![after](figures/1-after.png) |\n" in text
    assert f"`was here¦'.png`{table}| ![before](figures/2-before.png) | - |\n" in text
    named = pictures(text)
    assert named == ["figures/1-before.png", "figures/1-after.png", "figures/2-before.png"]
    assert [(tmp_path / "out" / name).read_bytes() for name in named] == [old, new, gone]
    assert "same.png" not in text
    assert len(list((tmp_path / "out/figures").iterdir())) == 3


def test_of_many_figures_the_rest_are_named(sides: tuple[Side, Side], tmp_path: Path) -> None:
    for number in range(comment.FIGURES + 2):
        figure(tmp_path / "after", f"{number}.png", number)
    text = written(sides, tmp_path / "out")
    assert len(pictures(text)) == comment.FIGURES
    assert f"Also changed: `{comment.FIGURES}.png`, `{comment.FIGURES + 1}.png`." in text


def test_parameters_by_their_dotted_keys(sides: tuple[Side, Side], tmp_path: Path) -> None:
    kept = {"metrics": {"seed": 0, "bootstrap": 200}}
    params(tmp_path / "before", **kept, shared={"unet": {"epochs": 5, "note": None}}, rows={"a": [1, 2], "gone": {}})
    params(tmp_path / "after", **kept, shared={"unet": {"epochs": 6, "note": "x|`y"}}, rows={"a": [1, 3], "b": 0.5})
    text = written(sides, tmp_path / "out")
    assert "<details><summary>5 parameters changed</summary>\n\n| parameter | before | after |" in text
    lines = re.findall(r"^\| `([a-z.]+)` \| (.*) \| (.*) \|$", text.partition("<summary>5 parameters")[2], re.MULTILINE)
    assert lines == [
        ("shared.unet.epochs", "`5`", "`6`"),
        ("shared.unet.note", "`null`", '`"x¦\'y"`'),
        ("rows.a", "`[1, 2]`", "`[1, 3]`"),
        ("rows.gone", "`{}`", "-"),
        ("rows.b", "-", "`0.5`"),
    ]


def test_a_folder_of_results_alone_has_no_parameters(sides: tuple[Side, Side], tmp_path: Path) -> None:
    (tmp_path / "before/params.yaml").unlink()
    assert "| `metrics.seed` | - | `0` |" in written(sides, tmp_path / "out")


def test_a_large_change_fits_into_a_comment(sides: tuple[Side, Side], tmp_path: Path) -> None:
    numbers = range(300)
    for number in numbers:
        for root, gain in ((tmp_path / "before", 0), (tmp_path / "after", 1 + number)):
            result(root, f"a-row-of-some-forty-letters-in-its-name-{number}/test", {"psnr": PSNR + gain})
        figure(tmp_path / "after", f"a-figure-of-some-forty-letters-in-its-name-{number}.png", 0)
    params(tmp_path / "after", rows={f"row{number}": "word " * 100 for number in numbers})
    text = written(sides, tmp_path / "out")
    assert f"{302 - comment.PARAMETERS} more: `dvc params diff` lists them." in text
    assert len(text) < LIMIT


def test_faults_are_told(sides: tuple[Side, Side], tmp_path: Path) -> None:
    (tmp_path / "after/params.yaml").write_text("a: [1", encoding="utf-8")
    with pytest.raises(RevisionError, match="^workspace: params.yaml, line 2: not valid YAML: "):
        written(sides, tmp_path / "out")
    assert not (tmp_path / "out").exists()
