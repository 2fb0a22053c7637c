"""`afterimage submission` and `afterimage check-submission`."""

from pathlib import Path

import pictures
import pytest
import toys
from toys import call

TABLE = "file,left,top,right,bottom\nb.png,2,3,12,13,8,9,18,19\na_1.jpg,0,0,10,10\na_1.jpg,30,20,40,30\n"


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = toys.project(tmp_path / "project", monkeypatch, {"mine": toys.Drawing(), "other": toys.Negative()})
    monkeypatch.chdir(tmp_path)
    pictures.folder(Path("images"), {"a_1.jpg": pictures.jpeg(seed=1), "b.png": pictures.png(seed=2)})
    Path("boxes.csv").write_text(TABLE)
    place = ("--boxes", "boxes.csv")
    words = ("--images", "images", *place, "-o", "out.csv", "--project", project)
    code, said, error = call("submission", "other", *words)
    assert (code, "row `other` observes frames, not holes" in error) == (1, True)
    assert call("submission", "mine", *words)[:2] == (0, "out.csv: 1,200 rows\n")
    code, _, error = call("submission", "mine", *words)
    assert (code, error) == (1, "afterimage: out.csv: this output is there already; --overwrite replaces it\n")
    assert call("submission", "mine", *words, "--overwrite", "--quiet") == (0, "", "")
    code, said, _ = call("check-submission", "out.csv", *place, "--originals", "images")
    assert code == 0
    assert "1,200 rows of 2 files, as they should be; MSE 0." in said
    assert call("check-submission", "out.csv", *place, "-q") == (0, "", "")
    lines = Path("out.csv").read_text().splitlines(keepends=True)
    Path("out.csv").write_text("".join([*lines[:8], "b.png_0_7,7\n", *lines[9:]]))
    code, _, error = call("check-submission", "out.csv", *place)
    assert (code, error.splitlines()[-1]) == (1, "afterimage: out.csv, line 9: 7.0 is not between 0 and 1")
