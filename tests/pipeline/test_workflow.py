"""The workflow of pull requests: that it is sound, as far as one can tell without GitHub."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, load_yaml
from results_folders import PSNR, commit, result
from ruamel.yaml import YAML

from afterimage.cli.main import COMMANDS

PATH = ROOT / ".github/workflows/pipeline.yml"
TEXT = PATH.read_text(encoding="utf-8")
FLOW: dict[str, Any] = load_yaml(PATH)
STEPS = [step for job in FLOW["jobs"].values() for step in job["steps"]]
RUNS = [step["run"] for step in STEPS if "run" in step]
MINE = "github.event.pull_request.head.repo.full_name == github.repository"
"""That a pull request is of this repository, and not of a fork, where the token may not write."""


def step(name: str) -> dict[str, Any]:
    (found,) = [each for each in FLOW["jobs"]["results"]["steps"] if name in each.get("name", "")]
    return found


def commands() -> list[list[str]]:
    """The words of every command; none of the blocks has a loop or a condition."""
    return [shlex.split(line) for run in RUNS for line in run.strip().splitlines()]


@pytest.mark.parametrize("run", RUNS)
def test_every_block_is_bash_and_takes_values_from_its_environment(run: str) -> None:
    done = subprocess.run(["bash", "-n"], input=run, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "${{" not in run, "a title or a branch's name would run as code"


def test_every_command_is_there() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    makes = [words[1:] for words in commands() if words[0] == "make"]
    assert makes == [["lint"], ["browser"], ["test"], ["setup"]]
    assert {target for words in makes for target in words} <= set(targets)
    mine = [words[1] for words in commands() if words[0] == ".venv/bin/afterimage"]
    assert mine == ["comment", "verify"]
    assert set(mine) <= set(COMMANDS)
    others = {words[0] for words in commands()} - {"make", ".venv/bin/afterimage"}
    assert others == {"printf", "export", "dvc", "cat", "npm", "cml"}


def test_what_others_wrote_is_pinned() -> None:
    used = [each["uses"] for each in STEPS if "uses" in each]
    assert len(used) == 7
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", name) for name in used)
    assert len(re.findall(r"uses: \S+@\S{40} # v\d+\.\d+\.\d+$", TEXT, re.MULTILINE)) == len(used)
    assert re.findall(r"@dvcorg/cml@(.*)", TEXT) == ["0.20.6"]


def test_only_the_comment_may_write() -> None:
    assert FLOW["permissions"] == {"contents": "read"}
    assert {name: job["permissions"] for name, job in FLOW["jobs"].items() if "permissions" in job} == {
        "results": {"contents": "read", "pull-requests": "write"}
    }
    checkouts = [each for each in STEPS if each.get("uses", "").startswith("actions/checkout@")]
    assert [each["with"]["persist-credentials"] for each in checkouts] == [False, False]
    assert [each.get("name") for each in STEPS if "github.token" in str(each.get("env"))] == [step("Post")["name"]]
    assert step("Post")["if"] == MINE
    assert re.findall(r"secrets\.(\w+)", TEXT) == ["DVC_CONFIG_LOCAL"]
    assert "pull_request_target" not in TEXT


def test_a_difference_fails_the_job_after_the_comment() -> None:
    names = [each.get("name", each.get("uses", "").partition("@")[0]) for each in FLOW["jobs"]["results"]["steps"]]
    post, verify = names.index(step("Post")["name"]), names.index(step("committed")["name"])
    assert names.index(step("Write")["name"]) < post < verify == len(names) - 1
    assert step("committed")["run"] == ".venv/bin/afterimage verify"
    assert "if" not in step("committed") and "continue-on-error" not in TEXT


def test_the_virtual_environment_is_that_of_the_requirements() -> None:
    caches = [each["with"] for each in STEPS if each.get("uses", "").startswith("actions/cache@")]
    assert [each["path"] for each in caches] == [".venv", ".venv"]
    assert all("hashFiles('requirements.txt')" in each["key"] for each in caches)


def test_the_comment_is_written_without_a_network(tmp_path: Path) -> None:
    root = tmp_path / "project"
    result(root, "row/test", {"psnr": PSNR})
    base = commit(root, "Base")
    result(root, "row/test", {"psnr": PSNR + 1})
    commit(root, "Better")
    (root / ".venv/bin").mkdir(parents=True)
    (root / ".venv/bin/afterimage").symlink_to(Path(sys.executable).with_name("afterimage"))
    summary = tmp_path / "summary.md"
    values = {"BASE": base, "RUNNER_TEMP": str(tmp_path), "GITHUB_STEP_SUMMARY": str(summary)}
    subprocess.run(["bash", "-e", "-c", step("Write")["run"]], cwd=root, env={**os.environ, **values}, check=True)
    assert "1 better" in summary.read_text(encoding="utf-8")
    assert summary.read_bytes() == (tmp_path / "comment/comment.md").read_bytes()


def test_the_remote_is_what_the_secret_says(tmp_path: Path) -> None:
    write, *_ = step("Fetch")["run"].splitlines()
    (tmp_path / ".dvc").mkdir()
    for text in ("[core]\n    remote = 'storage $HOME'", ""):
        values = {**os.environ, "DVC_CONFIG_LOCAL": text}
        subprocess.run(["bash", "-e", "-c", write], cwd=tmp_path, env=values, check=True)
        assert (tmp_path / ".dvc/config.local").read_text(encoding="utf-8") == f"{text}\n"


def test_the_recipe_for_gitlab_runs_the_same_commands() -> None:
    (text,) = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs/review.md").read_text("utf-8"), re.DOTALL | re.MULTILINE)
    script = YAML(typ="safe").load(text)["results"]["script"]
    done = subprocess.run(["bash", "-n"], input="\n".join(script), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert script[0].split("&&")[-1].strip() == "npm install --global @dvcorg/cml@0.20.6"
    mine = [words[:2] for words in map(shlex.split, script) if words[0] == ".venv/bin/afterimage"]
    assert mine == [[".venv/bin/afterimage", "comment"], [".venv/bin/afterimage", "verify"]]
    assert "make setup" in script and script[2] == step("Fetch")["run"].splitlines()[0]
