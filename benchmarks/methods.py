"""Inversion by published methods, side by side at equal seconds: `python -m benchmarks.methods ROW PHOTOGRAPHS`.

ROW is a trained decoder, of this project or of the zoo. Features at its layer of the centre squares of photographs are
inverted by the searches of this project, with and without that decoder, and by

- Mahendran and Vedaldi, "Understanding Deep Image Representations by Inverting Them" (CVPR 2015): pixels from noise,
  momentum, total variation and alpha-norm, with the numbers of the authors' code;
- the deep image prior (Ulyanov, Vedaldi and Lempitsky, CVPR 2018), with the network and the rate of the authors'
  `feature_inversion.ipynb`.

Each has the same seconds of one core an image, counted while it works, so that other work on the machine takes none of
them; a schedule that was written for so many steps is stretched to them. What a search fits once for a network and
a size, its linear start, is not counted. The table is Markdown; `--out` keeps it with each image's numbers. It is no
part of `python -m benchmarks`, because seconds for hundreds of images are minutes.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from tabulate import tabulate
from torch import Tensor, nn

from afterimage import reconstructors
from afterimage.core import params, stage
from afterimage.core.errors import AfterimageError
from afterimage.core.images import to_tensor
from afterimage.evaluation import metrics
from afterimage.observations.features import Features, store
from afterimage.observations.features.encoders import Encoder
from afterimage.reconstructors.inversion import priors
from afterimage.reconstructors.inversion.search import Inverter, Settings

TOGETHER = 8
"""Images that are searched at once, by the methods that can."""
TRIED = 3
"""Steps by which a search is timed, three times as many and so many again, before it gets what its seconds allow."""
SIGMA = 69 / 255
"""Spread of a typical image around the mean, which norms its values in the code of Mahendran and Vedaldi."""

FIELDS = frozenset(Settings.model_fields)

Found = tuple[Tensor, float]
Method = Callable[[Encoder, str, Tensor, tuple[int, int], float], Found]
"""Images `[N, 3, H, W]`, and the seconds that they took, from an encoder, a layer, its features `[N, C, h, w]`, a size
and seconds to spend."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.methods", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("row", metavar="ROW")
    parser.add_argument("photographs", metavar="PHOTOGRAPHS", type=Path)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=2.0, help="For an image. Default: 2.")
    parser.add_argument("--out", type=Path)
    words = parser.parse_args()
    try:
        loaded = reconstructors.load(Path(), words.row, "cpu")
        settings = Settings.model_validate(
            {key: value for key, value in params.load(stage.PARAMS)["shared"]["inversion"].items() if key in FIELDS}
        )
    except AfterimageError as error:
        parser.error(str(error))
    torch.set_num_threads(1)
    originals = squares(words.photographs, words.images, words.size)
    layer: str = loaded.card["given"][0]["layer"]
    encoder = store.encoder(loaded.folder, loaded.card["given"])
    truth = to_tensor(originals)
    with torch.no_grad():
        features = torch.cat([encoder(part)[layer] for part in truth.split(TOGETHER)]).half().float()
    decoder = next(iter(loaded.reconstructors.values()))

    def colours(encoder: Encoder, layer: str, features: Tensor, size: tuple[int, int], seconds: float) -> Found:
        return truth.mean((2, 3), keepdim=True).expand_as(truth), 0.0

    def decoded(encoder: Encoder, layer: str, features: Tensor, size: tuple[int, int], seconds: float) -> Found:
        started = time.process_time()
        answer: Tensor = decoder(Features([str(place) for place in range(len(features))], size, [features])).images
        return answer.clone(), time.process_time() - started

    methods: dict[str, tuple[Method, int]] = {
        "mean colour": (colours, len(truth)),
        "decoder": (decoded, TOGETHER),
        "search from the decoder": (searching(settings, decoded), TOGETHER),
        "search from the features alone": (searching(settings, None), TOGETHER),
        "Mahendran and Vedaldi 2015": (mahendran_vedaldi, TOGETHER),
        "deep image prior 2018": (deep_image_prior, 1),
    }
    scores: dict[str, dict[str, Any]] = {}
    for name, (method, together) in methods.items():
        sides = (words.size, words.size)
        found = [method(encoder, layer, part, sides, words.seconds * len(part)) for part in features.split(together)]
        spent = sum(seconds for _, seconds in found) / len(features)
        rebuilt = (torch.cat([answer for answer, _ in found]).clamp(0, 1) * 255).round().byte().movedim(1, -1).numpy()
        values = {"psnr": metrics.psnr(originals, rebuilt), "ssim": metrics.ssim(originals, rebuilt)}
        scores[name] = {"seconds": spent, **{metric: each.tolist() for metric, each in values.items()}}
        print(f"{name}: {values['psnr'].mean():.2f} dB, {spent:.2f} s an image", flush=True)
    print(table(scores))
    if words.out:
        about = {"row": words.row, "layer": layer, "size": words.size, "seconds": words.seconds, "methods": scores}
        words.out.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def table(scores: dict[str, dict[str, Any]]) -> str:
    """PSNR and SSIM with intervals, and how far the first search is ahead of each method on the same images."""
    best = np.array(scores["search from the decoder"]["psnr"])
    lines = []
    for name, score in scores.items():
        keys = [str(place) for place in range(len(best))]
        psnr, ssim, ahead = (
            metrics.bootstrap(values, keys, 2000, 0)
            for values in (score["psnr"], score["ssim"], best - np.array(score["psnr"]))
        )
        shown = [f"{each.mean:.2f} ({each.low:.2f} to {each.high:.2f})" for each in (psnr, ahead)]
        lines.append([name, f"{score['seconds']:.2f}", shown[0], f"{ssim.mean:.3f}", shown[1]])
    return tabulate(
        lines,
        headers=["method", "s an image", "PSNR in dB (95 %)", "SSIM", "the search from the decoder is ahead by"],
        tablefmt="github",
        disable_numparse=True,
    )


