"""Each preset over the default: a pipeline that resolves, rows of their types, comments that stay, no old numbers."""

import json
import subprocess
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT, load_yaml
from pictures import png
from pipelines import resolved, wrong_paths
from toys import call

from afterimage import reconstructors
from afterimage.cli import presets
from afterimage.core import params
from afterimage.core.arrays import stored_bytes
from afterimage.core.errors import ParamsError
from afterimage.datasets import sharding, sources
from afterimage.evaluation import evaluating
from afterimage.evaluation.metrics import MetricsRow
from afterimage.observations import KINDS, ObservationRow, row_of
from afterimage.observations.features.encoders import Encoder, EncoderRow
from afterimage.report import ReportRow

PRESETS = presets.names(ROOT / "presets")
OWN = [name for name in PRESETS if name not in ("folder", "pretrained")]
"""Presets with a data set of their own."""
ROWS: dict[str, Any] = {"datasets": sources.Dataset, "encoders": EncoderRow, "observations": ObservationRow}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A copy of the default parameters."""
    path = tmp_path / "params.yaml"
    path.write_bytes((ROOT / "params.yaml").read_bytes())
    return path


@pytest.fixture
def project(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of DVC with the default parameters, of which all rows are measured."""
    from dvc.repo import Repo

    root = path.parent
    (root / "presets").symlink_to(ROOT / "presets")
    (root / "dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())
    Repo.init(str(root), no_scm=True)
    (root / ".dvc/config").write_text("[core]\nno_scm = true\nanalytics = false\ncheck_update = false\n")
    measure(root)
    monkeypatch.chdir(root)
    return root


def measure(root: Path, psnr: float = 12.3) -> None:
    """Write what stages write of the rows, and the pages."""
    for _, stage in resolved(load_yaml(ROOT / "dvc.yaml"), load_yaml(root / "params.yaml")):
        for metrics in stage.get("metrics", []):
            for folder in (root / next(iter(metrics)), root / "reports/measured" / Path(next(iter(metrics))).name):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "test.json").write_text(json.dumps({"psnr": psnr}))
    for page in ("index.html", "validation.html", "validation/photos.json"):
        (root / "reports" / page).parent.mkdir(parents=True, exist_ok=True)
        (root / "reports" / page).write_text("{}")
    for table in ("results/features-photos.csv", "curves/features-photos-psnr.csv"):
        (root / "reports/tables" / table).parent.mkdir(parents=True, exist_ok=True)
        (root / "reports/tables" / table).write_text(f"name,epoch,psnr\na,1,{psnr}\n")
    (root / "reports/figures").mkdir(exist_ok=True)
    (root / "reports/figures/grid.png").write_bytes(png())


