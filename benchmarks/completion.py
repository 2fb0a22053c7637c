"""PixelRNN: cached completion against the plain way, batches, training steps: `python -m benchmarks completion`.

Completion is of a hole of 24 x 24 px in a 64 x 64 px colour image. The plain way runs the whole network, trunk and all,
once a missing pixel and turn. The softmax takes R, G and B in three turns, as the paper does, so that is once a pixel
and channel; the mixture of logistics takes a pixel in one turn, and its ratio is against once a pixel. The plain way's
time is that of a few dozen of its pixels, in single precision, which is faster; the cached way's is real, in the double
precision that makes both give the same image. That they do is checked on a smaller hole.

A training step is one of `PixelRnnLearner` at 32 x 32 px, without the trunk, beside one of plain 3 x 3
convolutions with ReLU, the same width and the same multiply-adds: at 128 channels, the width of the papers, and for
the gated layers also at 48, where what is not a multiplication weighs more. Quality is what `dvc repro` measured.
"""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from afterimage.core import layout, params, stage
from afterimage.evaluation.results import read_json
from afterimage.observations import row_of
from afterimage.reconstructors.pixelrnn import sampling
from afterimage.reconstructors.pixelrnn.blocks import BLOCKS
from afterimage.reconstructors.pixelrnn.cached import Sampler
from afterimage.reconstructors.pixelrnn.learner import PixelRnnLearner
from afterimage.reconstructors.pixelrnn.network import PixelRnn
from afterimage.reconstructors.pixelrnn.row import PixelRnnRow, TrunkRow
from benchmarks.measuring import Line, in_turn, ratio, summary

SIDE, HOLE = 64, slice(20, 44)
MISSING = 24 * 24
ROUNDS = 5
BATCH, TRAINED = 16, 32


def row(**values: object) -> PixelRnnRow:
    """The default hybrid, wider: as it would be for photographs."""
    default = params.row(stage.PARAMS, "reconstructors", "photos-hybrid", PixelRnnRow)
    wider = {"width": 48, "layers": 5, "head": 48, "trunk": TrunkRow(width=32, rounds=2, guess=10.0)}
    return default.model_copy(update={**wider, **values})


def measure(work: Path) -> Iterator[Line]:
    """All lines; `work` is not used."""
    for likelihood, components in (("softmax", None), ("logistics", 5)):
        yield from completion(row(likelihood=likelihood, components=components))
    for arch, width in (("gated", 128), ("gated", 48), *((arch, 128) for arch in BLOCKS if arch != "gated")):
        yield step(arch, width)
    yield from quality()


# Completion


def completion(mine: PixelRnnRow) -> Iterator[Line]:
    torch.manual_seed(0)
    single, network = mine.network().eval(), sampling.precise(mine.network())
    sampler = Sampler(network)
    images = np.random.default_rng(0).integers(0, 256, (8, SIDE, SIDE, 3), dtype=np.uint8)
    masks = np.zeros((8, SIDE, SIDE), dtype=bool)
    masks[:, HOLE, HOLE] = True
    draws = sampling.noise(0, range(8), (SIDE, SIDE))

    def cached(count: int) -> Callable[[], object]:
        return lambda: sampler(images[:count], masks[:count], draws[:count], 1.0)

    turns = network.likelihood.turns
    pixels = torch.from_numpy(images[:1]).movedim(-1, 1).float() / 255
    missing = torch.from_numpy(masks[:1, None]).float()
    runs = 8

    def whole() -> None:
        with torch.inference_mode():
            for _ in range(runs):
                single(pixels, single.evidence(pixels, missing))

    pairs = [(MISSING * turns / runs * plain, fast) for plain, fast in in_turn(whole, cached(1), ROUNDS)]
    found = ratio(pairs)
    few = masks[:1] & (np.arange(SIDE) < HOLE.start + 4)[:, None] & (np.arange(SIDE) < HOLE.start + 4)
    same = (sampling.plain(network, images[:1], few, draws[:1], 1.0) == sampler(images[:1], few, draws[:1], 1.0)).all()
    once = "a pixel and channel" if turns == 3 else "a pixel"
    note = f"{1000 * min(fast for _, fast in pairs):.0f} ms; {'same' if same else 'OTHER'} pixels"
    name = f"cached completion, {mine.likelihood}"
    yield Line(name, f"whole network once {once}", found, "times faster", 50, False, note)
    found = ratio(in_turn(cached(8), cached(1), ROUNDS))
    yield Line(f"{name}, 8 images", "one image", found, "of its time", 3.0)


# Training


