"""Cards of rows whose numbers, dvc.lock and history are written by hand."""

import json
from pathlib import Path
from typing import Any

import measured
import numpy as np
import pytest
from conftest import ROOT
from results_folders import commit, git
from ruamel.yaml import YAML

from afterimage.core import layout, outputs, stage
from afterimage.core.errors import AfterimageError, ParamsError
from afterimage.evaluation.comparing import difference
from afterimage.observations.frames import CARE
from afterimage.review import cards, quoting

LEVELS = {"mild": [{"step": "noise"}], "bad": [{"step": "noise"}, {"step": "jpeg"}]}
SHARED, TRAINING = {"width": 8, "training": {"epochs": 2}}, {"epochs": 1, "seed": 0}
VGG = {"kind": "features", "dataset": "photos", "path": "data/weights/vgg.safetensors", "layers": ["relu1", "relu2"]}
CCTV = {"kind": "frames", "dataset": "photos", "path": "src", "levels": LEVELS}
MINE = {"kind": "decoder", "dataset": "photos", "observes": "features", "observation": "vgg/relu1", "width": 16}
RESTORER = {"kind": "autoencoder", "dataset": "photos", "observes": "frames", "observation": "cctv"}
SEARCH = {"kind": "inversion", "dataset": "photos", "observes": "features", "observation": "vgg/relu1", "images": 4}
LPIPS = {"arch": "alexnet", "weights": "random", "sha256": None, "seed": 0}
FEATURES = {"mean_colour": 14.0, "mean_image": 16.0}
FRAMES = {"identity": 20.0, "gamma": 19.0, "nlm": 18.0, "unsharp": 17.0, "bicubic": 21.0}
PROVENANCE = {
    "kind": "features",
    "cases": ["test"],
    "dataset": "photos",
    "images": "1" * 64,
    "observations": {"test": "2" * 64},
    "lpips": "3" * 64,
    "seeds": [0, 1],
    "metrics": {"psnr": "RGB, data range 1", "ssim": "a window of 11 px", "mse": "not shown"},
}


