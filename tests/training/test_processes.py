"""Training on two processes ends where one process does."""

import json
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

loop.CHECKPOINT_SECONDS = 0.0
saving = loop._Progress.save
with processes.joined() as team:
    for task in sys.argv[2:]:
        out, stop = Path(task.partition(":")[0]), task.partition(":")[2]

        def save(self, every):
            saving(self, every)
            if str(self.step) == stop:
                raise KeyboardInterrupt

        loop._Progress.save = save
        learner = Mixed(Lines(40, 0), Lines(9, 1))
        try:
            curves = loop.fit(learner, row(epochs=3, batch=5), out / "state", {"data": "abc"})
        except KeyboardInterrupt:
            continue
        if team.first:
            torch.save(learner.networks.state_dict(), out / "state.pt")
            (out / "curves.json").write_text(json.dumps(curves))
        asked = learner.train.asked
        print(f"{out.name}, {team.rank} of {team.size}: {len(asked)} x {len(asked[0])}", flush=True)
"""


def train(folder: Path, count: int, *tasks: str) -> list[str]:
    """Train on so many processes, once for each task: a folder, and where it is stopped, the step. What was said."""
    program = folder / "program.py"
    program.write_text(PROGRAM)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "AFTERIMAGE_PROCESSES": str(count)}
    for task in tasks:
        (folder / task.partition(":")[0]).mkdir(exist_ok=True)
    words = [sys.executable, str(program), str(ROOT / "tests"), *(str(folder / task) for task in tasks)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return sorted(done.stdout.splitlines())


def alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    assert one.keys() == other.keys() != set()
    return all(torch.allclose(one[name].float(), other[name].float(), rtol=1e-3, atol=1e-5) for name in one)


def test_two_processes_end_where_one_does_and_go_on_where_it_stopped(tmp_path: Path) -> None:
    assert train(tmp_path, 1, "one", "mixed:13") == ["one, 0 of 1: 24 x 5"]
    shares = [("again", 24), ("mixed", 11), ("two", 24)]
    assert train(tmp_path, 2, "two", "again", "mixed") == [
        f"{name}, {rank} of 2: {steps} x {rank + 2}" for name, steps in shares for rank in range(2)
    ]
    one, two, again, mixed = (torch.load(tmp_path / name / "state.pt") for name in ("one", "two", "again", "mixed"))
    assert all(torch.equal(two[name], again[name]) for name in two)
    assert alike(one, two)
    assert alike(one, mixed)
    curves = [json.loads((tmp_path / name / "curves.json").read_text()) for name in ("one", "two", "mixed")]
    for name in curves[0][0]:
        for other in curves[1:]:
            assert [line[name] for line in other] == pytest.approx([line[name] for line in curves[0]], rel=1e-4)


def test_a_number_of_processes_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="AFTERIMAGE_PROCESSES=two: expected a whole number above 0"):
        processes.asked({"AFTERIMAGE_PROCESSES": "two"})


def test_more_processes_than_images_of_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from learners import Learner, Lines, row

    monkeypatch.setattr(processes.team, "size", 5)
    with pytest.raises(TrainingError, match="5 processes for batches of 4 images: each needs at least one"):
        loop.fit(Learner(Lines(16, 0), Lines(4, 1)), row(), tmp_path, {})
