"""docs/extending.md: it quotes the package that is there, and its shorter examples run."""

import io
import re
from pathlib import Path

import numpy as np
import pictures
import pytest
from conftest import ROOT, Project, dump_yaml, load_yaml
from PIL import Image

from afterimage.core import shards

TEXT = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
PACKAGE = ROOT / "docs/extending/afterimage-toy"
IMPORTS = """
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np
from PIL import Image
from pydantic import Field

from afterimage.core import images, layout, outputs, shards
from afterimage.core.errors import SourceError
"""
"""What the examples of the page leave out; those below are of one file each."""
OF_FILE = {
    "__init__": "from afterimage.observations import Observation",
    "row": "from afterimage.observations import ObservationRow",
    "writing": "from afterimage.observations.thumbnails.row import Row\nfrom afterimage.validation import checks",
    "store": "from afterimage.observations import Given\nfrom afterimage.observations.thumbnails import Thumbnails",
    "evaluation": "import torch.nn.functional as F\nfrom afterimage.core.images import Uint8\n"
    "from afterimage.evaluation.evaluating import Columns, More\nfrom afterimage.observations import Given\n"
    "from afterimage.evaluation.metrics import Lpips, MetricsRow\n"
    "from afterimage.observations.thumbnails.store import Stored",
    "npy": "from afterimage.datasets.sources import Dataset, Item",
}


def blocks(language: str, title: str) -> list[str]:
    """The blocks of code under a heading, in order."""
    (section,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE)
    return re.findall(rf"^```{language}\n(.*?)^```", section, re.DOTALL | re.MULTILINE)


def test_the_page_quotes_the_package() -> None:
    title = "A reconstructor, as a package of its own"
    code = (PACKAGE / "afterimage_toy.py").read_text(encoding="utf-8")
    quoted = blocks("python", title)
    assert len(quoted) == 5
    for block in quoted:
        assert block in code
    _, _, classes = code.partition("\n\nclass ToyRow")  # before it there are only imports
    assert sum(block.count("class ") for block in quoted) == classes.count("class ") + 1
    assert blocks("toml", title) == [(PACKAGE / "pyproject.toml").read_text(encoding="utf-8")]


def widened(project: Project, file: str, tuple_name: str, name: str) -> None:
    """Add a name to a tuple of names in the project's copy of the source."""
    path = project.root / "src/afterimage" / file
    text, count = re.subn(rf"^({tuple_name} = \()", rf'\1"{name}", ', path.read_text(encoding="utf-8"), flags=re.M)
    assert count == 1
    path.write_text(text, encoding="utf-8")


def written(project: Project, file: str, block: str) -> None:
    path = project.root / "src/afterimage" / file
    path.parent.mkdir(exist_ok=True)
    own = OF_FILE["evaluation" if path.parent.name == "evaluation" else path.stem]
    path.write_text(f"{IMPORTS}\n{own}\n{block}", encoding="utf-8")


def test_the_new_kind_of_observation_is_stored_and_measured(project: Project, tmp_path: Path) -> None:
    copy = project.copy(tmp_path / "copy")
    widened(copy, "observations/__init__.py", "KINDS", "thumbnails")
    *package, evaluation = blocks("python", "A kind of observation")
    for name, block in zip(("__init__", "row", "writing", "store"), package, strict=True):
        assert block.startswith(f"# {name}.py")
        written(copy, f"observations/thumbnails/{name}.py", block)
    written(copy, "evaluation/thumbnails.py", evaluation)
    params = load_yaml(copy.root / "params.yaml")
    path = "src/afterimage/observations/thumbnails"
    params["observations"]["small"] = {"kind": "thumbnails", "dataset": "photos", "path": path, "factor": 4}
    params["baselines"]["thumbnails"], params["shared"]["thumbnails"] = ["bicubic"], {}
    dump_yaml(params, copy.root / "params.yaml")
    copy.run("dvc", "repro", "--single-item", "observe@small", "baseline@small")
    measured = copy.root / "metrics/thumbnails/small/bicubic.json"
    assert load_yaml(measured)["psnr"] > 10
    rebuilt = copy.root / "data/reconstructions/small/bicubic"
    assert {Image.open(io.BytesIO(data)).size for _, data, _ in shards.read(rebuilt, "test")} == {(32, 32)}


@pytest.mark.parametrize("good", [True, False])
def test_the_new_source_is_fetched(project: Project, tmp_path: Path, good: bool) -> None:
    copy = project.copy(tmp_path / "copy", without=("data", ".dvc/cache"))
    widened(copy, "datasets/sources/__init__.py", "SOURCES", "npy")
    (block,) = blocks("python", "A source of images")
    written(copy, "datasets/sources/npy.py", block)
    path = copy.root / "images.npy"
    if good:
        np.save(path, np.stack([np.asarray(pictures.noise(40, 40, seed=number)) for number in range(24)]))
    else:
        path.write_bytes(b"not an array")
    params = load_yaml(copy.root / "params.yaml")
    params["datasets"]["arrays"] = {"source": "npy", "path": "images.npy", "size": 32}
    params["shared"]["npy"] = {}
    dump_yaml(params, copy.root / "params.yaml")
    said = copy.stage("fetch", "arrays", status=0 if good else 1)
    if good:
        manifest = (copy.root / "data/raw/arrays/manifest.csv").read_text(encoding="utf-8")
        assert manifest.count("\n") == 25
    else:
        assert "images.npy: not an .npy file" in said
