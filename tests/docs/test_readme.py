"""README.md: its example runs, its commands and stages are there, and its links lead somewhere."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pictures
import pytest
from conftest import ROOT, Project, load_yaml, ran

from afterimage import cli
from afterimage.core import shards, zoo
from afterimage.observations.frames import CARE

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "data/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "zoo").glob("*/README.md")),
]
TEXT = PAGES[0].read_text(encoding="utf-8")
EXAMPLE = re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
BRACES = re.compile(r"\{(\d{6})\.\.(\d{6})\}")


def test_the_example_reads_shards_with_webdataset(tmp_path: Path) -> None:
    (code,) = EXAMPLE
    (name,) = re.findall(r'"(data/shards/[^"]+)"', code)
    first, last = (int(number) for number in BRACES.search(name).groups())  # type: ignore[union-attr]
    keys = [f"sample{number}" for number in range(2 * (last + 1))]
    for number in range(first, last + 1):
        with shards.writer(tmp_path / BRACES.sub(f"{number:06d}", name)) as put:
            for key in keys[2 * number : 2 * number + 2]:
                put(f"{key}.png", pictures.png(64, 64))
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [f"{key} (3, 64, 64)" for key in keys]


def test_the_example_fits_the_shards_of_the_pipeline(project: Project) -> None:
    (code,) = EXAMPLE
    done = project.run("python", "-c", BRACES.sub("{000000..000000}", code))
    index = shards.load_index(project.root / "data/shards/photos")
    assert len(done.stdout.splitlines()) == index["splits"]["train"]["shards"][0]["samples"]


def test_the_example_names_the_shards_of_the_default_run() -> None:
    """Where they are built here: a clone has none until `dvc repro` or `dvc pull`."""
    folder = ROOT / "data/shards/photos"
    if not (folder / "index.json").is_file():
        pytest.skip("no default run in this checkout")
    names = [shard["name"] for shard in shards.load_index(folder)["splits"]["train"]["shards"]]
    assert BRACES.search(EXAMPLE[0]).groups() == (names[0][6:12], names[-1][6:12])  # type: ignore[union-attr]


@pytest.mark.parametrize("page", ["README.md", "docs/restoration.md", "docs/video.md", "zoo/real-blind/README.md"])
def test_pages_about_restoring_say_what_a_restored_face_is(page: str) -> None:
    assert CARE in " ".join((ROOT / page).read_text(encoding="utf-8").split())


def test_every_stage_is_in_the_table() -> None:
    table = re.findall(r"^\| `(\w+)(?:@<\w+>)?` \|", TEXT, re.MULTILINE)
    stages = load_yaml(ROOT / "dvc.yaml")["stages"]
    assert [name for name in table if name in stages] == list(stages)


def test_rows_of_its_commands_are_in_the_parameters() -> None:
    params = load_yaml(ROOT / "params.yaml")
    known = {*params["reconstructors"], *params["searches"], *zoo.names(ROOT)}
    words = r"^    (?:\.venv/bin/)?afterimage (?!rows|app|preset|check|diff|evaluate|verify)[\w-]+ ([\w/-]+)"
    named = re.findall(words, TEXT, re.MULTILINE)
    assert len(named) >= 6 and "zoo/real-blind" in named
    assert [name for name in named if name not in known] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_rows_and_links_of_a_page_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    context = click.Context(cli.main)
    for line in re.findall(r"^(?:    )?(afterimage [a-z].*)$", text, re.MULTILINE):
        words = shlex.split(line.partition(" # ")[0])
        command = cli.main.get_command(context, words[1])
        assert command is not None, line
        known = {name for option in command.params for name in option.opts}
        unknown = [word for word in words[2:] if re.fullmatch(r"-\w|--[\w-]+", word) and word not in known]
        assert not unknown, line
    links = [link for link in re.findall(r"\]\(([^)#:\s]+)\)", text) if not link.startswith("reports/figures")]
    assert [link for link in links if not (page.parent / link).exists()] == []
    if page.name != "upgrading.md":  # which says what they are called now
        assert not re.findall(r"\w+-(?:decoder|inpainter|completer|restorer|holes|degradations|features)@", text)


def test_experiments_of_the_readme_change_what_they_say(project: Project, tmp_path: Path) -> None:
    """The two commands, with the tiny project's decoder in the place of the default one."""
    lines = re.findall(r"^    dvc (exp run .*?) +#", TEXT, re.MULTILINE)
    assert len(lines) == 2
    stages = [["train@small-relu", "train@small-layer1"], ["train@small-relu"]]
    for number, (line, trained) in enumerate(zip(lines, stages, strict=True)):
        copy = project.copy(tmp_path / str(number))
        words = [word.replace("vgg16-skip", "small-relu") for word in shlex.split(line)]
        said = copy.dvc(*words, "train@small-relu", "train@small-layer1")
        assert sorted(ran(said)) == sorted(trained)
