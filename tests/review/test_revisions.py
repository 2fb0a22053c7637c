"""The sides of a comparison: revisions, folders and the working tree."""

from pathlib import Path

import pytest
from results_folders import commit, git

from afterimage.review import revisions
from afterimage.review.revisions import RevisionError, side

BINARY = bytes(range(256)) + b"\n\n\0tree 3\n"


def write(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project in a folder of its repository, whose working tree has gone on since its first commit."""
    root = tmp_path / "repository/project"
    first = {"params.yaml": b"a: 1\n", "reports/a.png": BINARY, "reports/b/é\n.csv": b"", "metrics/x.json": b"{}"}
    write(root, first)
    write(root.parent, {"metrics/outside.json": b"{}"})
    commit(root.parent, "First <b>run</b>")
    git(root, "tag", "v1")
    (root / "metrics/x.json").unlink()
    return write(root, {"params.yaml": b"a: 2\n", "reports/c.txt": b"c", "reports/.x.partial/d.txt": b"d"})


def test_a_revision(project: Path) -> None:
    head = side(project, "HEAD")
    assert head.name == git(project, "rev-parse", "--short", "HEAD").strip()
    assert head.files("metrics") == ["metrics/x.json"]
    assert head.files("reports") == ["reports/a.png", "reports/b/é\n.csv"]
    assert head.files("report") == head.files("nothing") == []
    assert head.read("params.yaml") == b"a: 1\n"
    assert head.read("reports/c.txt") is None and head.read("reports") is None
    everything = head.read_all([*head.files("reports"), "nothing", "params.yaml"])
    assert everything == {"reports/a.png": BINARY, "reports/b/é\n.csv": b"", "params.yaml": b"a: 1\n"}
    for words in ("v1", "v1^{commit}", "HEAD~0", head.name):
        assert side(project, words).name == head.name


def test_the_working_tree(project: Path) -> None:
    now = side(project, None)
    assert now.name == "workspace"
    assert now.files("metrics") == []
    assert now.files("reports") == ["reports/a.png", "reports/b/é\n.csv", "reports/c.txt"]  # none half written
    assert now.read_all(["params.yaml", "metrics/x.json", "params.yaml/x", "reports"]) == {"params.yaml": b"a: 2\n"}


@pytest.mark.parametrize("name", ["params.yaml", "metrics/a.json", "reports/measured/a.csv"])
def test_the_folder_of_a_project_goes_before_a_revision(project: Path, name: str, tmp_path: Path) -> None:
    folder = tmp_path / "v1"
    write(folder, {name: b"here"})
    found = side(project, str(folder))
    assert (found.name, found.read(name)) == (str(folder), b"here")


def test_words_that_are_no_side(project: Path, tmp_path: Path) -> None:
    for words in ("--output=/tmp/x", "v1; rm -rf .", "v1:metrics", "a b", "-x", "$(id)", "", "/none", str(tmp_path)):
        with pytest.raises(RevisionError, match="is neither a revision nor a folder with params.yaml or metrics or"):
            side(project, words)
    with pytest.raises(RevisionError, match="There is no revision nobody here; expected a branch, a tag or a commit"):
        side(project, "nobody")
    with pytest.raises(RevisionError, match="There is no revision"):
        side(project, git(project, "rev-parse", "HEAD:./params.yaml").strip())  # no commit


def test_a_visitor_names_revisions_alone(project: Path) -> None:
    for words in ("--output=/tmp/x", "v1; rm -rf .", str(project), ""):
        with pytest.raises(RevisionError, match="is no name of a revision"):
            revisions.revision(project, words)
    assert revisions.revision(project, "v1").read("params.yaml") == b"a: 1\n"


def test_recent_commits(project: Path) -> None:
    commit(project.parent, "Second\n\nand why")
    git(project, "config", "log.showSignature", "true")
    assert list(revisions.recent(project).values()) == ["Second", "First <b>run</b>"]
    assert list(revisions.recent(project, 1).values()) == ["Second"]


def test_where_there_is_no_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for ask in (lambda: revisions.recent(tmp_path), lambda: side(tmp_path, "HEAD")):
        with pytest.raises(RevisionError, match=r"^Git cannot read this project's history: not a git repository"):
            ask()
    git(tmp_path, "init", "--quiet")
    with pytest.raises(RevisionError, match="There is no revision HEAD here"):
        side(tmp_path, "HEAD")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RevisionError, match="Revisions need git"):
        side(tmp_path, "HEAD")


def test_a_file_that_cannot_be_read(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(RevisionError, match=r"^workspace: params.yaml: Permission denied$"):
        side(project, None).read("params.yaml")


def test_a_file_that_a_clone_left_behind(project: Path) -> None:
    head = side(project, "HEAD")
    blob = git(project, "rev-parse", "HEAD:./params.yaml").strip()
    (project.parent / ".git/objects" / blob[:2] / blob[2:]).unlink()
    assert head.read("metrics/x.json") == b"{}"
    with pytest.raises(RevisionError, match=r"params.yaml: Git does not have this file here"):
        head.read_all(["metrics/x.json", "params.yaml"])
