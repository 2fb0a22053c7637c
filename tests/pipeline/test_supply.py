"""What is installed is what was pinned: every package by its hashes, and known vulnerabilities are looked up."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT, load_yaml

PINS = ("requirements.txt", "requirements-setup.txt", "requirements-clouds.txt")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def pins(name: str) -> dict[str, list[str]]:
    """The hashes of each pin."""
    entries = re.split(r"\n(?=\S)", (ROOT / name).read_text(encoding="utf-8").strip())
    return {entry.split(" ")[0]: re.findall(r"--hash=sha256:([0-9a-f]{64})", entry) for entry in entries}


@pytest.mark.parametrize("name", PINS)
def test_every_package_is_pinned_by_hashes_and_by_nobodys_address(name: str) -> None:
    found = pins(name)
    assert found and all(re.fullmatch(r"[a-z0-9-]+==[0-9a-z.]+", pin) for pin in found)
    assert all(found.values()), [pin for pin, hashes in found.items() if not hashes]
    text = (ROOT / name).read_text(encoding="utf-8")
    assert not re.search(r"://|^-|index|find-links", text, re.MULTILINE)


def test_all_files_pin_the_same_versions() -> None:
    others, setup, clouds = map(pins, PINS)
    known = {pin.split("==")[0] for pin in others}
    added = {pin.split("==")[0] for pin in clouds if pin not in others}
    assert {"dvc-gs", "dvc-azure"} <= added
    assert not added & known
    assert {pin.split("==")[0] for pin in setup} == {"setuptools", "uv"}
    (setuptools,) = [pin for pin in setup if pin.startswith("setuptools==")]
    assert set(setup[setuptools]) == set(others[setuptools])


def test_nothing_is_installed_without_a_hash() -> None:
    installs = [line.strip() for line in re.findall(r"^\t.*(?:pip install|INSTALL).*", MAKEFILE, re.MULTILINE)]
    assert len(installs) == 4
    assert all("--require-hashes" in line or "--no-deps --editable ." in line for line in installs)
    assert "--no-build-isolation" in re.findall(r"^INSTALL := .*", MAKEFILE, re.MULTILINE)[0]


AUDITS = {
    "none": ("echo 'No known vulnerabilities found' >&2", 0, "No known vulnerabilities found\n"),
    "some": ("echo 'Found 1' >&2; echo jinja2 CVE-1 > \"$out\"; exit 1", 1, "jinja2 CVE-1\n"),
    "nobody": (
        "printf 'Traceback:\\nConnectionError: no route\\n' >&2; exit 1",
        0,
        "nothing was checked: the vulnerability service or the package index gave no answer "
        "(ConnectionError: no route)\n",
    ),
}


@pytest.mark.parametrize("workflow", [False, True])
@pytest.mark.parametrize("case", AUDITS)
def test_an_audit_tells_none_from_nobody_answering(case: str, workflow: bool, tmp_path: Path) -> None:
    does, status, said = AUDITS[case]
    stub = tmp_path / "uvx"
    stub.write_text(f'#!/usr/bin/env bash\necho "$@" > "{tmp_path}/words"\nout="${{@: -1}}"\n{does}\n')
    stub.chmod(0o755)
    values = {name: value for name, value in os.environ.items() if name != "CI"} | ({"CI": "true"} if workflow else {})
    values["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run([ROOT / ".ci/audit"], env=values, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (said, "")
    assert done.returncode == (1 if workflow and case == "nobody" else status)
    words = (tmp_path / "words").read_text().split()
    assert re.fullmatch(r"pip-audit@\d+\.\d+\.\d+", words[1])
    assert {"--strict", *PINS} <= set(words), "without it an unknown package counts as a safe one"


def test_the_workflow_audits_weekly_and_where_the_pins_change() -> None:
    path = ROOT / ".github/workflows/audit.yml"
    text, flow = path.read_text(encoding="utf-8"), load_yaml(path)
    assert flow["permissions"] == {"contents": "read"} and "secrets" not in text
    assert [each["cron"].split()[2:] for each in flow["on"]["schedule"]] == [["*", "*", "1"]]
    for event in ("pull_request", "push"):
        assert {*PINS, ".ci/audit"} <= set(flow["on"][event]["paths"])
    (job,) = flow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == ["make audit"]
    pipeline = (ROOT / ".github/workflows/pipeline.yml").read_text(encoding="utf-8")
    assert all(step["uses"] in pipeline for step in job["steps"] if "uses" in step), "pinned as the pipeline has them"
