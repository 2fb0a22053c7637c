"""`afterimage zoo`, and `zoo/NAME` where commands take a row."""

import json
import shutil
from pathlib import Path

import numpy as np
import pictures
import pytest
from click.shell_completion import ShellComplete
from conftest import ROOT
from PIL import Image
from toys import call

from afterimage.cli import main
from afterimage.core import zoo

NAME = "zoo/real-blind"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone after `make setup`: parameters and one row of the zoo, and nothing that was made."""
    folder = tmp_path / "project"
    shutil.copytree(ROOT / NAME, folder / NAME)
    shutil.copyfile(ROOT / "params.yaml", folder / "params.yaml")
    monkeypatch.chdir(tmp_path)
    return folder


def test_the_list_says_what_a_row_does_and_what_it_is_worth(project: Path) -> None:
    code, said, _ = call("zoo", "--project", ROOT)
    assert code == 0
    assert [line.split()[0] for line in said.splitlines() if line.startswith("zoo/")] == zoo.names(ROOT)
    assert max(map(len, said.splitlines())) <= 100
    words = " ".join(said.split())
    for name in zoo.names(ROOT):
        card = zoo.card(ROOT, name)
        assert f"{card['about']['title']}. {card['headline']}" in words
    size = (ROOT / NAME / "model.safetensors").stat().st_size + (ROOT / NAME / "curves.csv").stat().st_size
    assert f"{NAME} {size / 1e6:.1f} MB" in words
    shutil.rmtree(project / "zoo")
    assert call("zoo", "--project", project) == (0, f"no rows in {project / 'zoo'}\n", "")


def test_a_photograph_is_restored(project: Path) -> None:
    Path("photo.png").write_bytes(pictures.png(61, 45))
    code, said, error = call("restore", NAME, "photo.png", "--project", project)
    assert (code, said, error) == (0, "photo.png: 1 image -> photo-zoo-real-blind.png\n", "")
    assert Image.open("photo-zoo-real-blind.png").size == (61, 45)
    words = ("-o", "kept.png", "--strength", "0", "--brightness", "keep", "--project", project)
    code, _, error = call("restore", NAME, "photo.png", *words)
    assert (code, error) == (0, "")
    assert np.array_equal(np.asarray(Image.open("kept.png")), np.asarray(Image.open("photo.png")))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("restore", "zoo/none"), f"zoo: there is no row `zoo/none`; there are {NAME}"),
        (("inpaint", NAME), f"row `{NAME}` observes frames, not holes; `afterimage restore {NAME}` takes it"),
        (("complete", NAME), f"row `{NAME}` observes frames, not holes; `afterimage restore {NAME}` takes it"),
        (("reconstruct", NAME), f"row `{NAME}` observes frames, not features; `afterimage restore {NAME}` takes it"),
        (("restore", f"{NAME}/heavy"), f"there is no `{NAME}/heavy`; there is {NAME} alone"),
        (("restore", "real-blind"), "there is no reconstructor `real-blind`; there are "),
    ],
)
def test_what_is_not_there_or_is_another_thing_is_one_line(
    project: Path, words: tuple[str, ...], expected: str
) -> None:
    Path("photo.png").write_bytes(pictures.png())
    code, said, error = call(*words, "photo.png", "--project", project)
    assert (code, said) == (1, "")
    assert expected in error and error.count("\n") == 1
    assert NAME in error


def test_its_card_is_the_file_that_people_read(project: Path) -> None:
    for form in ((), ("--markdown",)):
        code, said, _ = call("card", NAME, *form, "--project", project)
        assert (code, said) == (0, (project / NAME / "README.md").read_text(encoding="utf-8"))
    assert json.loads(call("card", NAME, "--json", "--project", project)[1]) == zoo.card(project, NAME)
    code, _, error = call("card", "zoo/none", "--project", project)
    assert (code, error) == (1, f"afterimage: {project / 'zoo'}: there is no row `zoo/none`; there are {NAME}\n")


@pytest.mark.parametrize(("command", "found"), [("restore", [NAME]), ("card", [NAME]), ("inpaint", []), ("invert", [])])
def test_completion(project: Path, monkeypatch: pytest.MonkeyPatch, command: str, found: list[str]) -> None:
    monkeypatch.chdir(project)
    completing = ShellComplete(main, {}, "afterimage", "_AFTERIMAGE_COMPLETE")
    assert [each.value for each in completing.get_completions([command], "zoo/real")] == found
