"""The group of commands, and what all of them have in common."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pictures
import pytest
import toys
from click.testing import CliRunner
from PIL import Image
from toys import call

from afterimage.cli import main, options
from afterimage.cli.main import COMMANDS

HEAVY = ("'torch'", "'numpy'", "'PIL'", "'pydantic'", "'matplotlib'", "'ruamel'")
BOX = ("--box", "4,5,10,12")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rows = {"mine": toys.Doubling(), "smooth": toys.Smooth(), "drawing": toys.Drawing(), "negative": toys.Negative()}
    return toys.project(tmp_path / "project", monkeypatch, rows, {"search": toys.Doubling()})


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two images, and one in a folder below; this folder is the one that commands are given in."""
    files = {"a.png": pictures.png(40, 40), "b.jpg": pictures.jpeg(50, 40), "deep/c.png": pictures.png(64, 48, 2)}
    monkeypatch.chdir(tmp_path)
    return pictures.folder(tmp_path / "photos", files)


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


COMMAND = [("reconstruct", "mine", ()), ("inpaint", "smooth", BOX), ("restore", "negative", ())]
"""Commands that write one image for each input, but for comparisons."""


def of(folder: Path) -> list[str]:
    return [name for name in names(folder) if "comparison" not in name]


def test_help_imports_nothing_heavy() -> None:
    program = "import sys; from afterimage.cli import main\ntry: main(['--help'])\nfinally: print(sorted(sys.modules))"
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert time.monotonic() - started < 60  # a hung import, not a slow machine
    for name in COMMANDS:
        assert f"\n  {name} " in done.stdout
    for heavy in (*HEAVY, "'afterimage.cli.rows'", "'pathlib'"):
        assert heavy not in done.stdout
    assert "_AFTERIMAGE_COMPLETE=bash_source" in done.stdout


def test_a_commands_own_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from afterimage.cli import main\n"
        f"for name in {list(COMMANDS)!r}:\n"
        "    try: main([name, '--help'])\n"
        "    except SystemExit as end: assert not end.code\n"
        "print(sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.count("Usage: ") == len(COMMANDS)
    for heavy in HEAVY:
        assert heavy not in done.stdout


def test_commands_share_their_options() -> None:
    for name in COMMANDS:
        command = main.get_command(main.make_context("afterimage", ["rows"]), name)
        assert command is not None and command.name == name
        options = {option for param in command.params for option in param.opts}
        if name not in ("check-submission", "evaluate"):
            assert "--project" in options
        if name in ("reconstruct", "invert", "inpaint", "complete", "restore", "submission"):
            assert options >= {"--out", "-o", "--device", "--overwrite", "--quiet"}
    assert call("none")[0] == 2


@pytest.mark.parametrize(("name", "row", "words"), COMMAND)
def test_one_input_is_written_to_a_file(
    project: Path, photos: Path, tmp_path: Path, name: str, row: str, words: tuple[str, ...]
) -> None:
    ask = toys.caller(name, row, project)
    code, said, error = ask(photos / "b.jpg", *words)
    assert (code, error) == (0, "")
    assert f"-> b-{row}.png" in said
    assert ask(photos / "b.jpg", *words, "-o", tmp_path / "new/x.webp")[0] == 0
    with Image.open(tmp_path / f"b-{row}.png") as first, Image.open(tmp_path / "new/x.webp") as second:
        assert (first.format, second.format) == ("PNG", "WEBP")
        assert first.size == second.size == (50, 40)
    code, _, error = ask(photos / "b.jpg", *words, "-o", photos)
    assert (code, error) == (1, f"afterimage: {photos}: a folder; for one input --out is the file to write\n")
    code, _, error = ask(photos / "b.jpg", *words, "-o", tmp_path / "x.txt")
    assert code == 1
    assert "an image is written as .bmp" in error and error.count("\n") == 1


