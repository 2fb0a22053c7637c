"""The network under LPIPS, step by step as the lpips package computes it.

That package imports torchvision, which takes longer than measuring the images of a row; its linear heads are a file.
tests/evaluation/test_references.py compares the distances with those of the package.
"""

from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from afterimage.core.compute import sqrt
from afterimage.core.errors import WeightsError

CHANNELS = (64, 192, 384, 256, 256)
TAPS = (1, 4, 7, 9, 11)
"""The ReLUs of the trunk that are looked at."""
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
TINY = 1e-10


class AlexNetDistance(nn.Module):
    """Distance of pairs of images `[N, 3, H, W]` in [-1, 1]."""

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        # torchvision's AlexNet without its classifier, so that its weights fit by their names
        features = nn.Sequential(
            nn.Conv2d(3, 64, 11, 4, 2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
        )
        self.trunk = nn.ModuleDict({"features": features})
        self.heads = nn.ModuleList(nn.Conv2d(channels, 1, 1, bias=False) for channels in CHANNELS)
        self.register_buffer("shift", torch.tensor(SHIFT)[None, :, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE)[None, :, None, None], persistent=False)

    def forward(self, a: Tensor, b: Tensor, spatial: bool) -> Tensor:
        """`[N, 1, 1, 1]`, or `[N, 1, H, W]` around each pixel."""
        total: Tensor | None = None
        for head, one, other in zip(self.heads, self._layers(a), self._layers(b), strict=True):
            difference = head((_normalised(one) - _normalised(other)) ** 2)
            if spatial:
                found = F.interpolate(difference, size=a.shape[2:], mode="bilinear", align_corners=False)
            else:
                found = difference.mean([2, 3], keepdim=True)
            total = found if total is None else total + found
        assert total is not None
        return total

    def embed(self, images: Tensor) -> Tensor:
        """The last layer's mean over all places `[N, 256]`."""
        return self._layers(images)[-1].mean([2, 3])

    def _layers(self, images: Tensor) -> list[Tensor]:
        x, found = (images - self.shift) / self.scale, []
        for place, layer in enumerate(self.trunk["features"].children()):
            x = layer(x)
            if place in TAPS:
                found.append(x)
        return found


def _normalised(features: Tensor) -> Tensor:
    return features / (sqrt(torch.sum(features**2, dim=1, keepdim=True)) + TINY)


def heads() -> dict[str, Tensor]:
    """The linear heads of LPIPS 0.1 on AlexNet, from the lpips package.

    Raises:
        WeightsError: the package is not installed, or has another layout.
    """
    found = find_spec("lpips")
    places = found.submodule_search_locations if found else None
    path = Path((places or ["lpips"])[0]) / "weights/v0.1/alex.pth"
    if not path.is_file():
        raise WeightsError(f"{path}: the heads of LPIPS are not there; expected them in the lpips package")
    state = torch.load(path, map_location="cpu", weights_only=True)
    return {f"{number}.weight": state[f"lin{number}.model.1.weight"] for number in range(len(CHANNELS))}
