import errno
import json
import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import os, sys
from afterimage.core import stage
from afterimage.core.errors import ShardError
def main(key):
    if key == "bad": raise ShardError("photos: two lines\\n   are made one")
    if key == "full": raise OSError(28, os.strerror(28), "data/x.tar")
    if key == "bug": raise KeyError("a fault of the program")
    if key == "stop": raise KeyboardInterrupt
    if key == "long": print("runs", flush=True); sys.stdin.read()
stage.run(main)
"""


def run(folder: Path, key: str) -> subprocess.CompletedProcess[str]:
    (folder / "params.yaml").write_text("compute: {portable: true, threads: 1}\n")
    (folder / "demo.py").write_text(PROGRAM)
    return subprocess.run([sys.executable, "demo.py", key], cwd=folder, capture_output=True, text=True, check=False)


def test_a_fault_of_the_user_is_one_line(tmp_path: Path) -> None:
    done = run(tmp_path, "bad")
    assert (done.returncode, done.stderr) == (1, "demo@bad: photos: two lines are made one\n")
    full = run(tmp_path, "full")
    assert (full.returncode, full.stderr) == (1, f"demo@full: {os.strerror(errno.ENOSPC)}: data/x.tar\n")
    stopped = run(tmp_path, "stop")
    assert stopped.stderr == "demo@stop: interrupted; run the same command to go on\n"


def test_the_wrong_number_of_words_is_named(tmp_path: Path) -> None:
    (tmp_path / "demo.py").write_text(PROGRAM)
    done = subprocess.run([sys.executable, "demo.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "demo: expected KEY, found []\n")


def test_a_fault_of_the_program_keeps_its_traceback(tmp_path: Path) -> None:
    done = run(tmp_path, "bug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_a_run_leaves_its_record_outside_the_outputs(tmp_path: Path) -> None:
    assert run(tmp_path, "good").returncode == 0
    record = json.loads((tmp_path / ".afterimage/runs/demo@good.json").read_text())
    assert record["stage"] == "demo@good"
    assert record["seconds"] < 60
    assert record["packages"]["torch"].count(".") >= 2


def test_a_second_process_of_a_stage_waits(tmp_path: Path) -> None:
    """A stage whose DVC was killed lives on; the next run must not write beside it."""
    run(tmp_path, "good")
    words = [sys.executable, "demo.py", "long"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, cwd=tmp_path, text=True, **pipes) as first:  # type: ignore[call-overload]
        assert first.stdout.readline() == "runs\n"
        with subprocess.Popen(words, cwd=tmp_path, text=True, **pipes) as second:  # type: ignore[call-overload]
            assert second.stderr.readline() == "demo@long: waits for another process that runs it\n"
            first.kill()
            assert second.communicate(timeout=60) == ("runs\n", "")
            assert second.returncode == 0
