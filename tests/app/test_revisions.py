"""The metrics of a Git revision beside those of the working tree."""

import subprocess
from pathlib import Path

import pytest

from afterimage.app import revisions
from afterimage.core.errors import AfterimageError


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    return subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """A project in a folder of its repository, with a row that changed and one that went."""
    root = tmp_path / "repository/project"
    files = {
        "features/a/test": '{"images": 3, "psnr": 20.5}',
        "features/gone/test": '{"psnr": 1}',
        "frames/photos-cctv/heavy/bicubic": '{"psnr": 10}',
    }
    for name, text in files.items():
        path = root / f"metrics/{name}.json"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    git(tmp_path, "init", "--quiet", "repository")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "First <b>run</b>")
    git(root, "tag", "v1")
    (root / "metrics/features/a/test.json").write_text('{"images": 3, "psnr": 21.5, "ssim": 0.5}')
    (root / "metrics/features/gone/test.json").unlink()
    return root


def test_the_difference_to_a_revision(history: Path) -> None:
    before, now = revisions.numbers_at(history, "v1"), revisions.numbers_now(history)
    assert before == {
        "features/a/test": {"images": 3, "psnr": 20.5},
        "features/gone/test": {"psnr": 1},
        "frames/photos-cctv/heavy/bicubic": {"psnr": 10},
    }
    assert [(c.row, c.metric, c.before, c.now, c.change) for c in revisions.changes(before, now)] == [
        ("features/a/test", "psnr", 20.5, 21.5, 1.0),
        ("features/a/test", "ssim", None, 0.5, None),
        ("features/gone/test", "psnr", 1, None, None),
    ]
    assert list(revisions.recent(history).values()) == ["First <b>run</b>"]
    assert revisions.numbers_at(history, "HEAD") == before


def test_a_difference_in_the_last_bits_is_no_change() -> None:
    before = {"features/a/test": {"psnr": 20.0, "mse": 1e-9, "bias": 0.0}}
    near = {"features/a/test": {"psnr": 20.0 + 1e-5, "mse": 1e-9 + 5e-16, "bias": 0.0}}
    far = {"features/a/test": {"psnr": 20.0 + 5e-5, "mse": 1e-9 + 5e-15, "bias": 1e-12}}
    assert revisions.changes(before, near) == []
    assert [change.metric for change in revisions.changes(before, far)] == ["psnr", "mse", "bias"]


def test_a_revision_is_a_name_and_nothing_else(history: Path, tmp_path: Path) -> None:
    for text in ("--output=/tmp/x", "v1; rm -rf .", "v1:metrics", "", "a b", "-x", "$(id)"):
        with pytest.raises(AfterimageError, match="is no name of a revision"):
            revisions.numbers_at(history, text)
    with pytest.raises(AfterimageError, match="There is no revision nobody here"):
        revisions.numbers_at(history, "nobody")
    with pytest.raises(AfterimageError, match="Git cannot read this project's history"):
        revisions.recent(tmp_path)
