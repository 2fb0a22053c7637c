"""`afterimage plan`: a table that adds up, on params.yaml as it is; what is wrong in one line."""

from pathlib import Path

import pytest
from conftest import ROOT
from toys import call

from afterimage.core import params

PARAMS = """\
datasets:
  a: {source: folder, path: there, size: 32, split: {val: 0.1, test: 0.2, seed: 0}}
encoders:
  net: {arch: resnet18, weights: random, sha256: null, seed: 0}
observations:
  net: {kind: features, dataset: a, path: data/weights/net.safetensors, layers: [relu], dtype: float16, batch: 8}
reconstructors: {}
searches: {}
shared: {folder: {}, features: {}}
compute: {portable: false, threads: 1}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "presets").symlink_to(ROOT / "presets")
    return tmp_path


def test_the_table_adds_up(project: Path) -> None:
    words = ("--machine", "cpu-2", "--samples", "a=10000000", "--price", "2", "--markdown", "--quiet")
    code, said, error = call("plan", *words, "--project", project)
    assert (code, error) == (0, "")
    table, _, sources = said.partition("\n\n")
    head, _, *lines = ([cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines())
    assert head[:5] == ["stage", "row", "images", "PFLOP", "hours"] and head[-1] == "cost"
    assert [line[0] for line in lines] == ["fetch", "shard", "validate", "observe", "observe", "all"]
    hours = [float(line[4].replace(",", "") or 0) for line in lines]
    assert hours[-1] == pytest.approx(sum(hours[:-1]), rel=0.02)
    assert float(lines[-1][-1].replace(",", "")) == pytest.approx(2 * hours[-1], rel=0.02)
    assert len(sources.splitlines()) == 4 and "measured in CPU time" in sources and "assumed" in sources
    assert (project / "params.yaml").read_text() == PARAMS


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "data/shards/a is not built; --samples a=COUNT says how many"),
        (["--samples", "a=none"], "--samples a=none: expected DATASET=COUNT, such as a=100000"),
        (["--samples", "b=3"], "--samples b=3: there is no data set `b`; there are a"),
        (["--machine", "abacus"], "there is no machine `abacus`; there are here, cpu-2, "),
        (["nothing"], "presets/nothing.yaml: there is no such preset"),
    ],
)
def test_what_is_wrong_is_one_line(project: Path, words: list[str], expected: str) -> None:
    code, _, error = call("plan", *words, "--project", project)
    assert (code, error.count("\n")) == (1, 1)
    assert expected in error
    assert params.load(project / "params.yaml")
