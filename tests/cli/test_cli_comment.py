"""`afterimage comment` in a repository of two commits, without a network."""

from pathlib import Path

import pytest
from pictures import png
from results_folders import PSNR, commit, result
from toys import call


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """A project in a folder of its repository: a commit, a better one, and one decibel more in the working tree."""
    root = tmp_path / "repository/project"
    for number, text in enumerate(("First", "Better", "")):
        result(root, "row/test", {"psnr": PSNR + number})
        (root / "params.yaml").write_text(f"training: {{epochs: {number + 1}}}\n", encoding="utf-8")
        (root / "reports/figures").mkdir(parents=True, exist_ok=True)
        (root / "reports/figures/grid.png").write_bytes(png(seed=number))
        if text:
            commit(tmp_path / "repository", text)
    return root


def test_compares_the_working_tree_with_a_revision(history: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, said, errors = call("comment", "HEAD~1", "--out", out, "--project", history)
    assert (code, said, errors) == (0, f"{out}/comment.md\n", "")
    text = (out / "comment.md").read_text(encoding="utf-8")
    assert "| +2.00" in text and "| `training.epochs` | `1` | `3` |" in text
    assert (out / "figures/1-before.png").read_bytes() == png(seed=0)
    assert (out / "figures/1-after.png").read_bytes() == png(seed=2)


def test_an_earlier_comment_is_replaced_and_nothing_else(history: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for revision, gain in (("HEAD~1", 2), ("HEAD", 1)):
        assert call("comment", revision, "--out", out, "--project", history)[0] == 0
        assert f"| +{gain}.00" in (out / "comment.md").read_text(encoding="utf-8")
    code, _, errors = call("comment", "HEAD", "--out", history / "reports", "--project", history)
    assert code == 1
    assert errors == (
        f"afterimage: --out {history}/reports: expected a new folder, or one with a comment.md to replace\n"
    )
    assert (history / "reports/figures/grid.png").read_bytes() == png(seed=2)


def test_faults_are_one_line(history: Path, tmp_path: Path) -> None:
    for base in ("nobody", "--output=x", ""):
        code, _, errors = call("comment", "--out", tmp_path / "out", "--project", history, "--", base)
        assert code == 1 and errors.startswith("afterimage: ") and errors.count("\n") == 1
    assert call("comment", "HEAD", "--project", history)[0] == 2
    assert not (tmp_path / "out").exists()
