import math
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from afterimage.core import devices
from afterimage.core.errors import DeviceError, TrainingError
from afterimage.training import loop as training

ROW = dict(
    epochs=4,
    batch=4,
    learning_rate=0.01,
    schedule="cosine",
    weight_decay=0.0,
    patience=None,
    precision="float32",
    device="cpu",
    workers=0,
    seed=0,
)


def row(**values) -> training.TrainingRow:
    return training.TrainingRow.model_validate({**ROW, **values})


class Lines:
    """Points of a line with noise; remembers what it was asked for."""

    def __init__(self, count: int, seed: int):
        generator = torch.Generator().manual_seed(seed)
        self.x = torch.rand(count, 3, generator=generator)
        self.y = self.x @ torch.tensor([[1.0], [-2.0], [0.5]]) + 0.1 * torch.rand(count, 1, generator=generator)
        self.asked: list[training.Positions] = []

    def __len__(self) -> int:
        return len(self.x)

    def __getitems__(self, positions: training.Positions) -> dict[str, Tensor]:
        self.asked.append(positions)
        places = [place for _, place in positions]
        return {"x": self.x[places], "y": self.y[places]}


class Learner(training.Learner):
    """A small network with dropout, so that a run that lost its place in the randomness would show it."""

    monitor = "mse"

    def __init__(self, rate: float = 0.01, pause: float = 0.0, values: list[float] | None = None):
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(3, 16), nn.BatchNorm1d(16), nn.Dropout(0.2), nn.Linear(16, 1))
        self.networks = nn.ModuleDict({"model": self.model})
        self.optimizers = {"adam": torch.optim.Adam(self.model.parameters(), lr=rate)}
        self.pause, self.values = pause, values

    def step(self, batch: training.Batch, update: training.Update) -> dict[str, Tensor]:
        time.sleep(self.pause)
        loss = F.mse_loss(self.model(batch["x"]), batch["y"])
        update(loss, self.optimizers["adam"])
        return {"loss": loss}

    def validate(self, batch: training.Batch) -> dict[str, Tensor]:
        if self.values is not None:
            return {"mse": torch.full((len(batch["x"]),), self.values.pop(0))}
        return {"mse": (self.model(batch["x"]) - batch["y"]).square().flatten(1).mean(1)}


def weights_of(learner: Learner) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in learner.networks.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_it_learns_and_tells_how(tmp_path: Path) -> None:
    learner = Learner()
    curves = training.fit(learner, Lines(64, 0), Lines(16, 1), row(epochs=20), tmp_path, {})
    assert [line["epoch"] for line in curves] == list(range(1, 21))
    assert set(curves[0]) == {"epoch", "learning_rate", "train_loss", "val_mse"}
    assert curves[-1]["val_mse"] < 0.2 * curves[0]["val_mse"]
    assert not learner.model.training
    assert (tmp_path / "live/plots/metrics/val_mse.tsv").read_text().count("\n") == 21


def test_the_best_state_is_kept_not_the_last(tmp_path: Path) -> None:
    seen: list[dict[str, Tensor]] = []

    class Watched(Learner):
        def validate(self, batch: training.Batch) -> dict[str, Tensor]:
            seen.append(weights_of(self))
            return super().validate(batch)

    learner = Watched(values=[3.0, 1.0, 2.0, 2.0])
    training.fit(learner, Lines(8, 0), Lines(4, 1), row(), tmp_path, {})
    assert same(weights_of(learner), seen[1])
    assert not same(seen[1], seen[3])


def test_patience_stops_early(tmp_path: Path) -> None:
    learner = Learner(values=[3.0, 1.0, 2.0, 2.0, 2.0, 2.0])
    curves = training.fit(learner, Lines(8, 0), Lines(4, 1), row(epochs=6, patience=2), tmp_path, {})
    assert len(curves) == 4


def test_cosine_and_constant_schedules(tmp_path: Path) -> None:
    falling = training.fit(Learner(), Lines(8, 0), Lines(4, 1), row(), tmp_path / "a", {})
    steps = [0.01 * 0.5 * (1 + math.cos(math.pi * step / 8)) for step in (1, 3, 5, 7)]
    assert [line["learning_rate"] for line in falling] == pytest.approx(steps)
    flat = training.fit(Learner(), Lines(8, 0), Lines(4, 1), row(schedule="constant"), tmp_path / "b", {})
    assert {line["learning_rate"] for line in flat} == {0.01}