def laid(folder: Path, params_text: str, preset: str, name: str = "mine") -> list[presets.Change]:
    """Lay a preset of these sections over these parameters."""
    about = (
        "about: {title: t, reproduces: r, samples: {a: 1}, needs: {download: d, disk: {}, memory: m, gpu: g, time: t}}"
    )
    (folder / "presets").mkdir(exist_ok=True)
    (folder / f"presets/{name}.yaml").write_text(f"{about}\nparams:\n{preset}")
    (folder / "params.yaml").write_text(params_text)
    return presets.apply(folder / "params.yaml", folder / "presets", name)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_makes_a_pipeline_whose_rows_are_right(path: Path, name: str) -> None:
    from dvc.repo import Repo

    presets.apply(path, ROOT / "presets", name)
    for section, row_type in ROWS.items():
        assert params.section(path, section, row_type)
    observations = params.section(path, "observations", ObservationRow)
    data = params.load(path)
    for section in reconstructors.SECTIONS:
        for row in data[section]:
            typed = reconstructors.row(path, row)
            observation = observations[row_of(typed.observation)]
            assert (typed.observes, typed.dataset) == (observation.kind, observation.dataset)
            parts = [*typed.observation.split("/")[1:], *(getattr(typed, "levels", None) or [])]
            assert set(parts) <= {*getattr(observation, "layers", []), *getattr(observation, "levels", [])}
    assert {row.dataset for row in observations.values()} == set(data["datasets"])
    assert [evaluating.baselines_of(path, kind) for kind in KINDS]
    params.table(path, "metrics", MetricsRow)
    params.table(path, "report", ReportRow)
    pipeline = load_yaml(ROOT / "dvc.yaml")
    wrong = wrong_paths(pipeline, load_yaml(path))
    assert [line for line in wrong if "`data/mine`" not in line] == []
    (path.parent / "dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())
    repo = Repo.init(str(path.parent), no_scm=True)
    repo.index.check_graph()
    names = {stage.name for stage in repo.index.stages}
    assert names == {stage for stage, _ in resolved(pipeline, load_yaml(path))}


@pytest.mark.parametrize("name", OWN)
def test_rows_on_other_data_have_other_names(path: Path, name: str) -> None:
    """A model of the default is not taken for one of the preset, nor do values of a row of the default stay in it."""
    before = params.load(path)
    presets.apply(path, ROOT / "presets", name)
    after = params.load(path)
    for section in ("datasets", *reconstructors.SECTIONS):
        assert set(before[section]) & set(after[section]) == set()
    overlay = load_yaml(ROOT / f"presets/{name}.yaml")["params"]["observations"]
    for row in set(before["observations"]) & set(after["observations"]):
        assert set(before["observations"][row]) <= set(overlay[row])


def test_the_readme_lists_every_preset() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in PRESETS if f"| `{name}` |" not in text] == []


@lru_cache
def shapes(arch: str, layers: tuple[str, ...], size: int) -> list[list[int]]:
    with torch.inference_mode():
        return [list(found.shape[1:]) for found in Encoder(arch, [*layers])(torch.zeros(1, 3, size, size)).values()]


@pytest.mark.parametrize("name", PRESETS)
def test_the_disk_that_a_preset_asks_for_follows_from_its_shapes(path: Path, name: str) -> None:
    about = presets.about(ROOT / "presets", name)
    presets.apply(path, ROOT / "presets", name)
    data = params.section(path, "datasets", sources.Dataset)
    encoders = params.section(path, "encoders", EncoderRow)
    assert about.samples.keys() == data.keys()
    stored = sum(
        stored_bytes(shape, row.dtype, about.samples[row.dataset])
        for row in params.section(path, "observations", ObservationRow).values()
        if row.kind == "features" and row.store
        for shape in shapes(encoders[row.encoder].arch, tuple(row.layers), data[row.dataset].size)
    )
    assert about.needs.disk.get("features", 0) * 1e9 == pytest.approx(stored, rel=0.02)
    if "shards" in about.needs.disk:
        pixels = [
            count * data[key].size ** 2 * (2 if getattr(data[key], "pairs", None) else 1)
            for key, count in about.samples.items()
        ]
        assert about.needs.disk["shards"] * 1e9 == pytest.approx(sum(pixels) * sharding.PNG, rel=0.35)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_keeps_the_comments_and_the_form(path: Path, name: str) -> None:
    from dvc.utils.serialize import modify_yaml

    lines = path.read_text().splitlines()
    presets.apply(path, ROOT / "presets", name)
    text = path.read_text()
    assert [line for line in text.splitlines() if line.startswith("#")] == [s for s in lines if s.startswith("#")]
    for above, line in pairwise(lines):
        if line.startswith("#"):  # one block of comments stays one, with the empty line above it
            assert f"\n{above}\n{line}\n" in f"\n{text}"
    with modify_yaml(path):
        pass
    assert path.read_text() == text


