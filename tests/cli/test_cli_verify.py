"""`afterimage verify`, from the command line."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from locks import CPU, committed, lock

from afterimage.cli import main
from afterimage.core import compute
from afterimage.review import integrity


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


def test_damaged_files_are_named_with_what_mends_them(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damage = integrity.Damage("data/a.tar", "its MD5 is 1, expected 2", "rm -f data/a.tar` and `dvc pull data")
    monkeypatch.setattr(integrity, "examine", lambda path: integrity.Examined(3, ["data/b"], 5, 10**6, 0.5, [damage]))
    done = verify(project, "--files")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        "afterimage: data/a.tar: its MD5 is 1, expected 2; `rm -f data/a.tar` and `dvc pull data` mends it.\n"
    )


def test_whole_files_are_told_with_what_was_read(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrity, "examine", lambda path: integrity.Examined(3, ["data/b"], 5, 10**6, 0.5, []))
    done = verify(project, "--files")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("3 outputs are what dvc.lock says, and 5 objects of the cache and local remotes what")
    assert "1 MB were read in 0.5 s" in done.stdout and done.stdout.endswith("Not here: data/b.\n")
