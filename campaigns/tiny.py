"""A tiny project, built by the commands that people use: what the tests and the campaigns run stages on."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
TRACKED = (".dvc/.gitignore", ".dvc/config", ".dvc/plots", ".dvcignore", ".gitignore", "dvc.yaml", "src", "stages")
RESULTS = ("dvc.lock", "metrics", "reports")
"""What a run writes and Git keeps."""


class Project:
    """A folder with a copy of the pipeline, and the commands that one gives there."""

    def __init__(self, root: Path, home: Path):
        self.root, self.home = root, home

    @property
    def connections(self) -> Path:
        """Which addresses the processes of the project asked for, see tests/watch."""
        return self.root.with_name(f"{self.root.name}.connections")

    @property
    def environment(self) -> dict[str, str]:
        """The user's own settings of git and DVC must not reach the tests, nor must the tests reach them."""
        mine = ("AFTERIMAGE_", "CI", "DVC_", "GIT_", "PYTHON")
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(mine)},
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": os.pathsep.join([str(self.root / "src"), str(ROOT / "tests/watch")]),
            "WATCHED_CONNECTIONS": str(self.connections),
            "DVC_GLOBAL_CONFIG_DIR": str(self.home / "global"),
            "DVC_SYSTEM_CONFIG_DIR": str(self.home / "system"),
            "DVC_SITE_CACHE_DIR": str(self.home / "site"),
            "GIT_CONFIG_GLOBAL": str(self.home / "gitconfig"),
            "GIT_CONFIG_NOSYSTEM": "1",
        }

    def run(self, *words: str, status: int | None = 0, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command in the project; any other end than `status` (None: whichever) fails the test."""
        done = subprocess.run(
            words, cwd=self.root, env=self.environment, capture_output=True, text=True, check=False, **options
        )
        if status is not None:
            said = f"{' '.join(words)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
            assert done.returncode == status, said
        return done

    def dvc(self, *words: str, status: int | None = 0) -> str:
        """What `dvc` says, on either stream."""
        done = self.run("dvc", *words, status=status)
        return done.stdout + done.stderr

    def git(self, *words: str, status: int | None = 0) -> str:
        return self.run("git", *words, status=status).stdout

    def stage(self, script: str, *words: str, status: int = 0, **options: Any) -> str:
        """Run a stage's script as dvc.yaml does; returns its standard error."""
        return self.run("python", f"stages/{script}.py", *words, status=status, **options).stderr

    def params(self, change: Callable[[dict[str, Any]], Any] | None = None) -> dict[str, Any]:
        """The parameters, after `change` has edited them in the file."""
        path = self.root / "params.yaml"
        data = load_yaml(path)
        if change is not None:
            change(data)
            dump_yaml(data, path)
        return data

    def copy(self, root: Path, without: tuple[str, ...] = (), link: bool = True) -> "Project":
        """The project once more. Where data and cache are linked, replace a file there, never write into it."""

        def link_or_copy(source: str, target: str) -> None:
            inside = Path(source).relative_to(self.root).parts
            if link and (inside[0] == "data" or inside[:2] == (".dvc", "cache")):
                os.link(source, target)
            else:
                shutil.copy2(source, target)

        def ignore(folder: str, names: list[str]) -> set[str]:
            here = Path(folder).relative_to(self.root)
            return {name for name in names if (here / name).as_posix() in without}

        shutil.copytree(self.root, root, symlinks=True, copy_function=link_or_copy, ignore=ignore, dirs_exist_ok=True)
        return Project(root, self.home)

    def clone(self, root: Path, url: Path) -> "Project":
        self.run("git", "clone", "--quiet", str(url), str(root))
        return Project(root, self.home)

    def commit(self, text: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", text)

    def records(self) -> dict[str, int]:
        """The run record of each stage script that ran to its end here, and when it was written."""
        return {path.stem: path.stat().st_mtime_ns for path in (self.root / ".afterimage/runs").glob("*.json")}

    def results(self) -> dict[str, bytes]:
        """All files that a run leaves in Git, by their names."""
        paths = [path for name in RESULTS for path in [self.root / name, *(self.root / name).rglob("*")]]
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in paths if path.is_file()}


def load_yaml(path: Path) -> Any:
    return YAML(typ="safe").load(path)


def dump_yaml(data: Any, path: Path) -> None:
    """Write plain data: no aliases, rows in their order."""
    yaml = YAML()
    yaml.representer.ignore_aliases = lambda _: True
    yaml.dump(data, path)


def ran(said: str) -> list[str]:
    """The stages that `dvc repro` or `dvc exp run` ran, in order."""
    return re.findall(r"^Running stage '(.+)':$", said, re.MULTILINE)


def stale(project: Project) -> set[str]:
    """The stages that `dvc status` lists."""
    said = project.dvc("status")
    return set(re.findall(r"^(\S+):$", said, re.MULTILINE))


def shrink(params: dict[str, Any]) -> None:
    """A dozen small samples, one small encoder with two layers, and a small row of each kind."""
    rows, shared = params["reconstructors"], params["shared"]
    del params["datasets"]["photos-32"], params["observations"]["square-32"]
    params["datasets"]["photos"].update(size=32)
    shared["bundled"].update(shorter_side=160, tile=128, stride=128, augment=0)
    params["encoders"] = {
        "small": {**params["encoders"]["resnet50"], "arch": "resnet18"},
        "lpips": params["encoders"]["lpips"],
    }
    features = params["observations"].pop("resnet50")
    del params["observations"]["vgg16"]
    path = "data/weights/small.safetensors"
    params["observations"]["small"] = {**features, "path": path, "layers": ["relu", "layer1"]}
    shared["features"]["batch"] = 8
    kept = {name: rows[name] for name in ("pix2pix", "photos-nafnet")}
    decoder = rows["vgg16-relu1_2"]
    layers = {f"small-{layer}": {**decoder, "observation": f"small/{layer}"} for layer in ("relu", "layer1")}
    completer = {**rows["photos-hybrid"], "dataset": "photos", "observation": "two-boxes"}
    params["reconstructors"] = {**layers, **kept, "small-pixelrnn": completer}
    params["reconstructors"]["photos-nafnet"].update(width=4, training={"epochs": 2, "batch": 4})
    search = params["searches"]["resnet50-relu-search"]
    params["searches"] = {"small-relu-search": {**search, "observation": "small/relu", "decoder": "small-relu"}}
    params["searches"]["small-relu-search"]["steps"] = 8
    shared["decoder"].update(width=8)
    shared["decoder"]["training"].update(epochs=20, batch=2)
    shared["inversion"].update(images=2, batch=2)
    shared["pix2pix"].update(width=4)
    shared["pix2pix"]["training"].update(epochs=2, batch=4)
    small = {"width": 6, "layers": 1, "head": 6, "components": 2, "samples": 2}
    shared["pixelrnn"].update(small, trunk={"width": 4, "rounds": 1, "guess": 10.0})
    shared["pixelrnn"]["training"].update(epochs=1, batch=4)
    params["baselines"].update(frames=["identity", "gamma"])
    params["metrics"]["bootstrap"] = 100
    params["report"]["images"] = 2
    params["compute"]["threads"] = 1  # one process a core: more threads would only wait for each other


def build(folder: Path) -> Project:
    """Build the tiny project in a folder.

    Training and searches keep a checkpoint after every step instead of every 30 s, so that a killed run has one to go
    on from.
    """
    home, root = folder / "home", folder / "project"
    home.mkdir()
    (home / "gitconfig").write_text(
        "[user]\n\tname = Test\n\temail = test@example.com\n[init]\n\tdefaultBranch = main\n", encoding="utf-8"
    )
    root.mkdir()
    for name in TRACKED:
        source, target = ROOT / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy2(source, target)
    for module in ("training/loop.py", "reconstructors/inversion/checkpoint.py"):
        path = root / "src/afterimage" / module
        text = path.read_text(encoding="utf-8")
        assert text.count("CHECKPOINT_SECONDS = 30.0") == 1
        path.write_text(text.replace("CHECKPOINT_SECONDS = 30.0", "CHECKPOINT_SECONDS = 0.0"), encoding="utf-8")
    params = load_yaml(ROOT / "params.yaml")
    shrink(params)
    dump_yaml(params, root / "params.yaml")

    project = Project(root, home)
    project.git("init", "--quiet")
    project.commit("The pipeline")
    (root / ".git/first-run.log").write_text(project.dvc("repro"), encoding="utf-8")
    project.commit("Its results")
    return project
