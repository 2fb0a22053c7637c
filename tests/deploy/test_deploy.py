"""The Dockerfile and the files of a Space: what they copy and call is there, and what they say is so.

hadolint is run by hand, see docs/deploying.md; an image is not built here.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
from conftest import ROOT, load_yaml
from packaging.specifiers import SpecifierSet
from servers import Answer, serving

from afterimage import cli
from afterimage.core import zoo

TEXT = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
LINES = [line.split(maxsplit=1) for line in TEXT.splitlines() if line and not line.startswith("#")]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def said(instruction: str) -> list[str]:
    return [rest for name, rest in LINES if name == instruction]


def copied() -> list[str]:
    """What comes out of the project."""
    return [word for rest in said("COPY") if not rest.startswith("--from") for word in rest.split()[:-1]]


def test_what_it_copies_is_there_and_nothing_else_is_sent() -> None:
    assert copied() and [name for name in copied() if not (ROOT / name).exists()] == []
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert lines[1] == "*"
    assert sorted(line[1:] for line in lines if line.startswith("!")) == sorted(copied())


def test_the_project_in_it_has_the_rows_of_the_zoo() -> None:
    assert {"params.yaml", "zoo"} <= {*copied()} and zoo.names(ROOT)


def test_it_has_a_python_that_the_project_takes() -> None:
    images = [rest.split()[0] for rest in said("FROM")]
    assert len(set(images)) == 1
    version = re.fullmatch(r"python:([\d.]+)-slim", images[0])
    assert version and SpecifierSet(PROJECT["requires-python"]).contains(f"{version[1]}.0")


def test_it_does_not_run_as_root() -> None:
    (user,) = said("USER")
    assert int(user) >= 1000
    after = [name for name, _ in LINES][[name for name, _ in LINES].index("USER") :]
    assert not {"RUN", "COPY", "FROM"} & {*after}
    assert any(f"--uid {user}" in rest for rest in said("RUN"))


def test_it_opens_the_page() -> None:
    (words,) = map(json.loads, said("ENTRYPOINT"))
    assert Path(words[0]).name in PROJECT["scripts"]
    command = cli.main.get_command(click.Context(cli.main), words[1])
    assert command is not None
    given = command.make_context(words[1], words[2:]).params
    assert given["address"] == "0.0.0.0" and [given["port"]] == list(map(int, said("EXPOSE")))


def test_torch_comes_for_cpus_and_all_else_as_it_is_pinned() -> None:
    installs = [rest for rest in said("RUN") if "uv pip install" in rest]
    assert "--torch-backend cpu" in installs[0] and "--constraint pins.txt" in installs[0]
    pins = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    program = [sys.executable, ROOT / "deploy/pins.py"]
    made = subprocess.run(program, input=pins, capture_output=True, text=True, check=True).stdout

    def named(text: str) -> dict[str, str]:
        return {pin.partition("==")[0]: pin.strip() for pin in re.split(r"\n(?=\S)", text)}

    before, after = named(pins), named(made)
    changed = {name for name in before if before[name] != after[name]}
    assert before.keys() == after.keys() and changed == {"torch", "torchvision"}
    assert all(before[name].startswith(after[name]) and "hash" not in after[name] for name in changed)


@pytest.mark.parametrize("status", [200, 503])
def test_its_check_of_health_asks_the_page(status: int) -> None:
    (rest,) = said("HEALTHCHECK")
    _, flag, code = json.loads(rest.partition("CMD ")[2])
    assert flag == "-c"
    with serving(lambda request: Answer(b"ok", status if request.path == "/_stcore/health" else 404)) as server:
        code = code.replace("http://127.0.0.1:8501", server.url)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode == 0) == (status == 200)


def test_the_space_has_the_port_of_the_page(tmp_path: Path) -> None:
    front = (ROOT / "deploy/space/README.md").read_text(encoding="utf-8").split("---\n")[1]
    (tmp_path / "front.yaml").write_text(front)
    values = load_yaml(tmp_path / "front.yaml")
    assert values["sdk"] == "docker" and [str(values["app_port"])] == said("EXPOSE")
    assert len(values["short_description"]) <= 60