def test_the_command_lists_lays_over_and_says_what_it_takes(path: Path) -> None:
    (path.parent / "presets").symlink_to(ROOT / "presets")
    project = ["--project", path.parent]
    assert [line.split()[0] for line in call("preset", *project)[1].splitlines()] == PRESETS
    said = call("preset", "pretrained", *project)[1]
    assert "encoders: ~ vgg16, ~ resnet50, ~ lpips" in said
    assert "moved" not in said  # there was nothing
    assert load_yaml(path)["encoders"]["vgg16"]["weights"] == "IMAGENET1K_V1"
    code, _, error = call("preset", "nothing", *project)
    assert (code, error.count("\n")) == (1, 1)
    assert f"presets/nothing.yaml: there is no such preset; there are {', '.join(PRESETS)}" in error


@pytest.mark.parametrize("name", PRESETS)
def test_no_number_of_the_rows_before_is_shown(project: Path, capfd: pytest.CaptureFixture[str], name: str) -> None:
    from dvc.cli import main as dvc

    def shown(*words: str) -> tuple[str, str]:
        capfd.readouterr()
        assert dvc([*words]) == 0
        return capfd.readouterr()

    assert "12.3" in shown("metrics", "show")[0]
    code, said, _ = call("preset", name)
    assert code == 0
    (line,) = (line for line in said.splitlines() if "before-preset" in line)
    assert line.startswith("metrics, reports/measured, reports/tables, reports/figures, reports/index.html, ")
    assert "`git checkout params.yaml metrics reports`" in line
    assert shown("metrics", "show") == ("", "")
    assert "failed" not in "".join(shown("plots", "show"))
    assert "12.3" not in call("rows", "--json")[1]
    assert not (project / "reports/index.html").exists()
    kept = project / ".afterimage/before-preset"
    assert (kept / "metrics/features/vgg16/test.json").read_text() == '{"psnr": 12.3}'
    assert (kept / "reports/validation/photos.json").is_file()


def test_plots_of_folders_are_empty_then(project: Path) -> None:
    from dvc.repo import Repo

    found = Repo(str(project)).plots.show()["workspace"]["sources"]["data"]
    tables = ["reports/tables/results/features-photos.csv", "reports/tables/curves/features-photos-psnr.csv"]
    assert set(found) == {*tables, "reports/figures/grid.png"}
    call("preset", "imagenet-resnet50")
    assert Repo(str(project)).plots.show()["workspace"]["sources"] == {}


