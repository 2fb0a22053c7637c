"""What trains in a moment: a small network on points of a line."""

import time
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from afterimage.training import loop

TRAINING: dict[str, Any] = {
    "epochs": 3,
    "batch": 4,
    "learning_rate": 0.003,
    "schedule": "constant",
    "weight_decay": 0.0,
    "patience": None,
    "precision": "float32",
    "device": "cpu",
    "workers": 0,
    "seeds": [0],
}
ROW = {**TRAINING, "epochs": 4, "learning_rate": 0.01, "schedule": "cosine"}


def row(**values: Any) -> loop.TrainingRow:
    return loop.TrainingRow.model_validate({**ROW, **values})


class Lines:
    """Points of a line with noise; remembers what it was asked for."""

    def __init__(self, count: int, seed: int):
        generator = torch.Generator().manual_seed(seed)
        self.x = torch.rand(count, 3, generator=generator)
        self.y = self.x @ torch.tensor([[1.0], [-2.0], [0.5]]) + 0.1 * torch.rand(count, 1, generator=generator)
        self.asked: list[loop.Positions] = []

    def __len__(self) -> int:
        return len(self.x)

    def __getitems__(self, positions: loop.Positions) -> dict[str, Tensor]:
        self.asked.append(positions)
        places = [place for _, place in positions]
        return {"x": self.x[places], "y": self.y[places]}


class Learner(loop.Learner):
    """A small network with dropout, so that a run that lost its place in the randomness would show it."""

    monitor = "mse"

    def __init__(
        self,
        train: Lines,
        validation: Lines,
        rate: float = 0.01,
        pause: float = 0.0,
        values: list[float] | None = None,
    ):
        self.train, self.validation, self.words = train, validation, "small"
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(3, 16), nn.BatchNorm1d(16), nn.Dropout(0.2), nn.Linear(16, 1))
        self.networks = nn.ModuleDict({"model": self.model})
        self.optimizers = {"adam": torch.optim.Adam(self.model.parameters(), lr=rate)}
        self.pause, self.values = pause, values

    def step(self, batch: loop.Batch, update: loop.Update) -> dict[str, Tensor]:
        time.sleep(self.pause)
        loss = F.mse_loss(self.model(batch["x"]), batch["y"])
        update(loss, self.optimizers["adam"])
        return {"loss": loss}

    def validate(self, batch: loop.Batch) -> dict[str, Tensor]:
        if self.values is not None:
            return {"mse": torch.full((len(batch["x"]),), self.values.pop(0))}
        return {"mse": (self.model(batch["x"]) - batch["y"]).square().flatten(1).mean(1)}
