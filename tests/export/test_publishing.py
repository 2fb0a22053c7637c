"""Rows of a project, trained by its pipeline, on their way out: as files, and as folders for the hub."""

from pathlib import Path

import numpy as np
import pictures
import pytest
from conftest import Project
from PIL import Image
from ruamel.yaml import YAML
from toys import call

from afterimage.core import zoo
from afterimage.evaluation.results import read_json

ROWS = {"small-relu": "reconstruct", "pix2pix": "inpaint", "photos-nafnet": "restore"}


@pytest.mark.parametrize("row", ROWS)
def test_a_row_of_the_project_is_published_and_used_from_its_folder(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: str
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("publish", row, "me/row", "--licence", "cc0-1.0", "--dry-run", "--project", project.root)
    code, _, error = call(*words)
    assert (code, error) == (0, "")
    folder = tmp_path / "row"
    name = f"zoo/{row}"
    card = zoo.card(folder, name)
    zoo.check(folder / name, card["sha256"])
    front = YAML(typ="safe", pure=True).load((folder / zoo.README).read_text(encoding="utf-8").split("---\n")[1])
    (metrics,) = [each["metrics"] for each in front["model-index"][0]["results"]][:1]
    (path, *_) = sorted((project.root / "metrics").glob(f"*/{row}/*.json"))
    assert front["license"] == "cc0-1.0" and {each["type"] for each in metrics} == set(read_json(path))
    Path("photo.png").write_bytes(pictures.png(64, 64))
    holes = ("--box", "10,10,20,20") if ROWS[row] == "inpaint" else ()
    for given, root, out in ((row, project.root, "own.png"), (name, folder, "published.png")):
        code, _, error = call(ROWS[row], given, "photo.png", "-o", out, *holes, "--project", root)
        assert (code, error) == (0, "")
    assert np.array_equal(np.asarray(Image.open("own.png")), np.asarray(Image.open("published.png")))


@pytest.mark.parametrize("row", ROWS)
def test_a_row_of_the_project_is_exported(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, said, error = call("export", row, "--format", "onnx", "--project", project.root)
    assert (code, error) == (0, "") and said.startswith(f"{row} -> {row}.onnx, ")
    assert "checked on 64 x 64 px" in said
