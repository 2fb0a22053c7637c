"""`afterimage diff`: two revisions or folders, as text, Markdown and JSON, and its exit status."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from results_folders import PSNR, commit, git, result
from toys import call

NOISE = np.random.default_rng(1).normal(size=len(PSNR))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in a folder of its repository: better at its second commit, worse in the working tree."""
    root = tmp_path / "repository/project"
    monkeypatch.chdir(tmp_path)
    for text, shift in (("First", 0.0), ("Second", 0.5), ("", -0.5)):
        result(root, "a/test", {"psnr": PSNR + shift + 0.01 * shift * NOISE})
        result(root, "b/test", {"psnr": PSNR})
        if text:
            commit(root.parent, text)
            git(root, "tag", text.lower())
    return root


def test_two_sides(project: Path, tmp_path: Path) -> None:
    def said(*words: str) -> list[str]:
        code, text, error = call("diff", *words, "--project", project)
        assert (code, error) == (0, "")
        lines = [line.split() for line in text.splitlines()]
        return [text.partition(",")[0], *(line[-1] for line in lines if line[:2] == ["a", "psnr"])]

    first, second = (git(project, "rev-parse", "--short", name).strip() for name in ("first", "second"))
    assert said() == said("HEAD") == [f"{second} -> workspace", "worse"]
    assert said("first", "second") == [f"{first} -> {second}", "better"]
    assert said("second", "first") == [f"{second} -> {first}", "worse"]
    result(tmp_path / "elsewhere", "a/test", {"psnr": PSNR})
    assert said("elsewhere", "second") == [f"elsewhere -> {second}", "better"]
    assert said("elsewhere", "elsewhere") == ["elsewhere and elsewhere: all 1 metrics of 1 row are the same"]


def test_json_and_markdown(project: Path) -> None:
    data = json.loads(call("diff", "--json", "--project", project)[1])
    assert [(change["row"], change["verdict"]) for change in data["changes"]] == [("a", "worse"), ("b", "unchanged")]
    text = call("diff", "--markdown", "--project", project)[1]
    assert text.startswith("**▼ 1 worse**, 1 unchanged: ") and "| **▼ worse** | `a` | `psnr` |" in text
    code, said, error = call("diff", "--json", "--markdown", "--project", project)
    assert (code, said, error) == (1, "", "afterimage: --json and --markdown: expected one of them\n")


@pytest.mark.parametrize("form", [(), ("--json",), ("--markdown",)])
def test_the_exit_status_on_request(project: Path, form: tuple[str, ...]) -> None:
    def status(*words: str) -> int:
        code, said, error = call("diff", *words, *form, "--project", project)
        assert said and not error
        return code

    assert status("first") == status("first", "second") == 0
    assert status("first", "--fail-on", "worse") == 1
    assert status("first", "second", "--fail-on", "worse") == 0
    assert status("first", "second", "--fail-on", "changed") == 1
    assert status("first", "first", "--fail-on", "changed") == 0
    assert call("diff", "--fail-on", "better", "--project", project)[0] == 2


def test_faults_are_one_line(project: Path, tmp_path: Path) -> None:
    for words in (["--", "--output=x"], ["first;id"], ["first", "a b"], ["/none"], [""]):
        code, said, error = call("diff", "--project", project, *words)
        assert (code, said) == (1, "")
        assert "is neither a revision nor a folder with params.yaml" in error and error.count("\n") == 1
    assert call("diff", "--output=x", "--project", project)[0] == 2
    assert not list(tmp_path.rglob("x"))
    code, _, error = call("diff", "nobody", "--project", project)
    assert error == "afterimage: There is no revision nobody here; expected a branch, a tag or a commit.\n"
    (project / "reports/measured/a/test/images.csv").write_text("key\n")
    code, _, error = call("diff", "--project", project)
    assert error.startswith("afterimage: workspace: reports/measured/a/test/images.csv: expected a table with key, ")
    assert (code, error.count("\n")) == (1, 1)
    code, _, error = call("diff", "--project", tmp_path)
    assert (code, error.count("\n")) == (1, 1) and "not a git repository" in error


def test_it_does_without_torch(project: Path) -> None:
    program = (
        "import sys; from afterimage.cli import main\n"
        "try: main(['diff'])\n"
        "finally: print(sorted(sys.modules.keys() & {'torch', 'pandas', 'matplotlib', 'skimage', 'scipy.stats'}))"
    )
    environment = {**os.environ, "COLUMNS": "20"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=project, capture_output=True, text=True, check=True, env=environment
    )
    assert "worse" in done.stdout and done.stdout.endswith("[]\n")