@pytest.mark.parametrize(("name", "row", "words"), COMMAND)
def test_several_inputs_are_written_to_a_folder(
    project: Path, photos: Path, tmp_path: Path, name: str, row: str, words: tuple[str, ...]
) -> None:
    ask = toys.caller(name, row, project)
    out = tmp_path / "out"
    assert ask(photos / "a.png", photos / "b.jpg", *words, "-o", out)[0] == 0
    assert of(out) == [f"a-{row}.png", f"b-{row}.png"]
    assert ask(photos, *words, "-o", out, "--overwrite")[0] == 0
    assert of(out) == [f"a-{row}.png", f"b-{row}.png", f"deep/c-{row}.png"]
    (tmp_path / "one").mkdir()
    (tmp_path / "one/d.png").write_bytes((photos / "a.png").read_bytes())
    assert ask(tmp_path / "one", photos / "deep", *words)[0] == 0
    assert {f"d-{row}.png", f"c-{row}.png"} <= set(names(tmp_path))
    for place in ("x.png", photos / "a.png"):
        code, _, error = ask(photos, *words, "-o", place)
        assert (code, error) == (1, f"afterimage: {place}: a file's name; for several inputs --out is a folder\n")
    for place in (photos, photos / "deep/more"):
        code, _, error = ask(photos, *words, "-o", place)
        assert code == 1
        assert f"{place}: outputs would lie in the input {photos}" in error
    (tmp_path / "empty").mkdir()
    code, _, error = ask(tmp_path / "empty", *words)
    assert code == 1 and "empty: no images in this folder" in error
    code, _, error = ask(photos / "a.png", photos, *words, "-o", tmp_path / "other")
    assert code == 0  # the same image twice is no conflict
    (photos / "a.jpg").write_bytes(pictures.jpeg())
    code, _, error = ask(photos, *words, "-o", tmp_path / "another")
    assert code == 1 and f"both would be {tmp_path}/another/a-{row}.png" in error


@pytest.mark.parametrize(("name", "row", "words"), COMMAND)
def test_an_output_that_is_there_is_kept(
    project: Path, photos: Path, tmp_path: Path, name: str, row: str, words: tuple[str, ...]
) -> None:
    ask = toys.caller(name, row, project)
    out = tmp_path / "out"
    pictures.folder(out, {f"a-{row}.png": b"mine", f"deep/c-{row}.png": b"mine"})
    code, said, error = ask(photos, *words, "-o", out)
    expected = f"{out}/a-{row}.png, and 1 more: this output is there already; --overwrite replaces it"
    assert (code, said, error) == (1, "", f"afterimage: {expected}\n")
    assert names(out) == [f"a-{row}.png", f"deep/c-{row}.png"]
    code, _, error = ask(photos / "a.png", *words, "-o", out / f"a-{row}.png")
    assert (code, error.count("\n")) == (1, 1)
    assert (out / f"a-{row}.png").read_bytes() == b"mine"
    assert ask(photos, *words, "-o", out, "--overwrite")[0] == 0
    assert (out / f"a-{row}.png").read_bytes() != b"mine"


@pytest.mark.parametrize(("name", "row", "words"), COMMAND)
def test_unreadable_inputs_are_named_and_the_others_go_on(
    project: Path, tmp_path: Path, name: str, row: str, words: tuple[str, ...]
) -> None:
    files = {
        "text.jpg": b"hello",
        "empty.png": b"",
        "cut.jpg": pictures.truncated(),
        "bomb.png": pictures.bomb(),
        "good.png": pictures.png(40, 40),
    }
    pictures.folder(tmp_path, files)
    sources = [tmp_path / name for name in (*files, "gone.png")]
    code, said, error = call(name, row, *sources, *words, "--project", project, "--out", tmp_path / "out")
    assert code == 1
    lines = {line.removeprefix("afterimage: ").partition(": ")[0]: line for line in error.splitlines() if ": " in line}
    for file, reason in {
        "text.jpg": "not an image in a known format",
        "empty.png": "the file is empty",
        "cut.jpg": "damaged image",
        "bomb.png": "30000 x 30000 px are more than",
        "gone.png": "No such file or directory",
    }.items():
        assert f"{tmp_path / file}: {reason}" in lines[str(tmp_path / file)]
    assert "5 of 6 inputs failed" in error
    assert "Traceback" not in error
    assert "good.png: " in said and said.count("\n") == 1
    assert of(tmp_path / "out") == [f"good-{row}.png"]
    code, _, error = call(name, row, sources[0], *words, "--project", project)
    assert (code, error.count("\n")) == (1, 1)


@pytest.mark.parametrize(("name", "row", "words"), [*COMMAND, ("complete", "drawing", BOX), ("invert", "search", ())])
def test_quiet_says_nothing_but_errors(
    project: Path, photos: Path, tmp_path: Path, name: str, row: str, words: tuple[str, ...]
) -> None:
    (photos / "bad.png").write_bytes(b"text")
    ask = toys.caller(name, row, project)
    code, said, error = ask(photos / "a.png", *words, "-q", "-o", tmp_path / "x.png")
    assert (code, said, error) == (0, "", "")
    code, said, error = ask(photos / "a.png", photos / "bad.png", *words, "-q", "-o", tmp_path / "out")
    assert (code, said) == (1, "")
    assert "bad.png: not an image" in error and error.count("\n") == 2


