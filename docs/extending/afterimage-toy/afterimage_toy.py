"""A reconstructor with two parameters: it fills a hole with `scale` times the mean colour around it, plus `shift`."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from afterimage.observations.holes import Holes
from afterimage.observations.holes.store import Stored
from afterimage.reconstructors import Kind, Reconstruction, Reconstructor
from afterimage.reconstructors.external import ExternalRow
from afterimage.training.loop import Batch, Learner, TrainingRow, Update
from afterimage.training.models import Model


class ToyRow(ExternalRow):
    """A row of params.yaml with `kind: external` and `entry: toy`."""

    scale: float = 0.0
    """The value of `scale` before training."""
    training: TrainingRow

    @property
    def together(self) -> int:
        return self.training.batch


class Fill(nn.Module):
    """Fills the holes of images `[N, 3, H, W]`; `masks` `[N, 1, H, W]`, 1 = missing."""

    def __init__(self, scale: float):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))
        self.shift = nn.Parameter(torch.tensor(0.0))

    def forward(self, images: Tensor, masks: Tensor) -> Tensor:
        border = F.max_pool2d(masks, 3, stride=1, padding=1) - masks
        mean = (images * border).sum((2, 3), keepdim=True) / border.sum((2, 3), keepdim=True).clamp_min(1)
        return torch.where(masks > 0.5, self.scale * mean + self.shift, images)


class ToyLearner(Learner):
    """What the training loop needs: samples, networks, optimisers, a training step and a validation step."""

    monitor = "hole_mse"  # the state with the lowest validation value is saved

    def __init__(self, row: ToyRow, stored: Stored):
        self.train, self.validation = stored.images("train"), stored.images("val")
        self.model = Fill(row.scale)
        self.words = "scaled border mean"  # for the tables of the report
        self.networks = nn.ModuleDict({"fill": self.model})
        self.optimizers = {"fill": torch.optim.Adam(self.model.parameters(), lr=row.training.learning_rate)}

    def step(self, batch: Batch, update: Update) -> dict[str, Tensor]:
        loss = self._errors(batch).mean()
        update(loss, self.optimizers["fill"])
        return {"hole_mse": loss}

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        return {"hole_mse": self._errors(batch)}

    def _errors(self, batch: Batch) -> Tensor:
        """The mean squared error in the hole of each image, `[N]`."""
        images, masks = batch["images"], batch["masks"]
        squared = (self.model(images, masks) - images).square().mean(1, keepdim=True)
        return (squared * masks).sum((1, 2, 3)) / masks.sum((1, 2, 3))


class Filling(Reconstructor):
    """The trained model, as evaluation, command line and page call it."""

    def __init__(self, network: nn.Module, device: torch.device):
        self.network, self.device = network, device

    def __call__(self, given: Holes) -> Reconstruction:
        with torch.inference_mode():
            filled = self.network(given.images.to(self.device), given.masks.to(self.device))
        return Reconstruction(filled.clamp(0, 1))


class Toy(Kind):
    observes = "holes"
    Row = ToyRow

    def learner(self, row: ToyRow, stored: Stored) -> ToyLearner:
        return ToyLearner(row, stored)

    def load(self, model: Model) -> Mapping[str, Filling]:
        network = model.fill(Fill(model.settings["scale"]))
        return {"": Filling(network, model.device)}


KIND = Toy()
