"""docs/upgrading.md: its new rows are right, its old sections are answered, and none is left out."""

import re
from pathlib import Path

import pytest
from conftest import ROOT, dump_yaml, load_yaml
from ruamel.yaml import YAML

from afterimage import reconstructors
from afterimage.core import params
from afterimage.core.errors import ParamsError
from afterimage.datasets import sources
from afterimage.evaluation import evaluating
from afterimage.evaluation.metrics import MetricsRow
from afterimage.observations import KINDS, ObservationRow
from afterimage.observations.features.encoders import EncoderRow

TEXT = (ROOT / "docs/upgrading.md").read_text(encoding="utf-8")


def examples(when: str) -> list[dict[str, dict[str, object]]]:
    blocks = re.findall(rf"^```yaml\n# {when}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    return [YAML(typ="safe").load(block) for block in blocks]


def test_new_rows_are_right(tmp_path: Path) -> None:
    data = load_yaml(ROOT / "params.yaml")
    for example in examples("now"):
        for section, rows in example.items():
            data[section] = {**data[section], **rows}
    path = tmp_path / "params.yaml"
    dump_yaml(data, path)
    params.section(path, "datasets", sources.Dataset)
    params.section(path, "encoders", EncoderRow)
    observations = params.section(path, "observations", ObservationRow)
    for example in examples("now"):
        for section in reconstructors.SECTIONS:
            for name in example.get(section, {}):
                row = reconstructors.row(path, name)
                whole, _, layer = row.observation.partition("/")
                assert row.observes == observations[whole].kind
                assert not layer or layer in observations[whole].layers  # type: ignore[attr-defined]
    assert [evaluating.baselines_of(path, kind) for kind in KINDS]
    params.table(path, "metrics", MetricsRow)


def test_old_sections_are_all_shown_and_answered(tmp_path: Path) -> None:
    shown = {section for example in examples("before") for section in example}
    assert set(params.RENAMED) <= shown
    path = tmp_path / "params.yaml"
    for example in examples("before"):
        if not set(example) & set(params.RENAMED):
            continue
        dump_yaml(example, path)
        with pytest.raises(ParamsError) as caught:
            params.load(path)
        for section in set(example) & set(params.RENAMED):
            assert f"rows of `{section}` are now rows of {params.RENAMED[section]}" in str(caught.value)
            now, kind = re.findall(r"`([^`]+)`", params.RENAMED[section])
            assert f"| `{section}` | `{now}` | `{kind.removeprefix('kind: ')}` |" in TEXT
