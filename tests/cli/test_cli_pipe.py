"""The command at the end of a pipe."""

import subprocess
import sys

from conftest import ROOT


def test_a_reader_that_stops_is_no_fault():
    command = [sys.executable, "-c", "from afterimage.cli import main; main()", "rows"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    process.wait()
