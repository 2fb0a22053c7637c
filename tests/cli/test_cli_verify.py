"""`afterimage verify`, from the command line."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from locks import CPU, committed, lock

from afterimage.cli import main
from afterimage.core import compute


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A committed run of this kind of CPU."""
    monkeypatch.setattr(compute, "cpu", lambda: dict(CPU))
    return committed(tmp_path)


def verify(project: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["verify", "--project", str(project), *words])


def test_the_same_bits(project: Path) -> None:
    done = verify(project)
    assert done.exit_code == 0
    assert done.output.startswith("All 4 stages have the bits of ")
    assert done.output.count("AMD EPYC (x86_64/AuthenticAMD/25/17)") == 2


def test_other_bits_on_the_same_kind_of_cpu_fail(project: Path) -> None:
    lock(project, model="other")
    done = verify(project)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert "train@a is the first of 2 stages (of 4) whose outputs are not those of" in done.stderr
    assert "data/models/a" in done.stderr
    assert "ANOTHER" not in done.stderr


def test_other_bits_on_another_kind_are_loud_and_pass(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock(project, model="other")
    monkeypatch.setattr(compute, "cpu", lambda: {**CPU, "vendor": "GenuineIntel", "name": "Xeon"})
    done = verify(project, "HEAD")
    assert done.exit_code == 0
    assert "THE BITS DIFFER ON ANOTHER KIND OF CPU" in done.stderr
    assert "Xeon (x86_64/GenuineIntel/25/17)" in done.stderr and "AMD EPYC" in done.stderr
    assert "train@a is the first" in done.stderr


def test_results_of_other_code_fail_on_any_cpu(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock(project, code="edited")
    monkeypatch.setattr(compute, "cpu", lambda: {"machine": "riscv"})
    done = verify(project)
    assert done.exit_code == 1
    assert done.stderr.startswith("afterimage: shard@x: src: not what dvc.lock of ")
    assert "nor in 2 more stages" in done.stderr


def test_a_record_is_written(project: Path) -> None:
    (project / "built-on.json").unlink()
    done = verify(project, "--record")
    assert done.exit_code == 0
    assert "built-on.json: AMD EPYC" in done.output
    assert (project / "built-on.json").is_file()


def test_an_unknown_revision_is_one_line(project: Path) -> None:
    done = verify(project, "nowhere")
    assert done.exit_code == 1
    assert done.stderr == "afterimage: There is no revision nowhere here; expected a branch, a tag or a commit.\n"
