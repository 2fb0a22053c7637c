"""Each command on a real project, built by `dvc repro`."""

import json
from pathlib import Path

import numpy as np
import pictures
import pytest
from conftest import Project
from PIL import Image
from toys import call

from afterimage import apply
from afterimage.apply import features, holes


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    pictures.noise(61, 45).save("a.png")
    return Path("a.png")


def done(*words: str | Path) -> str:
    code, said, error = call(*words)
    assert code == 0, error
    return said


@pytest.mark.parametrize("row", ["small-relu", "small-layer1", "small-relu-search"])
def test_reconstruct(project: Project, photo: Path, row: str) -> None:
    said = done("reconstruct", row, photo, "--project", project.root)
    assert f"-> a-{row}.png, a-{row}-comparison.png" in said
    assert Image.open(f"a-{row}.png").size == (61, 45)


def test_leak(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pictures.people(tmp_path / "faces", count=3).parent)
    said = done("leak", "small", "faces", "--searches", "--project", project.root)
    found = json.loads(Path("leak-small/leak.json").read_text())
    rows = {(each["row"], each["attacker"]) for each in found["results"]}
    searched = {("small-relu-search", case) for case in ("optimisation", "hybrid")}
    assert rows == {("small-relu", "decoder"), ("small-layer1", "decoder"), *searched}
    assert f"Page: {Path('leak-small/leak.html').resolve()}" in said


def test_invert(project: Project, photo: Path) -> None:
    applied = apply.load(project.root, "small-relu", "cpu")
    assert isinstance(applied, features.Applied)
    np.save("a.npy", applied.features(pictures.noise(64, 48))[0][0].numpy())
    for words in ((), ("--steps", "2", "--restarts", "2", "--seed", "3")):
        said = done("invert", "small-relu-search", "a.npy", *words, "--overwrite", "--project", project.root)
        assert "steps" in said and "-> a-small-relu-search.png" in said
        assert Image.open("a-small-relu-search.png").size == (64, 48)
    first = Path("a-small-relu-search.png").read_bytes()
    done("invert", "small-relu-search", "a.npy", *words, "--overwrite", "--project", project.root)
    assert Path("a-small-relu-search.png").read_bytes() == first
    done("invert", "small-relu-search/optimisation", "a.npy", "--steps", "1", "--project", project.root)


@pytest.mark.parametrize("row", ["pix2pix", "small-pixelrnn"])
def test_inpaint(project: Project, photo: Path, row: str) -> None:
    said = done("inpaint", row, photo, "--box", "10,8,20,17", "--project", project.root)
    assert said == f"a.png: 12.4% filled -> a-{row}.png\n"
    mask = np.zeros((45, 61), bool)
    mask[8:25, 10:30] = True
    before, after = (np.asarray(Image.open(name)) for name in (photo, f"a-{row}.png"))
    np.testing.assert_array_equal(before[~mask], after[~mask])
    assert (before[mask] != after[mask]).any()


def test_complete(project: Project, photo: Path) -> None:
    words = ("--box", "10,8,20,17", "--samples", "3", "--seed", "1", "--project", project.root)
    assert "completed 3 times" in done("complete", "small-pixelrnn", photo, *words)
    samples = [Path(f"a-small-pixelrnn-{number}.png").read_bytes() for number in (1, 2, 3)]
    assert len(set(samples)) == 3
    code, _, error = call("complete", "pix2pix", photo, *words)
    assert (code, "`afterimage inpaint pix2pix` gives it" in error) == (1, True)
    applied = apply.load(project.root, "small-pixelrnn", "cpu")
    assert isinstance(applied, holes.Applied)


def test_restore(project: Project, photo: Path) -> None:
    assert (
        done("restore", "photos-nafnet", photo, "--project", project.root) == "a.png: 1 image -> a-photos-nafnet.png\n"
    )
    assert Image.open("a-photos-nafnet.png").size == (61, 45)


def test_submission(project: Project, photo: Path) -> None:
    Path("boxes.csv").write_text("a.png,10,8,30,25\n")
    words = ("--images", ".", "--boxes", "boxes.csv", "-o", "out.csv", "--project", project.root)
    assert done("submission", "pix2pix", *words) == "out.csv: 1,020 rows\n"
    assert "MSE 0." in done("check-submission", "out.csv", "--boxes", "boxes.csv", "--originals", ".")


def test_rows(project: Project) -> None:
    tables = json.loads(done("rows", "--json", "--project", project.root))
    assert set(tables) == {"features", "holes", "frames"}
    names = [line["row"] for lines in tables.values() for line in lines]
    for row in ("small-relu", "small-layer1", "pix2pix", "small-pixelrnn"):
        assert row in names
    assert any(name.startswith("photos-nafnet") for name in names)
    assert max(len(line) for line in done("rows", "--project", project.root).splitlines()) <= 120


def test_the_best_rows_stand_beside_the_best_baselines(project: Project) -> None:
    table = done("rows", "--best", "--project", project.root)
    assert max(len(line) for line in table.splitlines()[:-1]) <= 100  # the last names the report, wherever it lies
    found = json.loads(done("rows", "--best", "--kind", "holes", "--json", "--project", project.root))
    best = {line["observation"]: line for line in found["holes"]}["two-boxes"]
    page = (project.root / "reports/index.html").read_text(encoding="utf-8")
    assert best["verdict"] in page and f"{best['dB']} dB" in page