def test_each_epoch_sees_each_sample_once_in_an_order_of_its_own(tmp_path: Path) -> None:
    lines = Lines(12, 0)
    training.fit(Learner(), lines, Lines(4, 1), row(epochs=2), tmp_path, {})
    asked = [pair for positions in lines.asked for pair in positions]
    first, second = [[place for epoch, place in asked if epoch == number] for number in (0, 1)]
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_the_number_of_workers_changes_nothing(tmp_path: Path, workers: int) -> None:
    one, other = Learner(), Learner()
    training.fit(one, Lines(16, 0), Lines(4, 1), row(), tmp_path / "a", {})
    training.fit(other, Lines(16, 0), Lines(4, 1), row(workers=workers), tmp_path / "b", {})
    assert same(weights_of(one), weights_of(other))


def test_the_seed_changes_the_result(tmp_path: Path) -> None:
    one, other = Learner(), Learner()
    training.fit(one, Lines(16, 0), Lines(4, 1), row(), tmp_path / "a", {})
    training.fit(other, Lines(16, 0), Lines(4, 1), row(seed=1), tmp_path / "b", {})
    assert not same(weights_of(one), weights_of(other))


def test_a_loss_that_is_not_finite_names_itself(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"the loss `loss` is (nan|inf) in epoch \d+; a learning_rate under 1e\+30"):
        training.fit(Learner(rate=1e30), Lines(8, 0), Lines(4, 1), row(learning_rate=1e30), tmp_path, {})


def test_too_little_data_and_missing_devices_are_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="0 training and 4 validation samples"):
        training.fit(Learner(), Lines(0, 0), Lines(4, 1), row(), tmp_path, {})
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match="`cuda` is not available here; there is .*cpu"):
            devices.choose("cuda")
    with pytest.raises(TrainingError, match="float16` trains on a GPU only"):
        training.fit(Learner(), Lines(8, 0), Lines(4, 1), row(precision="float16"), tmp_path, {})


def test_bfloat16_learns_too(tmp_path: Path) -> None:
    curves = training.fit(Learner(), Lines(64, 0), Lines(16, 1), row(epochs=20, precision="bfloat16"), tmp_path, {})
    assert curves[-1]["val_mse"] < 0.3 * curves[0]["val_mse"]


PROGRAM = """
import sys
from pathlib import Path
sys.path[:0] = [{tests!r}]
import torch
from afterimage import devices, training
from test_training import Learner, Lines, row
training.CHECKPOINT_SECONDS = 0.0
learner = Learner(pause=0.01)
training.fit(learner, Lines(32, 0), Lines(8, 1), row(epochs=5), Path(sys.argv[1]), {{"data": "abc"}})
torch.save(learner.networks.state_dict(), sys.argv[2])
"""


def test_a_run_that_is_killed_twice_ends_with_the_same_bits(tmp_path: Path) -> None:
    program = PROGRAM.format(tests=str(Path(__file__).parent))

    def start(name: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", program, str(tmp_path / name), str(tmp_path / f"{name}.pt")]
        return subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    assert start("whole").wait(120) == 0
    checkpoint = tmp_path / "killed/checkpoint.pt"
    reached = []
    for target in (3, 17):  # within the first epoch of 8 steps, and within the third
        process = start("killed")
        deadline = time.monotonic() + 100
        while time.monotonic() < deadline:
            if checkpoint.is_file():
                step = torch.load(checkpoint, weights_only=True)["step"]
                if step >= target:
                    break
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        reached.append(torch.load(checkpoint, weights_only=True)["step"])
    assert 3 <= reached[0] < reached[1] < 40
    assert start("killed").wait(120) == 0
    whole = torch.load(tmp_path / "whole.pt", weights_only=True)
    assert same(whole, torch.load(tmp_path / "killed.pt", weights_only=True))


def test_a_checkpoint_of_other_parameters_is_not_resumed(tmp_path: Path) -> None:
    training.fit(Learner(), Lines(16, 0), Lines(4, 1), row(), tmp_path, {"data": "abc"})
    assert (tmp_path / "checkpoint.pt").is_file()
    for change in ({"row": row(), "data": "xyz"}, {"row": row(learning_rate=0.02), "data": "abc"}):
        lines = Lines(16, 0)
        training.fit(Learner(), lines, Lines(4, 1), change["row"], tmp_path, {"data": change["data"]})
        assert len(lines.asked) == 16  # all steps again
    lines = Lines(16, 0)
    training.fit(Learner(), lines, Lines(4, 1), row(learning_rate=0.02), tmp_path, {"data": "abc"})
    assert lines.asked == []
    training.forget(tmp_path)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_git_repository_without_a_commit_only_lacks_the_live_curves(tmp_path: Path, monkeypatch, capsys) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    subprocess.run(["dvc", "init", "--quiet"], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    curves = training.fit(Learner(), Lines(8, 0), Lines(4, 1), row(), tmp_path / "state", {})
    assert len(curves) == 4
    assert "no live curves: " in capsys.readouterr().err