def test_what_was_measured_comes_back_from_git(project: Path) -> None:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=project, capture_output=True, text=True, check=True).stdout

    git("init", "--quiet")
    (project / ".gitignore").write_text(".afterimage/\n")
    git("add", "--all")
    git("-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "--quiet", "--message", "Results")
    call("preset", "celeba-hq-vgg16")
    assert " D metrics/holes/pix2pix/test.json" in git("status", "--short")
    git("checkout", "params.yaml", "metrics", "reports")
    assert git("status", "--short") == ""


def test_only_what_the_last_preset_moved_is_kept(project: Path) -> None:
    kept = project / ".afterimage/before-preset/metrics/features/vgg16/test.json"
    call("preset", "pretrained")
    call("preset", "folder")  # nothing was measured in between
    assert kept.read_text() == '{"psnr": 12.3}'
    measure(project, 45.6)
    call("preset", "folder")  # changes nothing
    assert kept.read_text() == '{"psnr": 12.3}'
    path = project / "params.yaml"
    path.write_text(path.read_text().replace("path: data/mine", "path: data/other"))
    call("preset", "folder")
    assert kept.read_text() == '{"psnr": 45.6}'


PARAMS = """\
# Above all.

# Where images come from.
datasets:
  # The first.
  a: {path: x, size: 8}
  # The second.
  b:
    path: y # here
    layers: [one, two]

encoders:
  net: {seed: 0}
  other: {seed: 0}
  trunk: {seed: 0}

# What is left.
observations:
  net: {kind: features, dataset: b, path: data/weights/net.safetensors}
  other:
    kind: features
    dataset: a
    path: data/weights/other.safetensors

# What is learned.
reconstructors:
  # One.
  one:
    dataset: b
    observation: other/deep
  two: {dataset: b, observation: net/deep}

searches:
  three: {dataset: b, observation: net/deep, decoder: one}

# What all have.
training: {patience: null, workers: 0} # the loop

# How all is measured.
metrics:
  seed: 0 # nought
  weights:
# The end.
"""


def test_rows_are_merged_added_and_taken_out(tmp_path: Path) -> None:
    preset = """\
  datasets:
    a: null
    b:
      layers: [three]
    # The third.
    c: {path: z, size: 9}
  training: {workers: 8}
  metrics:
    weights: w
"""
    changes = laid(tmp_path, PARAMS, preset)
    other = PARAMS[PARAMS.index("  other:\n") : PARAMS.index("\n# What is learned")]
    assert (tmp_path / "params.yaml").read_text() == (
        PARAMS.replace("  # The first.\n  a: {path: x, size: 8}\n", "")
        .replace("[one, two]\n", "[three]\n  # The third.\n  c: {path: z, size: 9}\n")
        .replace("  other: {seed: 0}\n", "")
        .replace(other, "")
        .replace("  # One.\n  one:\n    dataset: b\n    observation: other/deep\n", "")
        .replace("searches:\n  three: {dataset: b, observation: net/deep, decoder: one}\n", "searches: {}\n")
        .replace("workers: 0", "workers: 8")
        .replace("weights:\n", "weights: w\n")
    )
    assert changes == [
        ("datasets", ["c"], ["b"], ["a"]),
        ("encoders", [], [], ["other"]),
        ("observations", [], [], ["other"]),
        ("reconstructors", [], [], ["one"]),
        ("searches", [], [], ["three"]),
        ("training", [], ["workers"], []),
        ("metrics", [], ["weights"], []),
    ]


def test_rows_of_an_encoder_go_with_it(tmp_path: Path) -> None:
    changes = laid(tmp_path, PARAMS, "  encoders: {net: null}\n")
    assert changes == [
        ("encoders", [], [], ["net"]),
        ("observations", [], [], ["net"]),
        ("reconstructors", [], [], ["two"]),
        ("searches", [], [], ["three"]),
    ]


def test_an_emptied_section_can_be_filled_again(tmp_path: Path) -> None:
    laid(tmp_path, PARAMS, "  searches: {three: null}\n")
    text = (tmp_path / "params.yaml").read_text()
    assert "searches: {}\n" in text
    laid(tmp_path, text, "  searches:\n    new:\n      dataset: b\n", "other")
    assert (tmp_path / "params.yaml").read_text() == text.replace("searches: {}", "searches:\n  new:\n    dataset: b")


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("  nothing: {a: {}}\n", "`nothing` is no section of"),
        ("  datasets: 3\n", "`datasets` is no section of"),
        ("  datasets: {gone: null}\n", "takes out `datasets.gone`, which"),
        ("  - 3\n", "`params` should be a mapping, found [3]"),
        ("  decoders: {a: {}}\n", "rows of `decoders` are now rows of `reconstructors` with `kind: decoder`"),
    ],
)
def test_what_a_preset_gets_wrong(tmp_path: Path, preset: str, expected: str) -> None:
    with pytest.raises(ParamsError) as caught:
        laid(tmp_path, PARAMS, preset)
    assert expected in str(caught.value)
    assert (tmp_path / "params.yaml").read_text() == PARAMS


def test_a_preset_over_another_says_how_to_go_back(path: Path) -> None:
    presets.apply(path, ROOT / "presets", "celeba-hq-vgg16")
    with pytest.raises(ParamsError, match="a preset goes over the default: `git checkout"):
        presets.apply(path, ROOT / "presets", "imagenet-resnet50")