def test_rows_of_another_kind_name_the_command_that_takes_them(project: Path, photos: Path) -> None:
    for name, row, said in (
        ("reconstruct", "smooth", "row `smooth` observes holes, not features; `afterimage inpaint smooth` takes it"),
        ("invert", "negative", "observes frames, not features; `afterimage restore negative` takes it"),
        ("inpaint", "mine", "observes features, not holes; `afterimage reconstruct mine` takes it"),
        ("complete", "search", "observes features, not holes; `afterimage reconstruct search` takes it"),
        ("restore", "drawing", "observes holes, not frames; `afterimage inpaint drawing` takes it"),
        ("inpaint", "none", "there is no reconstructor `none`; there are mine, smooth, drawing, negative, search"),
    ):
        code, _, error = call(name, row, photos / "a.png", "--project", project)
        assert code == 1
        assert said in error and error.count("\n") == 1
    code, _, error = call("inpaint", "mine", photos / "a.png", "--project", photos)
    assert (code, "there is no such parameter file" in error) == (1, True)


@pytest.mark.parametrize(("name", "row", "words"), COMMAND)
def test_a_fault_of_the_model_stops_all(
    project: Path, photos: Path, name: str, row: str, words: tuple[str, ...]
) -> None:
    code, said, error = call(name, row, photos, *words, "--project", project, "--device", "mps", "-o", "out")
    assert (code, said) == (1, "")
    assert error.startswith("afterimage: device `mps` is not available here; there is ") and error.count("\n") == 1
    code, _, error = call(name, f"{row}/none", photos, *words, "--project", project, "-o", "out")
    assert (code, error) == (1, f"afterimage: there is no `{row}/none`; there is {row} alone\n")


def completions(words: list[str], incomplete: str) -> list[str]:
    environment = {
        "_AFTERIMAGE_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["afterimage", *words, incomplete]),
        "COMP_CWORD": str(1 + len(words)),
    }
    done = CliRunner().invoke(main, [], env=environment, prog_name="afterimage")
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_names_of_commands_and_rows_complete(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    assert completions([], "re") == ["reconstruct", "restore"]
    assert completions(["reconstruct"], "") == ["mine", "search"]
    assert completions(["reconstruct"], "m") == ["mine"]
    assert completions(["invert"], "") == ["search"]
    assert completions(["complete"], "") == completions(["inpaint"], "") == ["smooth", "drawing"]
    assert completions(["restore"], "") == ["negative"]
    monkeypatch.chdir(tmp_path)
    assert completions(["restore"], "") == []
    assert completions(["restore", "--project", "project"], "") == ["negative"]
    (project / "params.yaml").write_text("a: [")
    assert completions(["restore", "--project", "project"], "") == []


def test_completion_is_cheap(project: Path) -> None:
    begin = "import sys; from afterimage.cli import main"
    program = f"{begin}\ntry: main(prog_name='afterimage')\nfinally: print(sorted(sys.modules))"
    environment = {**os.environ, "_AFTERIMAGE_COMPLETE": "bash_complete", "COMP_CWORD": "2"}
    environment["COMP_WORDS"] = "afterimage restore "
    run = [sys.executable, "-c", program]
    done = subprocess.run(run, capture_output=True, text=True, cwd=project, env=environment)
    assert "plain,negative" in done.stdout
    for heavy in ("'torch'", "'PIL'", "'matplotlib'"):
        assert heavy not in done.stdout


def test_known_pixels_and_results_are_the_rows(project: Path, photos: Path, tmp_path: Path) -> None:
    assert call("restore", "negative", photos / "a.png", "-o", "x.png", "--project", project)[0] == 0
    found = np.asarray(Image.open(tmp_path / "x.png"))
    assert np.array_equal(found, 255 - np.asarray(Image.open(photos / "a.png")))


def test_bars_and_what_is_said_beside_them_are_back_after_a_quiet_command(capsys: pytest.CaptureFixture[str]) -> None:
    from tqdm import tqdm

    with options.progress(True):
        assert list(tqdm(range(3), desc="bar")) == [0, 1, 2]
        tqdm.write("words")
    assert capsys.readouterr() == ("", "")
    with options.progress(False):
        assert list(tqdm(range(3), desc="bar")) == [0, 1, 2]
    tqdm.write("words")
    said = capsys.readouterr()
    assert "bar" in said.err and said.out == "words\n"