def made(stages: dict[str, tuple[str, list[str], dict[str, Any]]]) -> None:
    """Write dvc.lock: for each stage what it writes, what it reads and with which parameters."""
    lock = {
        name: {
            "deps": [{"path": path, "md5": f"{path} as read"} for path in ("src/afterimage/core", *read)],
            "params": {"params.yaml": params},
            "outs": [{"path": path, "md5": f"{path} as made"}],
        }
        for name, (path, read, params) in stages.items()
    }
    Path("dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": lock}), encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A row, a search that builds on it, a row with levels, and one that nobody has built."""
    monkeypatch.chdir(tmp_path)
    photos = {"source": "folder", "path": "pictures", "size": 16}
    data = measured.params(
        datasets={"photos": photos},
        encoders={"vgg": {"arch": "vgg11"}, "lpips": LPIPS},
        observations={"vgg": VGG, "cctv": CCTV},
        reconstructors={"mine": MINE, "restorer": RESTORER, "planned": MINE},
        searches={"search": {**SEARCH, "decoder": "mine"}},
        shared={"decoder": SHARED},
        training=TRAINING,
        baselines={"features": list(FEATURES), "frames": list(FRAMES)},
        metrics={"seed": 3, "bootstrap": 50},
    )
    given, row = "data/observations/vgg/relu1", {"reconstructors.mine": MINE, "shared.decoder": SHARED}
    lpips = "data/weights/lpips.safetensors"
    made(
        {
            "shard@photos": ("data/shards/photos", [], {"datasets.photos": photos}),
            "weights@vgg": ("data/weights/vgg.safetensors", [], {"encoders.vgg": {"arch": "vgg11"}}),
            "weights@lpips": (lpips, [], {"encoders.lpips": LPIPS}),
            "observe@vgg": (
                "data/observations/vgg",
                ["data/shards/photos", "data/weights/vgg.safetensors"],
                {"observations.vgg": VGG},
            ),
            "train@mine": ("data/models/mine", [given, "data/shards/photos"], {**row, "training": TRAINING}),
            "evaluate@mine": (
                "reports/measured/mine",
                ["data/models/mine", given, "data/shards/photos", lpips],
                {"compute": {"threads": 2}, "metrics": data["metrics"]},
            ),
            "search@search": (
                "reports/measured/search",
                [given, "data/models/mine", lpips],
                {"searches.search": {**SEARCH, "decoder": "mine"}},
            ),
            "baseline@vgg": ("reports/measured/vgg", ["data/observations/vgg", lpips], {}),
        }
    )
    measured.result("features", "mine", "test", 24.0, odd=1.0)
    for method, psnr in FEATURES.items():
        measured.result("features", "vgg", method, psnr)
    for case in ("decoder", "hybrid"):
        measured.result("features", "search", case, 25.0, measured.KEYS[:4])
    for level, psnr in {"mild": 16.5, "bad": 9.0}.items():
        measured.result("frames", "restorer", level, psnr)
        for method, value in FRAMES.items():
            measured.result("frames", "cctv", f"{level}/{method}", value - len(level))
    return data


def sentences(name: str) -> dict[str, str]:
    """What the text of a card says, by paragraph."""
    found: dict[str, list[str]] = {}
    for line in quoting.text(cards.card(name)).splitlines():
        label, rest = line[: quoting.LABEL].strip(), line[quoting.LABEL :]
        if label.isascii() and label[:1].isupper() and not line.startswith(" "):
            found[label] = []
        if found:
            found[list(found)[-1]].append(rest.strip())
    return {label: " ".join(lines) for label, lines in found.items()}


def change(path: str, *keys: str, value: Any) -> None:
    data = json.loads(Path(path).read_text(encoding="utf-8"))
    place = data
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    Path(path).write_text(json.dumps(data), encoding="utf-8")


def test_stages_are_called_as_in_the_pipeline() -> None:
    stages = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    for section, name in (*cards.MAKES.items(), *cards.MEASURES.items()):
        assert stages[name]["foreach"] == f"${{{section}}}"


@pytest.mark.usefixtures("project")
def test_numbers_stand_beside_the_baselines_best_first() -> None:
    card = cards.card("mine")
    assert (card.section, card.kind, card.observation, card.dataset) == (
        "reconstructors",
        "features",
        "vgg/relu1",
        "photos",
    )
    case = card.cases["test"]
    assert (case.images, case.groups) == (6, {"cup": 3, "tea": 3})
    assert case.headline == ["psnr", "ssim", "odd"]
    assert case.metrics["psnr"].mean == pytest.approx(24.0)
    assert [(name, values["psnr"].mean) for name, values in case.baselines.items()] == [
        ("mean_image", pytest.approx(16.0)),
        ("mean_colour", pytest.approx(14.0)),
    ]
    step = np.linspace(-0.5, 0.5, 6)
    groups = ["cup"] * 3 + ["tea"] * 3
    assert case.gain == pytest.approx(difference([16.0 + step], [24.0 + step], groups, 50, 3))


@pytest.mark.usefixtures("project")
def test_a_search_on_some_images_stands_beside_the_baselines_on_those() -> None:
    card = cards.card("search")
    assert list(card.cases) == ["decoder", "hybrid"]
    step = np.linspace(-0.5, 0.5, 6)
    for case in card.cases.values():
        assert case.images == 4
        assert case.baselines["mean_image"]["psnr"].mean == pytest.approx(16.0 + step[:4].mean())
    lines = quoting.text(card).splitlines()
    assert sum(line.startswith("  mean_image") for line in lines) == 1  # both cases share it
    assert card.model is None and "Network" not in "\n".join(lines)


@pytest.mark.usefixtures("project")
def test_levels_stand_beside_the_best_baselines_of_their_own() -> None:
    card = cards.card("restorer")
    assert list(card.cases) == ["mild", "bad"]  # as params.yaml has them
    assert list(card.cases["bad"].baselines) == ["bicubic", "identity", "gamma", "nlm", "unsharp"]
    gains = [case.gain.mean if case.gain else None for case in card.cases.values()]
    assert gains == pytest.approx([-0.5, -9.0])
    text = quoting.text(card)
    assert text.count("\n  bicubic ") == 2 and text.count("\n  nlm ") == 2 and "unsharp" not in text
    assert "mild −0.50 over bicubic (" in text and "All of them: `afterimage card cctv`." in text


@pytest.mark.usefixtures("project")
def test_an_observation_has_its_baselines() -> None:
    card = cards.card("cctv")
    assert list(card.cases) == [
        f"{level}/{method}" for level in LEVELS for method in ("bicubic", "identity", "gamma", "nlm", "unsharp")
    ]
    assert all(not case.baselines and case.gain is None for case in card.cases.values())
    assert quoting.text(card).startswith("cctv: baselines of frames of photos\n")
    assert "Baselines" not in sentences("cctv")
    assert sentences("cctv")["Care"] == sentences("restorer")["Care"] == CARE
    assert "Care" not in sentences("mine")


@pytest.mark.usefixtures("project")
def test_what_numbers_were_made_of() -> None:
    parts = {(part.section, part.name): part for part in cards.card("mine").parts}
    assert next(iter(parts)) == ("reconstructors", "mine")
    assert {place: part.path for place, part in parts.items()} == {
        ("reconstructors", "mine"): "data/models/mine",
        ("observations", "vgg"): "data/observations/vgg/relu1",
        ("datasets", "photos"): "data/shards/photos",
        ("encoders", "lpips"): "data/weights/lpips.safetensors",
        ("encoders", "vgg"): "data/weights/vgg.safetensors",
    }
    assert all(part.md5 == f"{part.path} as read" for part in parts.values())
    own = parts["reconstructors", "mine"]
    assert own.parameters == own.today == {**MINE, "training": {"epochs": 2, "seed": 0}}
    searched = [(part.section, part.name, part.path) for part in cards.card("search").parts]
    assert searched[0] == ("searches", "search", None)
    assert ("reconstructors", "mine", "data/models/mine") in searched and len(searched) == 6
    assert [part.name for part in cards.card("vgg").parts] == ["vgg", "lpips", "photos", "vgg"]


@pytest.mark.usefixtures("project")
def test_parameters_are_those_of_the_numbers_and_not_those_of_today() -> None:
    assert "since" not in sentences("mine")["Row"]
    change("params.yaml", "reconstructors", "mine", "width", value=32)
    change("params.yaml", "training", "seed", value=None)
    change("params.yaml", "shared", "decoder", "training", value={"epochs": 2, "batch": 4})
    own = cards.card("mine").parts[0]
    assert own.parameters and own.parameters["width"] == 16
    assert own.today and own.today["width"] == 32
    said = sentences("mine")["Row"]
    assert "mine {width: 16, training: {epochs: 2, seed: 0}}, data/models/mine md5 data/models/." in said
    assert "training.epochs" not in said
    for told in ("width 16 → 32", "training.seed 0 → null", "training.batch nothing → 4"):
        assert told in said.partition("Changed in params.yaml since: ")[2]
    change("params.yaml", "encoders", "vgg", value={"arch": "vgg13"})
    assert "vgg {arch: vgg11}" in sentences("mine")["Weights"]
    assert "arch vgg11 → vgg13" in sentences("mine")["Weights"]
    data = json.loads(Path("params.yaml").read_text())
    del data["encoders"]["vgg"]
    Path("params.yaml").write_text(json.dumps(data))
    assert "Gone from params.yaml since." in sentences("mine")["Weights"]


@pytest.mark.usefixtures("project")
def test_entries_of_lists_are_counted_and_compared() -> None:
    change("params.yaml", "observations", "vgg", "steps", value=[{"step": "noise", "read": 0.1}, {"step": "jpeg"}])
    change("dvc.lock", "stages", "observe@vgg", "params", "params.yaml", "observations.vgg", value={**VGG, "steps": []})
    assert "steps: []}" in sentences("mine")["Observation"]
    then = {**VGG, "steps": [{"step": "noise", "read": 0.2}]}
    change("dvc.lock", "stages", "observe@vgg", "params", "params.yaml", "observations.vgg", value=then)
    said = sentences("mine")["Observation"]
    assert "layers: [relu1, relu2], steps: [entries: 1]}" in said
    assert said.endswith("steps.0.read 0.2 → 0.1; steps.1 nothing → {step: jpeg}.")


@pytest.mark.usefixtures("project")
def test_a_row_that_was_not_built() -> None:
    card = cards.card("planned")
    assert card.cases == {} and card.parts[0].parameters is None
    text = quoting.text(card)
    assert text.startswith("planned: decoder of vgg/relu1, features of photos\n\nNot measured.\n")
    assert "planned {width: 16, training: {epochs: 2, seed: 0}}.\n" in text
    assert "Not made yet, or that is not committed: dvc.lock does not have it." in text
    Path("dvc.lock").unlink()
    card = cards.card("mine")
    assert [part.parameters for part in card.parts] == [None] and card.cases["test"].images == 6


@pytest.mark.usefixtures("project")
def test_what_was_not_written_down_or_pulled_is_said() -> None:
    said = sentences("mine")
    assert "not recorded (no provenance.json)" in said["Test images"]
    assert "data/models/mine was not pulled" in said["Row"]
    assert "not recorded, there is no built-on.json" in said["Machine"]
    assert "Metrics" not in said and said["Commit"].startswith("Not known. ")
    outputs.write_json(layout.measured("mine") / "provenance.json", PROVENANCE)
    measured.model("mine", epochs=2)
    cpu = {"vendor": "AuthenticAMD", "family": "25", "model": "1", "name": "EPYC", "machine": "x86_64"}
    built = {"cpu": cpu, "system": "Linux", "python": "3.11.9", "packages": {"torch": "2.9", "numpy": "2.1"}}
    outputs.write_json(Path("built-on.json"), built)
    record = {"stage": "train@mine", "started": "2026-02-03T10:00:00", "seconds": 41.3, "device": "cpu"}
    outputs.write_json(stage.RECORDS / "train@mine.json", {**record, "packages": {"torch": "2.10"}})
    said = sentences("mine")
    assert "not recorded" not in " ".join(said.values())
    assert "sha256: images 111111111111, observations 222222222222, LPIPS 333333333333." in said["Test images"]
    assert "bootstrap over groups and training seeds (50 resamples" in said["Test images"]
    assert said["Test images"].endswith("Training seeds: 0, 1.")
    assert said["Metrics"] == "PSNR in dB: RGB, data range 1. SSIM: a window of 11 px."
    assert said["Row"].endswith("Network: a network, 1,234,000 parameters, 2 epochs.")
    assert "EPYC (x86_64/AuthenticAMD/25/1), Linux, Python 3.11.9, numpy 2.1, torch 2.9." in (said["Machine"])
    assert "Compute: threads: 2." in said["Machine"]
    assert said["Machine"].endswith("Last run here: train@mine, 2026-02-03, 41 s on cpu, torch 2.10.")


@pytest.mark.usefixtures("project")
def test_hashes_of_each_level_and_a_row_without_seeds() -> None:
    found = {**PROVENANCE, "observations": {"mild": "4" * 64, "bad": "5" * 64}, "seeds": []}
    outputs.write_json(layout.measured("cctv") / "provenance.json", found)
    said = sentences("cctv")["Test images"]
    assert "images 111111111111, observations bad 555555555555, observations mild 444444444444, LPIPS" in said
    assert "Training seeds: none" in said


@pytest.mark.usefixtures("project")
def test_few_groups_and_one() -> None:
    said = sentences("mine")["Test images"]
    assert "6 images of the test split of photos, in 2 groups: cup 3, tea 3." in said
    assert "bootstrap over groups (50 resamples, seed 3); with so few groups they are too narrow." in said
    measured.result("features", "mine", "test", 24.0, [f"cup_y{number:04d}" for number in range(12)])
    said = sentences("mine")["Test images"]
    assert "in 1 group: cup 12." in said and "bootstrap over images (50 resamples, seed 3)." in said
    assert sentences("mine")["Baselines"] == "None were measured on these images."
    measured.result("features", "mine", "test", 24.0, measured.KEYS[:1])
    assert plain_gain("mine") == {"mean": pytest.approx(8.0), "low": None, "high": None, "p": 1.0, "groups": 1}


def plain_gain(name: str) -> Any:
    return json.loads(json.dumps(cards.plain(cards.card(name)), allow_nan=False))["cases"]["test"]["gain"]


def test_where_git_has_the_numbers(project: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, folder = tmp_path / "repository", tmp_path / "repository/project"
    root.mkdir()
    inside = [path for path in tmp_path.iterdir() if path != root]
    folder.mkdir()
    for path in inside:
        path.rename(folder / path.name)
    monkeypatch.chdir(folder)
    git(root, "init", "--quiet")
    assert "Git" in sentences("mine")["Commit"]  # no commit yet
    first = commit(root, "Results")
    Path("docs.md").write_text("more")
    second = commit(root, "Docs")
    code = cards.card("mine").code
    assert isinstance(code, cards.Code)
    assert (code.commit[:7], code.differs, (code.numbers or [""])[0][:7]) == (second, [], first)
    said = sentences("mine")["Commit"]
    assert said.startswith(f"{code.commit[:12]} of {code.day}. The numbers last changed in {first}")
    assert said.endswith("results of the working tree are those of it.")
    Path("docs.md").unlink()  # decides nothing
    Path("src").mkdir()
    for name in ("a.py", "b.py"):
        Path("src", name).touch()
    change("params.yaml", "training", "seed", value=1)
    code = cards.card("mine").code
    assert isinstance(code, cards.Code) and sorted(code.differs) == ["params.yaml", "src/a.py", "src/b.py"]
    said = sentences("mine")["Commit"]
    assert "differs from it in params.yaml, src (2)." in said and "NOT COMMITTED" not in said
    measured.result("features", "mine", "test", 23.0)
    assert "THE NUMBERS ABOVE ARE NOT COMMITTED." in sentences("mine")["Commit"]
    assert "NOT COMMITTED" not in sentences("search")["Commit"]


@pytest.mark.usefixtures("project")
def test_a_shallow_clone_cannot_tell_when_numbers_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(tmp_path, "Results")
    Path("docs.md").write_text("more")
    commit(tmp_path, "Docs")
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{tmp_path}", str(tmp_path / "clone"))
    monkeypatch.chdir(tmp_path / "clone")
    code = cards.card("mine").code
    assert isinstance(code, cards.Code) and code.numbers is None and code.differs == []


@pytest.mark.usefixtures("project")
def test_faults_are_one_line() -> None:
    with pytest.raises(ParamsError, match=r"no row `none`; there are vgg, cctv, mine, restorer, planned, search$"):
        cards.card("none")
    twice = "stages: {a: {params: {params.yaml: {vgg: 1, vgg.size: 2}}}}"
    for text in ("stages: [", "[]", "{}", "stages: [a]", twice):
        Path("dvc.lock").write_text(text)
        with pytest.raises(AfterimageError, match=r"^dvc.lock: not as DVC writes it"):
            cards.card("mine")


@pytest.mark.usefixtures("project")
def test_what_was_written_down_is_of_its_types() -> None:
    outputs.write_json(layout.measured("mine") / "provenance.json", {**PROVENANCE, "observations": {"test": [1]}})
    with pytest.raises(AfterimageError, match=r"`observations` should be a dict\[str, str\], found \{'test': \[1\]\}"):
        cards.card("mine")
    outputs.write_json(layout.measured("mine") / "provenance.json", PROVENANCE)
    outputs.write_json(Path("built-on.json"), {"cpu": {"vendor": 1}, "system": "", "python": "", "packages": {}})
    with pytest.raises(AfterimageError, match=r"^built-on\.json: `cpu` should be a dict\[str, str\]"):
        cards.card("mine")


@pytest.mark.usefixtures("project")
def test_text_fits_and_markdown_has_the_same() -> None:
    many = {f"metric_number_{number}": 1.0 for number in range(9)}
    measured.result("features", "mine", "test", 24.0, **many)
    outputs.write_json(layout.measured("mine") / "provenance.json", PROVENANCE)
    card = cards.card("mine")
    text, markdown = quoting.text(card), quoting.markdown(card)
    assert max(map(len, text.splitlines())) <= quoting.WIDTH
    for name in many:
        assert name in text and name in markdown
    assert text.count("\nmine  ") > 1 and text.count("PSNR in dB ↑") == 1  # tables, one below another
    head, rule, own, best, *_ = (line for line in markdown.splitlines() if line.startswith("|"))
    assert head.startswith("|  | PSNR in dB ↑ | SSIM ↑ | metric_number_0 |")
    assert head.count("|") == rule.count("|") == own.count("|") == best.count("|")
    interval = card.cases["test"].metrics["psnr"]
    assert own.startswith(f"| `mine` | 24.00 ({interval.low:.2f}–{interval.high:.2f}) |")
    assert best.startswith("| baseline `mean_image` | 16.00 |") and best.endswith("| - |")
    assert markdown.startswith("### mine: decoder of vgg/relu1, features of photos\n\n|")
    assert "- **Metrics**: PSNR in dB: RGB, data range 1. SSIM: a window of 11 px." in markdown
