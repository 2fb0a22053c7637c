"""Models from outside for tests: published architectures with random weights, and what they are given."""

from pathlib import Path
from typing import Any

import numpy as np
import pictures
import torch
from torch import nn

from afterimage import reconstructors
from afterimage.core import devices, images, outputs
from afterimage.observations.features import Features
from afterimage.observations.frames import Frames
from afterimage.observations.holes import Holes
from afterimage.training.models import Model

SIDE = 32


def network(name: str) -> nn.Module:
    """A small variant of an architecture; LaMa has but one size."""
    from spandrel.architectures.Compact import Compact
    from spandrel.architectures.LaMa import LaMa
    from spandrel.architectures.NAFNet import NAFNet
    from spandrel.architectures.SCUNet import SCUNet
    from spandrel.architectures.SwinIR import SwinIR

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if name == "LaMa":
            return LaMa(in_nc=4, out_nc=3).eval()
        if name == "NAFNet":
            return NAFNet(width=8, middle_blk_num=1, enc_blk_nums=[1, 1], dec_blk_nums=[1, 1]).eval()
        if name == "SCUNet":
            return SCUNet(config=[1, 1, 1, 1, 1, 1, 1], dim=64).eval()
        if name == "SwinIR":
            return SwinIR(depths=[1, 1], num_heads=[2, 2], embed_dim=12, window_size=8, mlp_ratio=2).eval()
        return Compact(num_feat=8, num_conv=2, upscale=2).eval()  # Real-ESRGAN's light network


def saved(module: nn.Module, path: Path) -> dict[str, Any]:
    """A checkpoint as people publish it; returns what a row says of it."""
    from safetensors.torch import save_file

    state = {key: value.clone().contiguous() for key, value in module.state_dict().items()}
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({"params_ema": state}, path)
    return pinned(path)


def pinned(path: Path) -> dict[str, Any]:
    return {"path": path.name, "sha256": outputs.sha256(path)}


def values(form: str, observes: str, **own: Any) -> dict[str, Any]:
    """A row as params.yaml has it."""
    observation = {"features": "small/relu", "holes": "two", "frames": "cctv"}[observes]
    plain = {"kind": "external", "format": form, "dataset": "mine", "observes": observes, "observation": observation}
    return {**plain, **own}


def load(project: Path, form: str, observes: str, given: Any = (), **own: Any) -> Any:
    """The reconstructor of a row."""
    row = values(form, observes, **own)
    kind = reconstructors.kind_of(row)
    settings = kind.Row.model_validate(row).model_dump()
    model = Model(project, {"settings": settings, "given": list(given)}, project, devices.choose("cpu"))
    return kind.load(model)[""]


KEYS = ["a", "b_1"]


def observation(observes: str) -> Any:
    """Of two images of `SIDE` px; the second frame is half as large."""
    size = (SIDE, SIDE)
    if observes == "frames":
        return Frames(KEYS, size, [pixels(0), pixels(1, SIDE // 2)])
    if observes == "features":
        return Features(KEYS, size, [torch.linspace(0, 1, 2 * 3 * 16 * 16).reshape(2, 3, 16, 16)])
    whole = images.to_tensor(np.stack([pixels(0), pixels(1)]))
    masks = torch.zeros(2, 1, SIDE, SIDE)
    masks[0, :, 8:16, 8:20] = masks[1, :, 20:30, 4:10] = 1
    return Holes(KEYS, size, whole * (1 - masks), masks)


def pixels(seed: int, side: int = SIDE) -> Any:
    return np.asarray(pictures.noise(side, side, seed=seed))


class Declared(nn.Module):
    """Answers with the image that it is given, as far as it is known, and with grey in holes.

    Its tensors look as the keys of `format: onnx` and `torchscript` tell, so that what is declared wrongly shows.
    """

    def __init__(self, low: float, high: float, layout: str, colours: str, missing: int, joined: bool):
        super().__init__()
        self.low, self.high, self.missing, self.joined = low, high, float(missing), joined
        self.last, self.bgr = layout == "nhwc", colours == "bgr"

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        if self.last:
            image, mask = image.permute(0, 3, 1, 2), mask.permute(0, 3, 1, 2)
        hole = (mask - (1.0 - self.missing)).abs()
        first = image[:, 2:3] if self.bgr else image[:, 0:1]  # red
        red = (first - self.low) / (self.high - self.low)
        filled = torch.cat([red, red * 0 + 0.25, red * 0 + 0.75], 1) * (1 - hole) + 0.5 * hole
        if self.bgr:
            filled = torch.cat([filled[:, 2:3], filled[:, 1:2], filled[:, 0:1]], 1)
        answer = filled * (self.high - self.low) + self.low
        return answer.permute(0, 2, 3, 1) if self.last else answer


class Joined(Declared):
    def forward(self, both: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        split = both.permute(0, 3, 1, 2) if self.last else both
        image, mask = split[:, :3], split[:, 3:]
        if self.last:
            image, mask = image.permute(0, 2, 3, 1), mask.permute(0, 2, 3, 1)
        return super().forward(image, mask)


def exported(module: nn.Module, examples: tuple[torch.Tensor, ...], path: Path) -> dict[str, Any]:
    """A module as ONNX, or by another ending of the path as TorchScript; returns what a row says of it."""
    if path.suffix == ".onnx":
        names = [f"in{number}" for number in range(len(examples))]
        torch.onnx.export(module, examples, path, input_names=names, output_names=["out"], dynamo=False)
    else:
        torch.jit.save(torch.jit.trace(module, examples), path)
    return pinned(path)
