"""Rows of params.yaml in README and docs: laid over the default, each is what its class expects."""

import re
from pathlib import Path

import pytest
from conftest import ROOT, dump_yaml, load_yaml
from ruamel.yaml import YAML

from afterimage import reconstructors
from afterimage.core import params
from afterimage.datasets.sources import Dataset
from afterimage.observations import ObservationRow
from afterimage.observations.features.encoders import EncoderRow

TYPES = {"datasets": Dataset, "encoders": EncoderRow, "observations": ObservationRow}


@pytest.mark.parametrize(
    "page", ["README.md", "docs/completion.md", "docs/encoders.md", "docs/inpainting.md", "docs/restoration.md"]
)
def test_rows_of_a_page_are_rows(page: str, tmp_path: Path) -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks
    data, path = load_yaml(ROOT / "params.yaml"), tmp_path / "params.yaml"
    found = [
        (section, name)
        for block in blocks
        for section, rows in YAML(typ="safe").load(block).items()
        for name in rows
        if data[section].update(rows) is None
    ]
    dump_yaml(data, path)
    for section, name in found:
        if section in TYPES:
            params.row(path, section, name, TYPES[section])
        else:
            row = reconstructors.row(path, name)
            observation = params.row(path, "observations", row.observation.partition("/")[0], ObservationRow)
            assert (observation.kind, observation.dataset) == (row.observes, row.dataset)
