"""`afterimage leak` on trained rows with and without a defence: what it writes, says and refuses."""

import copy
import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import browsers
import numpy as np
import outside
import pages
import pictures
import pytest
import rows
import torch
from conftest import dump_yaml
from PIL import Image
from rows import observed
from toys import call

from afterimage.core import layout, outputs, weights
from afterimage.evaluation.alexnet import AlexNetDistance
from afterimage.observations.features import defences

POOL = {"step": "pool", "factor": 8}
GIVEN = {"plain": None, "pooled": [POOL]}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a trained row on the plain and on the pooled features of a layer, a search and one not trained."""
    root = tmp_path_factory.mktemp("project")
    images = pictures.shards_of(root / "shards", {"train": [24], "val": [4], "test": [4]}, size=32)
    observations: dict[str, Any] = {}
    decoders: dict[str, Any] = {}
    for name, steps in GIVEN.items():
        guarded = copy.copy(rows.encoder())
        guarded.defence = defences.read(steps)
        seen = observed("features", defence=steps, dtype="uint8" if steps is None else "float16", layers=["relu2_1"])
        folder = rows.features(images, root / layout.observation(name), seen, guarded)
        row = rows.row("decoder", observation=f"{name}/relu2_1", training={"epochs": 8, "learning_rate": 0.01})
        rows.trained(row, folder / "relu2_1", images, root, f"{name}-decoder")
        observations[name] = {**seen.model_dump(), "path": "data/weights/vgg11.safetensors"}
        decoders[f"{name}-decoder"] = row.model_dump()
    search = {**rows.SEARCH, "observation": "plain/relu2_1", "decoder": "plain-decoder", "steps": 2}
    params = {
        "encoders": {"vgg11": {}, "resnet": {}},
        "observations": observations,
        "reconstructors": {**decoders, "untrained": decoders["plain-decoder"]},
        "searches": {"plain-search": search},
        "metrics": {"seed": 0, "bootstrap": 50},
    }
    dump_yaml(params, root / "params.yaml")
    trunk = AlexNetDistance().trunk.state_dict()
    (root / "data/weights").mkdir()
    weights.save(root / layout.weights("lpips"), trunk, {"arch": "alexnet", "origin": "random weights, seed 0"})
    return root


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def photographs(root: Path) -> Path:
    """Three photographs of each of six people: one scene a person, moved a little."""
    for person in range(6):
        scene = np.asarray(pictures.noise(64, 64, seed=person, detail=2))
        for number in range(3):
            path = root / f"p{person}/{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(scene[2 * number : 2 * number + 48, number : number + 48]).save(path)
    return root


def leak(root: Path, *words: str | Path) -> tuple[int, str, str]:
    return call("leak", "vgg11", *words, "--project", root, "--device", "cpu")


def test_people_labels_and_search_on_one_page(root: Path, here: Path) -> None:
    photographs(here / "faces")
    lines = [
        "path,label",
        *(f"p{person}/{n}.png,{'odd' if person % 2 else 'even'}" for person in range(6) for n in range(3)),
    ]
    Path("labels.csv").write_text("\n".join(lines), encoding="utf-8")
    (here / "faces/p0/broken.png").write_bytes(b"nothing")
    code, said, error = leak(root, "faces", "--searches", "--labels", "labels.csv", "--out", "out")
    assert code == 0, error
    assert "untrained: not trained here, and left out" in error
    assert "faces/p0/broken.png: not an image in a known format" in error
    assert "AlexNet with random weights, which was not made to tell people apart" in error
    found = json.loads(Path("out/leak.json").read_text())
    assert (found["photographs"], found["people"], found["utility"]["labels"]) == (18, 6, 2)
    results = {(each["row"], each["attacker"]): each for each in found["results"]}
    assert results.keys() == {
        ("plain-decoder", "decoder"),
        ("pooled-decoder", "decoder"),
        ("plain-search", "optimisation"),
        ("plain-search", "hybrid"),
    }
    plain, pooled = results["plain-decoder", "decoder"], results["pooled-decoder", "decoder"]
    assert (plain["layers"], plain["dtype"], plain["defence"]) == ("relu2_1", "uint8", "")
    assert (pooled["dtype"], pooled["defence"], pooled["bytes"] < plain["bytes"]) == ("float16", "pool 8", True)
    assert plain["quality"]["psnr"]["mean"] > pooled["quality"]["psnr"]["mean"] + 1
    assert "lpips_untrained" in plain["quality"]
    own = plain["identity"]["itself"]
    assert (own["pairs"], own["strangers"]) == (18, 18 * 15)
    assert plain["identity"]["person"]["pairs"] == 18 * 2
    assert own["auc"]["mean"] > pooled["identity"]["itself"]["auc"]["mean"]
    assert 0.3 < found["ends"]["32"]["mean"]["person"]["auc"]["mean"] < 0.7
    assert found["ends"]["32"]["originals"]["auc"]["mean"] > 0.7
    with Path("out/leak.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    assert [line["row"] for line in table] == [each["row"] for each in found["results"]]
    assert float(table[0]["identity_person_auc_mean"]) == found["results"][0]["identity"]["person"]["auc"]["mean"]

    page = Path("out/leak.html").read_text()
    assert not re.findall(r"(?:src|href)=\"(?!#|data:)[^\"]*", page)
    text = pages.seen(page.partition("</style>")[2])
    answer = re.search(
        r"From relu2_1 in (?:uint8|float16, pool 8), a person can be told from a stranger in \d+ %", text
    )
    assert answer is not None and answer[0] in " ".join(said.split())
    assert "This network was not made to tell people apart" in text
    assert "by --labels" not in text
    assert max(len(line) for line in said.splitlines() if not line.startswith("Page: ")) <= 100
    assert [line for line in said.splitlines() if line.startswith("relu2_1")]

    first = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    code, _, error = leak(root, "faces", "--out", "out")
    assert (code, "out/leak.html, and 2 more: this output is there already" in error) == (1, True)
    code, _, _ = leak(root, "faces", "--searches", "--labels", "labels.csv", "--out", "out", "--overwrite", "--quiet")
    assert code == 0
    assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == first


def test_without_folders_nobody_is_known(root: Path, here: Path) -> None:
    for number, path in enumerate(sorted(photographs(here / "faces").rglob("*.png"))):
        (here / "flat").mkdir(exist_ok=True)
        shutil.copy(path, here / f"flat/{number:02d}.png")
    code, said, error = leak(root, "flat", "--images", "12", "--crop", "4,0,40")
    assert code == 0, error
    found = json.loads(Path("leak-vgg11/leak.json").read_text())
    assert (found["photographs"], found["people"], found["utility"]) == (12, None, None)
    assert found["results"][0]["identity"].keys() == {"itself"}
    assert "a photograph can be told from others in" in " ".join(said.split())
    assert "no two are known to be of one person" in Path("leak-vgg11/leak.html").read_text()


def test_a_network_of_one_s_own_says_who_is_who(root: Path, here: Path) -> None:
    photographs(here / "faces")
    outside.exported(torch.nn.AvgPool2d(8), (torch.rand(1, 3, 32, 32),), Path("mine.onnx"))
    code, _, error = leak(root, "faces", "--identity", "mine.onnx")
    assert (code, error.count("not made to tell people apart")) == (0, 0)
    found = json.loads(Path("leak-vgg11/leak.json").read_text())
    digest = outputs.sha256(Path("mine.onnx"))
    assert found["identity"] == {"network": "mine.onnx, 32 x 32 px", "knows_people": True, "sha256": digest}
    assert found["utility"]["labels"] == 6
    assert "The labels are the people themselves" in Path("leak-vgg11/leak.html").read_text()


@browsers.needed
def test_the_page_fits_a_phone_and_asks_for_nothing(root: Path, here: Path) -> None:
    photographs(here / "faces")
    assert leak(root, "faces")[0] == 0
    asked: list[str] = []
    with browsers.opened() as browser:
        page = browser.new_page(viewport={"width": 400, "height": 800})
        page.on("request", lambda request: asked.append(request.url.partition(":")[0]))
        page.goto((here / "leak-vgg11/leak.html").as_uri())
        assert page.evaluate("[...document.images].every((each) => each.complete && each.naturalWidth > 300)")
        assert page.evaluate("document.documentElement.scrollWidth") == 400
        assert "What features of vgg11 give away" in page.inner_text("h1")
    assert set(asked) <= {"file", "data"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("vgg16", "faces"), "there is no encoder `vgg16`; there are vgg11, resnet"),
        (("resnet", "faces"), "no row of `reconstructors` observes features of `resnet`"),
        (("vgg11", "faces", "--crop", "1,2"), "--crop 1,2: expected X,Y,SIDE in px"),
        (("vgg11", "faces", "--crop", "40,0,20"), "is 48 x 48 px; the square reaches to 60 x 20 px"),
        (("vgg11", "faces", "--out", "faces/out"), "outputs would lie in the input"),
        (("vgg11", "mixed"), "lies beside folders"),
        (("vgg11", "one"), "1 photographs can be used; expected two or more"),
        (("vgg11", "alike"), "all photographs are of a; telling people apart takes two or more"),
        (("vgg11", "faces", "--labels", "none.csv"), "names none of the photographs"),
        (("vgg11", "faces", "--labels", "one.csv"), "a probe takes two labels or more"),
    ],
)
def test_what_cannot_be_measured_is_said_in_a_line(words: tuple[str, ...], said: str, root: Path, here: Path) -> None:
    photographs(here / "faces")
    pictures.folder(here, {"mixed/a/1.png": pictures.png(), "mixed/2.png": pictures.png(), "one/a.png": pictures.png()})
    pictures.folder(here, {"alike/a/1.png": pictures.png(), "alike/a/2.png": pictures.png()})
    Path("none.csv").write_text("path,label\nx.png,a\n", encoding="utf-8")
    Path("one.csv").write_text("path,label\np0/0.png,a\np0/1.png,a\n", encoding="utf-8")
    code, _, error = call("leak", *words, "--project", root)
    assert code == 1
    assert said in error
    assert "Traceback" not in error
