"""What several processes are worth: `python -m benchmarks.scaling`, on an idle machine with two cores.

Training on two processes against one, of a decoder-like network on random features, and what the engine adds to a unit
of work on a Ray cluster of one node, which this starts and ends.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STEPS, BATCH = 40, 32
UNITS = 300

TRAINING = """
import sys, time
from pathlib import Path
import torch
from torch import nn
from afterimage.training import loop, processes

class Images:
    def __init__(self, count):
        self.x = torch.rand(count, 64, 16, 16, generator=torch.Generator().manual_seed(count))
    def __len__(self):
        return len(self.x)
    def __getitems__(self, positions):
        return {"x": self.x[[place for _, place in positions]]}

class Learner(loop.Learner):
    monitor, words = "mse", ""
    def __init__(self, count, batch):
        self.train, self.validation = Images(count), Images(batch)
        torch.manual_seed(0)
        self.model = nn.Sequential(
            nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1),
        )
        self.networks = nn.ModuleDict({"model": self.model})
        self.optimizers = {"adam": torch.optim.Adam(self.model.parameters())}
    def step(self, batch, update):
        loss = (self.model(batch["x"]) - batch["x"]).square().mean()
        update(loss, self.optimizers["adam"])
        return {"mse": loss}
    def validate(self, batch):
        return {"mse": (self.model(batch["x"]) - batch["x"]).square().flatten(1).mean(1)}

steps, batch, out = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
torch.set_num_threads(1)
row = loop.TrainingRow(epochs=2, batch=batch, learning_rate=1e-3, schedule="constant", weight_decay=0.0, patience=None,
    precision="float32", device="cpu", workers=0, seeds=[0])
with processes.joined() as team:
    started = time.monotonic()
    loop.fit(Learner(steps * batch, batch), row, out, {})
    if team.first:
        print(2 * steps * batch / (time.monotonic() - started))
"""


def training(count: int) -> float:
    """Images a second on so many processes of one thread each."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "program.py"
        program.write_text(TRAINING, encoding="utf-8")
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "AFTERIMAGE_PROCESSES": str(count)}
        words = [sys.executable, str(program), str(STEPS), str(BATCH), folder]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def overhead() -> tuple[float, float]:
    """Seconds until the first result of a cluster, and seconds a unit after it."""
    import sysconfig

    from afterimage.core import cluster, engine

    ray = Path(sysconfig.get_path("scripts")) / "ray"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([ray, "start", "--head", "--disable-usage-stats"], check=True, **quiet)  # type: ignore[call-overload]
    try:
        os.environ["AFTERIMAGE_ENGINE"] = "ray"
        started = time.monotonic()
        results = engine.map(abs, range(UNITS), label="units")
        next(results)
        first = time.monotonic()
        list(results)
        return first - started, (time.monotonic() - first) / (UNITS - 1)
    finally:
        cluster.disconnect()
        subprocess.run([ray, "stop"], check=True, **quiet)  # type: ignore[call-overload]


def main() -> None:
    one, two = (max(training(count) for _ in range(3)) for count in (1, 2))
    print(f"training: {one:.1f} images/s on one process, {two:.1f} on two: {two / (2 * one):.2f} of twice as many")
    start, unit = overhead()
    print(f"Ray: {start:.1f} s to the first result, then {1000 * unit:.1f} ms a unit")


if __name__ == "__main__":
    main()