def squares(folder: Path, count: int, size: int) -> Any:
    """The centre squares `[N, H, W, 3]` of so many of a folder's photographs, evenly chosen by name."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    chosen = [paths[number * len(paths) // count] for number in range(min(count, len(paths)))]
    cut = (ImageOps.fit(Image.open(path).convert("RGB"), (size, size), Image.Resampling.LANCZOS) for path in chosen)
    return np.stack([np.asarray(image) for image in cut])


def searching(settings: Settings, start: Method | None) -> Method:
    """This project's search, with as many steps as the seconds allow."""

    def search(encoder: Encoder, layer: str, features: Tensor, size: tuple[int, int], seconds: float) -> Found:
        inverter = Inverter(encoder, layer, settings, size)

        def found(steps: int) -> Found:
            inverter.settings = settings.model_copy(update={"steps": steps, "patience": None})
            started = time.process_time()
            begun = None if start is None else start(encoder, layer, features, size, seconds)[0]
            keys = [str(place) for place in range(len(features))]
            answer = torch.stack([one.image for one in inverter(keys, features, begun)])
            return answer, time.process_time() - started

        few, more = (found(steps)[1] for steps in (TRIED, 3 * TRIED))  # the first fits the start too, which is kept
        few = min(few, found(TRIED)[1])
        step = max((more - few) / (2 * TRIED), 1e-4)
        return found(max(1, int((seconds - few) / step) + TRIED))

    return search


def mahendran_vedaldi(encoder: Encoder, layer: str, features: Tensor, size: tuple[int, int], seconds: float) -> Found:
    """Their settings for shallow layers; the rate falls to a tenth and a hundredth at a quarter and at three quarters
    of the time, which are 100 and 300 of their 400 steps."""
    norm = SIGMA * math.sqrt(3 * math.prod(size))
    weights = priors.PriorsRow.model_validate(
        {
            "total_variation": {"weight": 6.8, "exponent": 2.0},
            "alpha_norm": {"weight": 0.36, "alpha": 6.0},
            "gaussian": {"weight": 0.0},
        }
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        values = torch.randn(len(features), 3, *size)
    values = values / values.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    momentum = torch.zeros_like(values)
    squares = features.square().flatten(1).sum(1)
    started = time.process_time()
    while (share := (time.process_time() - started) / seconds) < 1:
        values = values.detach().requires_grad_()
        images = values * norm + encoder.mean
        error = (encoder(images)[layer] - features).square().flatten(1).sum(1) / squares
        loss = error + weights(images, values)
        (slope,) = torch.autograd.grad(loss.sum(), values)
        rate = 0.004 * (1 if share < 0.25 else 0.1 if share < 0.75 else 0.01)
        momentum = 0.9 * momentum - rate * slope
        values = values.detach() + momentum
    return (values * norm + encoder.mean).detach(), time.process_time() - started


def deep_image_prior(encoder: Encoder, layer: str, features: Tensor, size: tuple[int, int], seconds: float) -> Found:
    """One image after the other, as there; the error is relative, which Adam does not see."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Hourglass(min(6, int(math.log2(min(size))) - 1))
        noise = 0.1 * torch.rand(1, Hourglass.NOISE, *size)
    adam = torch.optim.Adam(network.parameters(), lr=0.001)
    total = features.square().sum()
    started = time.process_time()
    while time.process_time() - started < seconds:
        adam.zero_grad()
        image = network(noise)
        ((encoder(image)[layer] - features).square().sum() / total).backward()
        adam.step()
    return image.detach(), time.process_time() - started


class Hourglass(nn.Module):
    """`skip` of the authors' code with the numbers of that notebook; as many of its six levels as leave 2 px."""

    NOISE, ACROSS = 32, 4
    WIDTHS, FILTERS = (16, 32, 64, 128, 128, 128), (7, 7, 5, 5, 3, 3)

    def __init__(self, levels: int):
        super().__init__()
        self.downs, self.acrosses, self.ups = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        inside = self.NOISE
        for level in range(levels):
            width, side = self.WIDTHS[level], self.FILTERS[level]
            above = self.WIDTHS[level + 1] if level + 1 < levels else width
            self.acrosses.append(_block(inside, self.ACROSS, 1))
            self.downs.append(nn.Sequential(_block(inside, width, side, stride=2), _block(width, width, side)))
            joined = above + self.ACROSS
            self.ups.append(nn.Sequential(nn.BatchNorm2d(joined), _block(joined, width, side), _block(width, width, 1)))
            inside = width
        self.last = nn.Conv2d(self.WIDTHS[0], 3, 1)

    def forward(self, noise: Tensor) -> Tensor:
        x, across = noise, []
        for side, down in zip(self.acrosses, self.downs, strict=True):
            across.append(side(x))
            x = down(x)
        for beside, up in zip(reversed(across), reversed(self.ups), strict=True):
            x = F.interpolate(x, size=beside.shape[-2:], mode="bilinear", align_corners=False)
            x = up(torch.cat([x, beside], dim=1))
        return torch.sigmoid(self.last(x))


def _block(inside: int, outside: int, side: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inside, outside, side, stride, padding=side // 2)
    return nn.Sequential(convolution, nn.BatchNorm2d(outside), nn.LeakyReLU(0.2))


if __name__ == "__main__":
    main()
