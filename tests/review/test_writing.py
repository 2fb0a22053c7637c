"""Comparisons as text, Markdown and JSON."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from results_folders import KEYS, PROVENANCE, PSNR, result

from afterimage.review import differences, writing
from afterimage.review.differences import Comparison
from afterimage.review.revisions import Folder

NOISE = np.random.default_rng(1).normal(size=(60, len(KEYS)))
LONG = "a-row-with-a-name-that-no-terminal-has-room-for-" * 3


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "before", tmp_path / "after"


def both(sides: tuple[Path, Path], place: str, old: dict[str, Any], new: dict[str, Any], **more: Any) -> None:
    result(sides[0], place, old, **more)
    result(sides[1], place, new, **more)


def compare(sides: tuple[Path, Path]) -> Comparison:
    return differences.compare(*(Folder(root, root.name) for root in sides))


@pytest.fixture
def comparison(sides: tuple[Path, Path]) -> Comparison:
    """A row of each sort."""
    both(sides, "good/test", {"psnr": PSNR, "mse": 1e-4 * PSNR}, {"psnr": PSNR + 0.5, "mse": 1e-4 * PSNR - 2e-5})
    both(
        sides,
        "bad/heavy",
        {"psnr": PSNR, "ssim": PSNR / 40},
        {"psnr": PSNR + NOISE[0], "ssim": PSNR / 50},
        kind="frames",
    )
    both(sides, "moved/test", {"psnr": PSNR, "mse": PSNR}, {"psnr": PSNR + NOISE[1], "mse": PSNR + NOISE[2]})
    both(sides, "tiny/test", {"hole_psnr": PSNR}, {"hole_psnr": PSNR + 1e-4 * NOISE[3]}, kind="holes")
    both(sides, "drawn/test", {"spread": PSNR}, {"spread": PSNR + NOISE[4]}, kind="holes")
    both(sides, "same/test", {"psnr": PSNR}, {"psnr": PSNR})
    for root, images in zip(sides, ("1a", "9z"), strict=True):
        result(root, "other/test", {"psnr": PSNR}, provenance={**PROVENANCE, "images": images})
    result(sides[1], "fresh/one", {"psnr": PSNR})
    result(sides[1], "fresh/two", {"psnr": PSNR})
    result(sides[0], "same/old", {"psnr": PSNR})
    return compare(sides)


def test_text(comparison: Comparison) -> None:
    head, table, facts, method = writing.text(comparison).split("\n\n")
    assert head.splitlines() == [
        "before -> after, 13 metrics of 10 rows",
        "2 better, 1 worse, 4 no difference shown, 1 not judged, 1 not comparable, 2 new, 1 gone, 1 unchanged",
    ]
    lines = [re.split("  +", line) for line in table.splitlines()]
    assert lines[0] == ["row", "metric", "before", "after", "difference", "± 95 %", "verdict"]
    assert [line[0] for line in lines if len(line) == 1] == ["features", "holes", "frames"]
    assert ["good", "psnr", "20.00", "20.50", "+0.50", "± 0.00", "better"] in lines
    assert ["", "mse", "0.00200", "0.00198", "-0.000020", "± 0.000000", "better"] in lines
    assert [line[0] or line[1] for line in lines if len(line) > 1][1:] == [
        *("good", "mse", "moved", "tiny", "drawn", "bad/heavy", "psnr"),
    ]
    assert [line[-1] for line in lines if len(line) > 1][1:] == [
        *("better", "better", "none shown", "none shown", "not judged", "worse", "none shown"),
    ]
    assert facts.splitlines() == [
        "Also changed: 1 more metric of these rows, with no difference shown.",
        "Not comparable, other test images: other.",
        "New: fresh.",
        "Gone: same/old.",
    ]
    said = " ".join(method.split())
    assert "7 metrics changed and were compared image by image, over 5 groups of images" in said
    assert "Benjamini-Hochberg leaves of 7 tests at 5 % false discoveries" in said
    assert "There is one training seed each" in said
    assert "provenance.json" not in said


def test_markdown(comparison: Comparison) -> None:
    text = writing.markdown(comparison)
    headline, table, *facts = text.partition("<details>")[0].strip().split("\n\n")
    assert headline == (
        "**▲ 2 better**, **▼ 1 worse**, 4 no difference shown, 1 not judged, 1 not comparable, 2 new, 1 gone, "
        "1 unchanged: 13 metrics of 10 rows, `before` → `after`."
    )
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert {len(line) for line in cells} == {6}
    assert cells[2] == [
        "**▲ better**",
        "`good`",
        "`psnr`",
        "20.00",
        "20.50",
        "+0.50\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0.00",
    ]
    assert [line[:2] for line in cells[3:]] == [["**▲ better**", "`good`"], ["**▼ worse**", "`bad/heavy`"]]
    assert facts == ["Not comparable, other test images: `other`.", "New: `fresh`.", "Gone: `same/old`."]
    assert text.count("<details>") == text.count("</details>") == 2
    for block in re.findall(r"<details>.*?</details>", text, re.DOTALL):
        assert re.match(r"<details><summary>[^<\n]+</summary>\n\n", block) and block.endswith("\n\n</details>")
    assert "| not judged | `drawn` |" in text and "Also changed: 1 more metric" in text


def test_nothing_differs(sides: tuple[Path, Path]) -> None:
    both(sides, "a/test", {"psnr": PSNR, "mse": PSNR}, {"psnr": PSNR, "mse": PSNR})
    found = compare(sides)
    assert writing.text(found) == "before and after: all 2 metrics of 1 row are the same, image by image."
    assert writing.markdown(found) == "All 2 metrics of 1 row are the same at `before` and `after`, image by image.\n"


def test_json_has_every_number(comparison: Comparison, sides: tuple[Path, Path]) -> None:
    data = json.loads(json.dumps(writing.plain(comparison), allow_nan=False))
    assert (data["before"], data["after"], data["tests"]) == ("before", "after", 7)
    assert data["counts"] == {
        **dict.fromkeys(("worse", "changed", "not comparable", "gone", "unchanged"), 1),
        **dict.fromkeys(("better", "new"), 2),
        "no difference shown": 4,
    }
    assert len(data["changes"]) == 13
    names = {(change["row"], change["case"], change["metric"]): change for change in data["changes"]}
    good, other = names["good", "test", "psnr"], names["other", "test", "psnr"]
    about = ("kind", "row", "case", "metric", "verdict", "reason")
    assert [good[name] for name in about] == ["features", "good", "test", "psnr", "better", None]
    assert [good[name] for name in ("before", "after", "images", "groups", "seeds")] == [20.0, 20.5, 20, 5, [1, 1]]
    assert [good[name] for name in ("difference", "low", "high")] == pytest.approx([0.5] * 3, abs=1e-3)
    assert good["p"] <= good["q"] < 0.05
    assert (other["reason"], other["difference"], other["q"]) == ("other test images", None, None)
    both(sides, "single/test", {"psnr": [20.0]}, {"psnr": [21.0]}, keys=["a"], groups=["a"])
    single = next(change for change in writing.plain(compare(sides))["changes"] if change["row"] == "single")
    assert (single["difference"], single["low"], single["high"], single["p"]) == (1.0, None, None, 1.0)


@pytest.mark.parametrize("width", [100, 120])
def test_no_line_is_wider_than_the_terminal(sides: tuple[Path, Path], width: int) -> None:
    metric = "a_metric_with_a_name_that_is_longer_than_any_of_ours"
    for kind, name in (
        ("features", LONG),
        ("holes", f"{LONG}/{LONG}"),
        ("odd" * 50, "short/test"),
        ("frames", "x" * 300),
    ):
        old = {
            "ssim": PSNR * 1e50,
            "psnr": PSNR * 1e5,
            metric: PSNR * 1e9,
            "hole_lpips_untrained": PSNR * 1e-9,
            "mse": PSNR * 1e-5,
        }
        both(
            sides,
            f"{name[:250]}/test",
            old,
            {key: values * (1.01 + 0.001 * NOISE[0]) for key, values in old.items()},
            kind=kind[:100],
        )
    result(sides[1], f"{LONG}/only-here", {"psnr": PSNR})
    text = writing.text(compare(sides), width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert re.search(r"^a-row-with-\S*…\S*-for-  ", text, re.MULTILINE), text


def test_few_lines_where_every_row_moved(sides: tuple[Path, Path]) -> None:
    """The last bits of everything: the rows that come closest to a verdict are listed, the others counted."""
    for number in range(60):
        old = {"psnr": PSNR, "ssim": PSNR / 40, "mse": PSNR / 1e5}
        noise = 1 + 1e-5 * NOISE[number]
        both(sides, f"row{number:02}/test", old, {name: values * noise for name, values in old.items()})
    found = compare(sides)
    text = writing.text(found)
    table = text.split("\n\n")[1].splitlines()
    assert len(table) == 2 + writing.MOST and len(text.splitlines()) < 40
    listed = {line.split()[0] for line in table[2:]}
    closest = sorted((change for change in found.changes if change.is_main), key=lambda change: change.difference.p)  # type: ignore[union-attr]
    assert listed == {change.name for change in closest[: writing.MOST]}
    assert text.startswith("before -> after, 180 metrics of 60 rows\nnone better or worse, ")
    assert "Also changed: 160 more metrics of these rows and of 40 rows further from a verdict" in " ".join(
        text.split()
    )
    assert len(writing.markdown(found)) < 5000


def test_a_comment_has_an_end(sides: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(60):
        both(sides, f"row{number:02}/test", {"psnr": PSNR}, {"psnr": PSNR + 1})
        result(sides[1], f"new{number:02}/test", {"psnr": PSNR})
    monkeypatch.setattr(writing, "LONGEST", 50)
    text = writing.markdown(compare(sides))
    assert text.count("**▲ better**") == 50 and "10 more verdicts: `afterimage diff` lists them." in text
    assert "new39` and 20 more" in text
    assert text.index("<details>") < text.index("new39")
    assert writing.text(compare(sides)).count(" better\n") >= 60


def test_all_rows_are_called_so(sides: tuple[Path, Path]) -> None:
    for row in ("a", "b"):
        for case in ("one", "two"):
            result(sides[1], f"{row}/{case}", {"psnr": PSNR})
    text = writing.text(compare(sides))
    assert "New: all rows.\nNothing is measured in before." in text
    for row in ("a", "b"):
        for case in ("one", "two"):
            result(sides[0], f"{row}/{case}", {"psnr": PSNR, "lpips": PSNR}, provenance={**PROVENANCE, "lpips": "9z"})
            result(sides[1], f"{row}/{case}", {"psnr": PSNR, "lpips": PSNR})
    assert "Not comparable, other LPIPS weights: lpips of all rows." in writing.text(compare(sides))
    result(sides[1], "b/three", {"psnr": PSNR})
    text = writing.text(compare(sides))
    assert "other LPIPS weights: lpips of a, b/one, b/two." in text and "New: b/three." in text


def test_what_is_said_of_seeds_and_of_earlier_versions(sides: tuple[Path, Path]) -> None:
    spread = np.array([-0.1, 0.1])[:, None]
    both(sides, "several/test", {"psnr": PSNR + spread}, {"psnr": PSNR + spread + NOISE[0]})
    said = " ".join(writing.text(compare(sides)).split())
    assert "Where a row has several training seeds, the interval holds their spread." in said
    assert "one training seed each" not in said
    both(sides, "one/test", {"psnr": PSNR}, {"psnr": PSNR + NOISE[1]}, groups=[f"g{number}" for number in range(20)])
    said = " ".join(writing.text(compare(sides)).split())
    assert "The others have one training seed each" in said and "over 5 to 20 groups of images" in said
    both(sides, "old/test", {"psnr": PSNR}, {"psnr": PSNR + NOISE[2]}, provenance=None)
    said = " ".join(writing.text(compare(sides)).split())
    assert said.count("provenance.json") == 1 and "before and after: no provenance.json" in said


def test_names_steer_neither_terminal_nor_page(sides: tuple[Path, Path]) -> None:
    row, metric = "a\x1b[2J`<b>\n@you|", "psnr\x07|`x"
    both(sides, f"{row}/test", {"psnr": PSNR, metric: PSNR}, {"psnr": PSNR + 1, metric: PSNR + NOISE[0]})
    result(sides[1], f"{row}new/test", {"psnr": PSNR})
    found = compare(sides)
    assert "\x1b" not in writing.text(found) and "\x07" not in writing.text(found)
    text = writing.markdown(found)
    assert "\x1b" not in text and "| `a�[2J'<b>�@you¦` |" in text
    outside = re.sub("`[^`\n]*`", "", text)
    assert "<b>" not in outside and "@" not in outside
    assert {line.count("|") for line in text.splitlines() if line.startswith("|")} == {7}


def test_figures_that_changed(sides: tuple[Path, Path]) -> None:
    pictures = {
        "same.png": (b"1", b"1"),
        "moved.png": (b"1", b"2"),
        "deep/gone.png": (b"1", None),
        "new.svg": (None, b"1"),
    }
    for name, contents in pictures.items():
        for root, data in zip(sides, contents, strict=True):
            path = root / "reports/figures" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if data is not None:
                path.write_bytes(data)
    found = writing.changed_figures(*(Folder(root, root.name) for root in sides))
    assert found == [f"reports/figures/{name}" for name in ("deep/gone.png", "moved.png", "new.svg")]