class Bare(PixelRnnLearner):
    """The learner of a row without data."""

    def __init__(self, row: PixelRnnRow):
        self.row, self.network = row, row.network()
        self.optimizers = {"completer": torch.optim.AdamW(self.network.parameters(), lr=row.training.learning_rate)}


class Plain(nn.Module):
    """3 x 3 convolutions with ReLU between two of 1 x 1."""

    def __init__(self, width: int, layers: int, out: int):
        super().__init__()
        self.first, self.last = nn.Conv2d(3, width, 1), nn.Conv2d(width, out, 1)
        self.layers = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for layer in self.layers:
            x = F.relu(layer(x))
        return self.last(x)


def multiply_adds(network: nn.Module, images: Tensor) -> float:
    """Of a forward pass, by what each convolution does; masks leave their share in."""
    found: list[float] = []

    def count(layer: nn.Module, _: object, out: Tensor) -> None:
        assert isinstance(layer, nn.Conv1d | nn.Conv2d)
        found.append(layer.weight.numel() * out.numel() / layer.out_channels)

    hooks = [x.register_forward_hook(count) for x in network.modules() if isinstance(x, nn.Conv1d | nn.Conv2d)]
    with torch.no_grad():
        network(images, None) if isinstance(network, PixelRnn) else network(images)
    for hook in hooks:
        hook.remove()
    return sum(found)


def step(arch: str, width: int) -> Line:
    mine = row(arch=arch, width=width, head=width, layers=3, trunk=None)
    torch.manual_seed(0)
    learner = Bare(mine)
    batch = {"images": torch.rand(BATCH, 3, TRAINED, TRAINED).mul(255).round() / 255}
    batch["masks"] = torch.ones(BATCH, 1, TRAINED, TRAINED)
    wanted = multiply_adds(learner.network, batch["images"])
    out = learner.network.likelihood.size
    one, two = (multiply_adds(Plain(mine.width, layers, out), batch["images"]) for layers in (1, 2))
    plain = Plain(mine.width, round((wanted - one) / (two - one)) + 1, out).to(memory_format=torch.channels_last)
    share = wanted / multiply_adds(plain, batch["images"])
    other = copy.copy(learner)
    other.network = _Wrapped(plain, learner.network)
    other.optimizers = {"completer": torch.optim.AdamW(plain.parameters())}

    def update(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    pairs = in_turn(lambda: learner.step(batch, update), lambda: other.step(batch, update), ROUNDS)
    found = ratio(pairs)
    note = f"{1000 * min(mine for mine, _ in pairs):.0f} ms; {share:.2f} of its multiply-adds"
    target = 1.2 if arch == "gated" else float("inf")  # what the LSTMs cost is written beside it, not bounded
    name = f"training step, {arch.replace('_', ' ')}, {width} channels"
    return Line(name, "plain convolutions", found.over(share), "a multiply-add", target, note=note)


class _Wrapped:
    """A plain stack where the learner expects a PixelRnn: the same likelihood, the same loss."""

    def __init__(self, plain: Plain, network: PixelRnn):
        self.plain, self.likelihood = plain, network.likelihood

    def __call__(self, images: Tensor, evidence: None) -> Tensor:
        return self.plain(2 * images - 1)

    def evidence(self, images: Tensor, masks: Tensor) -> None:
        return None


# Quality


def quality() -> Iterator[Line]:
    """Of each hybrid row: bits/dim beside others of the same images, PSNR in the hole beside Telea's."""
    named = params.load(stage.PARAMS)["reconstructors"]
    rows = {
        name: params.row(stage.PARAMS, "reconstructors", name, PixelRnnRow)
        for name, row in named.items()
        if row["kind"] == "pixelrnn"
    }
    for name, hybrid in rows.items():
        if hybrid.trunk is None:
            continue
        mine, telea = summary("holes", name), summary("holes", row_of(hybrid.observation), "telea")
        if not mine or not telea:
            yield Line(f"{name}: bits/dim in the hole", "", None, "bits", 0.0, note="first run `dvc repro`")
            continue
        limits = {"histogram": _histogram(name)}
        for other, each in rows.items():
            same = each.trunk is None and each.observation == hybrid.observation
            if same and (found := summary("holes", other)):
                limits[other] = found["bits"]
        for limit, value in limits.items():
            yield Line(f"{name}: bits/dim in the hole", limit, mine["bits"], "bits", value)
        yield Line(f"{name}: PSNR in the hole", "telea", mine["hole_psnr"], "dB", telea["hole_psnr"], False)


def _histogram(name: str) -> float:
    """Bits of the histogram of the training images, which is no headline."""
    return read_json(layout.measured(name) / "test/intervals.json")["metrics"]["histogram_bits"]["mean"]
