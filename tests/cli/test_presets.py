"""Each preset over the default: a pipeline that resolves, rows of their types, comments that stay."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from conftest import ROOT, load_yaml
from test_stages import resolved, wrong_paths

from afterimage.cli import presets
from afterimage.cli.main import main
from afterimage.core import params
from afterimage.core.errors import ParamsError
from afterimage.datasets import sharding, sources
from afterimage.evaluation import metrics
from afterimage.evaluation.baselines.features import BaselineRow
from afterimage.core.arrays import stored_bytes
from afterimage.observations.features.encoders import Encoder, EncoderRow
from afterimage.observations.frames.store import DegradationRow
from afterimage.observations.holes.store import HolesRow
from afterimage.reconstructors.autoencoder.learner import RestorerRow
from afterimage.reconstructors.decoder.network import DecoderRow
from afterimage.reconstructors.inversion.row import InversionRow
from afterimage.reconstructors.pix2pix.learner import InpainterRow
from afterimage.reconstructors.pixelrnn.completer import CompleterRow
from afterimage.report.sections import ReportRow

PRESETS = presets.names(ROOT / "presets")
ROWS: dict[str, Any] = {
    "datasets": sources.Dataset,
    "encoders": EncoderRow,
    "decoders": DecoderRow,
    "inversions": InversionRow,
    "holes": HolesRow,
    "degradations": DegradationRow,
    "restorers": RestorerRow,
    "inpainters": InpainterRow,
    "completers": CompleterRow,
    "baselines": BaselineRow,
}
TABLES: dict[str, Any] = {"metrics": metrics.MetricsRow, "report": ReportRow}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A copy of the default parameters."""
    path = tmp_path / "params.yaml"
    path.write_bytes((ROOT / "params.yaml").read_bytes())
    return path


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
    for section, rows in params.load(path).items():
        if section in TABLES:
            params.table(path, section, TABLES[section])
            continue
        assert section in ROWS, f"say here which type the rows of {section} have"
        typed = params.section(path, section, ROWS[section])
        if section != "datasets":  # where `dataset` is a name on Kaggle
            there = params.load(path)["datasets"]
            assert all(row.dataset in there for row in typed.values() if hasattr(row, "dataset"))
        assert set(typed) == set(rows)
    pipeline = load_yaml(ROOT / "dvc.yaml")
    wrong = wrong_paths(pipeline, load_yaml(path))
    assert [line for line in wrong if "`data/mine`" not in line] == []
    (path.parent / "dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())
    repo = Repo.init(str(path.parent), no_scm=True)
    repo.index.check_graph()
    names = {stage.name for stage in repo.index.stages}
    assert names == {stage for stage, _ in resolved(pipeline, load_yaml(path))}


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
    assert about.samples.keys() == data.keys()
    stored = sum(
        stored_bytes(shape, row.dtype, about.samples[row.dataset])
        for row in params.section(path, "encoders", EncoderRow).values()
        if row.store
        for shape in shapes(row.arch, tuple(row.layers), data[row.dataset].size)
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

    before = [line for line in path.read_text().splitlines() if line.startswith("#")]
    presets.apply(path, ROOT / "presets", name)
    text = path.read_text()
    assert [line for line in text.splitlines() if line.startswith("#")] == before
    for line in before[1:]:
        assert f"\n\n{line}\n" in text
    with modify_yaml(path):
        pass
    assert path.read_text() == text


def test_the_command_lists_lays_over_and_says_what_it_takes(path: Path) -> None:
    (path.parent / "presets").symlink_to(ROOT / "presets")
    call = CliRunner().invoke
    project = ["--project", str(path.parent)]
    assert [line.split()[0] for line in call(main, ["preset", *project]).stdout.splitlines()] == PRESETS
    said = call(main, ["preset", "pretrained", *project]).stdout
    assert "encoders: ~ vgg16, ~ resnet50" in said
    assert load_yaml(path)["encoders"]["vgg16"]["weights"] == "IMAGENET1K_V1"
    wrong = call(main, ["preset", "nothing", *project])
    assert f"there is no such preset; there are {', '.join(PRESETS)}" in str(wrong.exception)


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
  net:
    dataset: a

# What is learned.
decoders:
  # One.
  one:
    dataset: b
    features: net/deep
  two: {dataset: b, features: other}

# How all is measured.
metrics:
  seed: 0 # nought
  weights:
"""


def test_rows_are_merged_added_and_taken_out(tmp_path: Path) -> None:
    preset = """\
  datasets:
    a: null
    b:
      layers: [three]
    # The third.
    c: {path: z, size: 9}
  metrics:
    weights: w
"""
    changes = laid(tmp_path, PARAMS, preset)
    assert (tmp_path / "params.yaml").read_text() == (
        PARAMS.replace("  # The first.\n  a: {path: x, size: 8}\n", "")
        .replace("[one, two]\n", "[three]\n  # The third.\n  c: {path: z, size: 9}\n")
        .replace("encoders:\n  net:\n    dataset: a\n", "encoders: {}\n")
        .replace("  # One.\n  one:\n    dataset: b\n    features: net/deep\n", "")
        .replace("weights:\n", "weights: w\n")
    )
    assert changes == [
        ("datasets", ["c"], ["b"], ["a"]),
        ("encoders", [], [], ["net"]),
        ("decoders", [], [], ["one"]),
        ("metrics", [], ["weights"], []),
    ]


def test_an_emptied_section_can_be_filled_again(tmp_path: Path) -> None:
    laid(tmp_path, PARAMS, "  encoders: {net: null}\n")
    text = (tmp_path / "params.yaml").read_text()
    assert "encoders: {}\n" in text
    laid(tmp_path, text, "  encoders:\n    new:\n      dataset: b\n", "other")
    assert (tmp_path / "params.yaml").read_text() == text.replace("encoders: {}", "encoders:\n  new:\n    dataset: b")


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("  nothing: {a: {}}\n", "`nothing` is no section of"),
        ("  datasets: 3\n", "`datasets` is no section of"),
        ("  datasets: {gone: null}\n", "takes out `datasets.gone`, which"),
        ("  - 3\n", "`params` should be a mapping of sections"),
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
