"""Models outside as rows: published architectures and an ONNX file in the table beside the project's rows."""

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import outside
import pictures
import pytest
import torch
from conftest import Project, ran
from PIL import Image

NETWORKS = ("NAFNet", "SCUNet", "SwinIR")
FRAMES = [name.lower() for name in NETWORKS]
HOLES = ["grey", "theirs"]


@pytest.fixture(scope="module")
def extended(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The tiny project with five models outside, up to date again."""
    copy = project.copy(tmp_path_factory.mktemp("outside") / "project")
    folder = copy.root / "outside"
    folder.mkdir()
    frames = {"kind": "external", "dataset": "photos", "observes": "frames", "observation": "photos-cctv"}
    holes = {**frames, "observes": "holes", "observation": "two-boxes"}
    rows: dict[str, dict[str, Any]] = {}
    for number, name in enumerate(NETWORKS):
        path = folder / f"{name.lower()}.{'pth' if number else 'safetensors'}"
        rows[name.lower()] = {**frames, "format": "checkpoint", **outside.saved(outside.network(name), path)}
    parts = (torch.rand(1, 3, 32, 32), torch.zeros(1, 1, 32, 32))
    model = outside.Declared(-1.0, 1.0, "nchw", "rgb", 1, False)
    rows["grey"] = {
        **holes,
        "format": "onnx",
        **outside.exported(model, parts, folder / "grey.onnx"),
        "range": [-1.0, 1.0],
    }
    rows["theirs"] = {**holes, "format": "folder", **results(copy, "pix2pix")}
    for row in rows.values():
        row["path"] = f"outside/{row['path']}"

    def add(params: dict[str, Any]) -> None:
        params["reconstructors"].update(rows)

    copy.params(add)
    said = copy.dvc("repro", *(f"evaluate@{name}" for name in rows), "report")
    (copy.root.parent / "said.txt").write_text(said, encoding="utf-8")
    yield copy


def results(project: Project, row: str) -> dict[str, Any]:
    """The reconstructions of a row as a folder of images by key, as another program would leave them."""
    from afterimage.core import shards
    from afterimage.reconstructors.external import folder

    target = project.root / "outside/theirs"
    target.mkdir()
    for key, data, _ in shards.read(project.root / "data/reconstructions" / row / "test", "test"):
        (target / f"{key}.png").write_bytes(data)
    return {"path": "theirs", "sha256": folder.digest(target)}


def metrics(project: Project, kind: str, row: str, case: str = "test") -> dict[str, float]:
    return json.loads((project.root / f"metrics/{kind}/{row}/{case}.json").read_text(encoding="utf-8"))


def test_only_their_stages_run(extended: Project) -> None:
    said = ran((extended.root.parent / "said.txt").read_text(encoding="utf-8"))
    wanted = [f"{stage}@{name}" for name in (*FRAMES, *HOLES) for stage in ("train", "evaluate")]
    assert sorted(said) == sorted([*wanted, "report"])
    card = json.loads((extended.root / "data/models/swinir/card.json").read_text(encoding="utf-8"))
    assert (card["settings"]["format"], card["parameters"]) == ("checkpoint", 0)
    assert not (extended.root / "data/models/swinir/model.safetensors").exists()


def test_they_stand_in_the_tables_beside_the_project_s_rows(extended: Project) -> None:
    tables = json.loads(extended.run("afterimage", "rows", "--json").stdout)
    for kind, names in (("frames", [*FRAMES, "photos-nafnet"]), ("holes", [*HOLES, "pix2pix"])):
        lines = {line["row"]: line for line in tables[kind]}
        assert lines.keys() >= {*names, "photos-cctv" if kind == "frames" else "two-boxes"}
        assert all(lines[name]["psnr"] > 0 for name in names)
    levels = [line["case"] for line in tables["frames"] if line["row"] == "swinir"]
    assert levels == ["clean", "light", "medium", "heavy"]
    page = (extended.root / "reports/index.html").read_text(encoding="utf-8")
    for name in (*FRAMES, *HOLES):
        assert re.search(rf'<th scope="row">{name}<', page), name
    table = (extended.root / "reports/tables/results/holes-photos.csv").read_text(encoding="utf-8")
    assert "\ngrey/test," in table and "\ntheirs/test," in table and "\npix2pix/test," in table


def test_a_folder_of_a_row_s_results_has_the_row_s_numbers(extended: Project) -> None:
    assert metrics(extended, "holes", "theirs") == metrics(extended, "holes", "pix2pix")


def test_the_command_line_and_the_page_take_them(extended: Project) -> None:
    (extended.root.parent / "photo.png").write_bytes(pictures.png(50, 40))
    extended.run("afterimage", "restore", "swinir", "../photo.png", "-o", "../restored.png")
    assert Image.open(extended.root.parent / "restored.png").size == (50, 40)
    extended.run("afterimage", "inpaint", "grey", "../photo.png", "--box", "10,8,10,9", "-o", "../filled.png")
    filled = np.asarray(Image.open(extended.root.parent / "filled.png").convert("RGB"))
    assert np.unique(filled[8:17, 10:20]).tolist() == [128]
    done = extended.run("afterimage", "inpaint", "theirs", "../photo.png", "--box", "10,8,10,9", status=1)
    assert "there are results of test images only" in done.stderr
    script = "from afterimage.app import models; print(*models.usable('frames'), *models.usable('holes'))"
    assert {*FRAMES, *HOLES} <= set(extended.run("python", "-c", script).stdout.split())


def test_another_file_than_the_row_names_is_refused(extended: Project) -> None:
    path = extended.root / "outside/swinir.pth"
    path.write_bytes(path.read_bytes() + b"0")
    said = extended.stage("evaluate", "swinir", status=1)
    assert re.search(r"outside/swinir\.pth: its sha256 is [0-9a-f]{64}, expected ", said)
    assert "Traceback" not in said
