"""Training on two processes ends where one process does."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT

from afterimage.core.errors import ParamsError, TrainingError
from afterimage.training import loop, processes

PROGRAM = """
import json, sys
from pathlib import Path
import torch
sys.path[:0] = [sys.argv[1]]
from torch import nn
import torch.nn.functional as F
from afterimage.training import loop, processes
from learners import Learner, Lines, row

class Mixed(Learner):
    def __init__(self, *samples):
        super().__init__(*samples)
        torch.manual_seed(0)
        self.model = nn.Sequential(
            nn.Unflatten(1, (3, 1, 1)), nn.Conv2d(3, 16, 1, bias=False), processes.BatchNorm2d(16),
            processes.Dropout(0.2),
            nn.Conv2d(16, 1, 1), nn.Flatten(),
        )
        self.networks = nn.ModuleDict({"model": self.model})
        self.optimizers = {"adam": torch.optim.Adam(self.model.parameters(), lr=0.01)}

    def step(self, batch, update):
        chance = processes.drawn(torch.rand, len(batch["x"]))[:, None]
        error = (self.model(batch["x"] + 0.1 * chance) - batch["y"]).square()
        loss = error.mean() / processes.mean(batch["y"].square()).clamp_min(0.1)
        update(loss, self.optimizers["adam"])
        return {"loss": loss}

out, epochs, stop = Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
loop.CHECKPOINT_SECONDS = 0.0
with processes.joined() as team:
    learner = Mixed(Lines(40, 0), Lines(9, 1))
    seen = []
    if stop:
        def save(self, every, once=loop._Progress.save):
            once(self, every)
            if self.step == stop:
                raise KeyboardInterrupt
        loop._Progress.save = save
    try:
        curves = loop.fit(learner, row(epochs=epochs, batch=5), out / "state", {"data": "abc"})
    except KeyboardInterrupt:
        sys.exit()
    if team.first:
        torch.save(learner.networks.state_dict(), out / "state.pt")
        (out / "curves.json").write_text(json.dumps(curves))
    print(f"rank {team.rank} of {team.size}: {[len(each) for each in learner.train.asked][:1]}")
"""


def trained(out: Path, count: int, epochs: int = 3, stop: int = 0) -> tuple[dict[str, Any], str]:
    """The weights and curves after a training on so many processes, which is stopped after a step; what it said."""
    out.mkdir(exist_ok=True)
    program = out / "program.py"
    program.write_text(PROGRAM)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "AFTERIMAGE_PROCESSES": str(count)}
    words = [sys.executable, str(program), str(ROOT / "tests"), str(out), str(epochs), str(stop)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    state = torch.load(out / "state.pt") if (out / "state.pt").is_file() else {}
    return state, done.stdout


def alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    assert one.keys() == other.keys() != set()
    return all(torch.allclose(one[name].float(), other[name].float(), rtol=1e-3, atol=1e-5) for name in one)


def test_two_processes_end_where_one_does_and_go_on_where_it_stopped(tmp_path: Path) -> None:
    one, said = trained(tmp_path / "one", 1)
    assert said == "rank 0 of 1: [5]\n"
    two, said = trained(tmp_path / "two", 2)
    assert sorted(said.splitlines()) == ["rank 0 of 2: [2]", "rank 1 of 2: [3]"]
    assert alike(one, two)
    again, _ = trained(tmp_path / "again", 2)
    assert all(torch.equal(two[name], again[name]) for name in two)
    assert (tmp_path / "two/curves.json").read_bytes() == (tmp_path / "again/curves.json").read_bytes()
    nothing, _ = trained(tmp_path / "mixed", 1, stop=13)
    assert nothing == {}
    mixed, said = trained(tmp_path / "mixed", 2)
    assert sorted(said.splitlines()) == ["rank 0 of 2: [2]", "rank 1 of 2: [3]"]
    assert alike(one, mixed)


def test_a_number_of_processes_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="AFTERIMAGE_PROCESSES=two: expected a whole number above 0"):
        processes.asked({"AFTERIMAGE_PROCESSES": "two"})


def test_more_processes_than_images_of_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from learners import Learner, Lines, row

    monkeypatch.setattr(processes.team, "size", 5)
    with pytest.raises(TrainingError, match="5 processes for batches of 4 images: each needs at least one"):
        loop.fit(Learner(Lines(16, 0), Lines(4, 1)), row(), tmp_path, {})
