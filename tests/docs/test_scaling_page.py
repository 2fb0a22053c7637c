"""docs/scaling.md: what its tables say of machines and presets is what `afterimage plan` calculates.

Counting the operations of these presets takes minutes, so that what follows from the sizes alone is compared here.
"""

import re
from collections import defaultdict
from pathlib import Path

import pytest
from conftest import ROOT

from afterimage.cli import plan, presets
from afterimage.planning import machines, stages
from afterimage.planning.machines import Rates
from afterimage.planning.work import NOTHING, Counted

PAGE = (ROOT / "docs/scaling.md").read_text(encoding="utf-8")
LINE = re.compile(r"^\| `([\w-]+)` \| ([\d,]+) \| ([\w-]+) \| (.*) \|$", re.MULTILINE)


def number(text: str) -> float:
    return float(text.replace(",", "") or 0)


LINES = [(name, number(count), machine, rest.split("|")) for name, count, machine, rest in LINE.findall(PAGE)]


def test_lines_add_up_and_name_what_there_is() -> None:
    assert {name for name, *_ in LINES} == {"celeba-hq-vgg16", "imagenet-resnet50", "imagenet-vgg16"}
    for name, _, machine, cells in LINES:
        assert name in presets.names(ROOT / "presets") and machine in machines.names()
        *hours, total, _ = map(number, map(str.strip, cells))
        assert total == pytest.approx(sum(hours), rel=0.02, abs=0.005)


@pytest.mark.parametrize("name", ["imagenet-resnet50", "imagenet-vgg16"])
def test_hours_of_shards_and_disk_are_those_of_the_plan(tmp_path: Path, name: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes((ROOT / "params.yaml").read_bytes())
    presets.apply(path, ROOT / "presets", name)
    about = presets.about(ROOT / "presets", name)
    looks = defaultdict(lambda: NOTHING)
    for _, count, machine, cells in (line for line in LINES if line[0] == name):
        samples = {"imagenet": int(count)}
        found = list(stages.planned(path, samples, plan._raw(about, samples), Counted({}, {}, looks)))
        rates = Rates.of(machine)
        hours = {
            part: [rates.time(each).hours for each in found if each.name in part]
            for part in ("fetch", "shard validate")
        }
        fetch, shard, *_, disk = map(number, map(str.strip, cells))
        assert fetch == pytest.approx(sum(hours["fetch"]), rel=0.03)
        assert shard == pytest.approx(sum(hours["shard validate"]), rel=0.03)
        assert disk == pytest.approx(sum(each.written for each in found) / 1e9, rel=0.01)
