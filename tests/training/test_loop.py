import math
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from learners import Learner, Lines, row
from torch import Tensor

from afterimage.core import devices
from afterimage.core.errors import DeviceError, TrainingError
from afterimage.training import loop


def weights_of(learner: Learner) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in learner.networks.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_it_learns_and_tells_how(tmp_path: Path) -> None:
    learner = Learner(Lines(64, 0), Lines(16, 1))
    curves = loop.fit(learner, row(epochs=20), tmp_path, {})
    assert [line["epoch"] for line in curves] == list(range(1, 21))
    assert set(curves[0]) == {"epoch", "learning_rate", "train_loss", "val_mse"}
    assert curves[-1]["val_mse"] < 0.2 * curves[0]["val_mse"]
    assert not learner.model.training
    assert not (tmp_path / "live").exists()


def test_curves_are_shown_as_they_grow_once_training_has_lasted(tmp_path: Path, monkeypatch) -> None:
    times = iter(range(0, 10_000, 10))
    monkeypatch.setattr(loop, "LIVE_SECONDS", 60)
    monkeypatch.setattr(loop.time, "monotonic", lambda: next(times))
    loop.fit(Learner(Lines(64, 0), Lines(16, 1)), row(epochs=20), tmp_path, {})
    assert (tmp_path / "live/plots/metrics/val_mse.tsv").read_text().count("\n") == 21


def test_the_best_state_is_kept_not_the_last(tmp_path: Path) -> None:
    seen: list[dict[str, Tensor]] = []

    class Watched(Learner):
        def validate(self, batch: loop.Batch) -> dict[str, Tensor]:
            seen.append(weights_of(self))
            return super().validate(batch)

    learner = Watched(Lines(8, 0), Lines(4, 1), values=[3.0, 1.0, 2.0, 2.0])
    loop.fit(learner, row(), tmp_path, {})
    assert same(weights_of(learner), seen[1])
    assert not same(seen[1], seen[3])


def test_patience_stops_early(tmp_path: Path) -> None:
    learner = Learner(Lines(8, 0), Lines(4, 1), values=[3.0, 1.0, 2.0, 2.0, 2.0, 2.0])
    curves = loop.fit(learner, row(epochs=6, patience=2), tmp_path, {})
    assert len(curves) == 4


def test_cosine_and_constant_schedules(tmp_path: Path) -> None:
    falling = loop.fit(Learner(Lines(8, 0), Lines(4, 1)), row(), tmp_path / "a", {})
    steps = [0.01 * 0.5 * (1 + math.cos(math.pi * step / 8)) for step in (1, 3, 5, 7)]
    assert [line["learning_rate"] for line in falling] == pytest.approx(steps)
    flat = loop.fit(Learner(Lines(8, 0), Lines(4, 1)), row(schedule="constant"), tmp_path / "b", {})
    assert {line["learning_rate"] for line in flat} == {0.01}


def test_each_epoch_sees_each_sample_once_in_an_order_of_its_own(tmp_path: Path) -> None:
    lines = Lines(12, 0)
    loop.fit(Learner(lines, Lines(4, 1)), row(epochs=2), tmp_path, {})
    asked = [pair for positions in lines.asked for pair in positions]
    first, second = [[place for epoch, place in asked if epoch == number] for number in (0, 1)]
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_the_number_of_workers_changes_nothing(tmp_path: Path, workers: int) -> None:
    one, other = (Learner(Lines(16, 0), Lines(4, 1)) for _ in range(2))
    loop.fit(one, row(), tmp_path / "a", {})
    loop.fit(other, row(workers=workers), tmp_path / "b", {})
    assert same(weights_of(one), weights_of(other))


def test_the_seed_changes_the_result(tmp_path: Path) -> None:
    one, other = (Learner(Lines(16, 0), Lines(4, 1)) for _ in range(2))
    loop.fit(one, row(), tmp_path / "a", {})
    loop.fit(other, row(seeds=[1]), tmp_path / "b", {})
    assert not same(weights_of(one), weights_of(other))


def test_a_loss_that_is_not_finite_names_itself(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"the loss `loss` is (nan|inf) in epoch \d+; a learning_rate under 1e\+30"):
        loop.fit(Learner(Lines(8, 0), Lines(4, 1), rate=1e30), row(learning_rate=1e30), tmp_path, {})


def test_too_little_data_and_missing_devices_are_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="0 training and 4 validation samples"):
        loop.fit(Learner(Lines(0, 0), Lines(4, 1)), row(), tmp_path, {})
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match="`cuda` is not available here; there is .*cpu"):
            devices.choose("cuda")
    with pytest.raises(TrainingError, match="float16` trains on a GPU only"):
        loop.fit(Learner(Lines(8, 0), Lines(4, 1)), row(precision="float16"), tmp_path, {})


def test_bfloat16_learns_too(tmp_path: Path) -> None:
    curves = loop.fit(Learner(Lines(64, 0), Lines(16, 1)), row(epochs=20, precision="bfloat16"), tmp_path, {})
    assert curves[-1]["val_mse"] < 0.3 * curves[0]["val_mse"]


PROGRAM = """
import sys
from pathlib import Path
sys.path[:0] = [{tests!r}]
from afterimage.training import loop
from learners import Learner, Lines, row
loop.CHECKPOINT_SECONDS = 0.0
loop.fit(Learner(Lines(32, 0), Lines(8, 1), pause=0.01), row(epochs=5), Path({state!r}), {{"data": "abc"}})
"""


def test_a_run_that_is_killed_twice_ends_with_the_same_bits(tmp_path: Path) -> None:
    checkpoint = tmp_path / "killed/checkpoint.pt"
    program = PROGRAM.format(tests=str(ROOT / "tests"), state=str(checkpoint.parent))
    reached = []
    for target in (3, 17):  # within the first epoch of 8 steps, and within the third
        command = [sys.executable, "-c", program]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
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
    found = {}
    for name in ("whole", "killed"):
        learner = Learner(lines := Lines(32, 0), Lines(8, 1))
        curves = loop.fit(learner, row(epochs=5), tmp_path / name, {"data": "abc"})
        found[name] = (weights_of(learner), curves, len(lines.asked))
    assert same(found["whole"][0], found["killed"][0])
    assert found["whole"][1] == found["killed"][1]
    assert (found["whole"][2], found["killed"][2]) == (40, 40 - reached[1])


def test_a_checkpoint_of_other_parameters_is_not_resumed(tmp_path: Path) -> None:
    loop.fit(Learner(Lines(16, 0), Lines(4, 1)), row(), tmp_path, {"data": "abc"})
    assert (tmp_path / "checkpoint.pt").is_file()
    for change in ({"row": row(), "data": "xyz"}, {"row": row(learning_rate=0.02), "data": "abc"}):
        lines = Lines(16, 0)
        loop.fit(Learner(lines, Lines(4, 1)), change["row"], tmp_path, {"data": change["data"]})
        assert len(lines.asked) == 16  # all steps again
    lines = Lines(16, 0)
    loop.fit(Learner(lines, Lines(4, 1)), row(learning_rate=0.02), tmp_path, {"data": "abc"})
    assert lines.asked == []


def test_a_git_repository_without_a_commit_only_lacks_the_live_curves(tmp_path: Path, monkeypatch, capsys) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loop, "LIVE_SECONDS", 0)
    curves = loop.fit(Learner(Lines(8, 0), Lines(4, 1)), row(), tmp_path / "state", {})
    assert len(curves) == 4
    assert "no live curves: " in capsys.readouterr().err
