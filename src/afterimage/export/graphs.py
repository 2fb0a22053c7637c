"""The network of a row as one graph: from images in [0, 1] to images in [0, 1], for sides of any length.

A graph is made by tracing, which writes down what is done to one example and takes every branch as the example does.
The networks branch on the size of an image alone. So the example is one for which the general branch is taken
everywhere, and what has a special branch below some size is replaced here by what needs none.
"""

import copy
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from afterimage.core import zoo
from afterimage.export import ExportError
from afterimage.observations.holes import smooth
from afterimage.reconstructors import Reconstructor
from afterimage.reconstructors.autoencoder.network import ChannelAttention, NafBlock
from afterimage.reconstructors.autoencoder.restoring import TILE, Restoring
from afterimage.reconstructors.autoencoder.tone import CLOSE, Blind, Tone
from afterimage.reconstructors.decoder import Decoding
from afterimage.reconstructors.pix2pix import SMALLEST, Filling

if TYPE_CHECKING:
    from afterimage.reconstructors import Loaded

SEEN = 32
"""Sides in px below which the light and the grain of a frame are looked at in another way."""


class Graph(NamedTuple):
    """A network to be written, and what belongs to it."""

    row: str
    """With the case, where the row has several."""
    loaded: "Loaded"
    module: nn.Module
    """Takes the inputs as tensors of one image, float32."""
    inputs: Sequence[str]
    example: Sequence[Tensor]
    """What it is traced with."""
    takes: str
    left_out: Sequence[str]
    reference: Reconstructor
    """Answers as the graph should."""
    factor: int = 1
    """How many times larger than its input its answer is."""
    refused: str = ""
    """Why it can be written as weights only; empty: as a graph, too."""


def of(name: str, loaded: "Loaded", reconstructor: Reconstructor) -> Graph:
    """The graph of one of a row's reconstructors.

    Raises:
        ExportError: rows of its kind have none.
    """
    kind = loaded.row.kind
    if kind not in KINDS:
        raise ExportError(f"{name}: rows of the kind {kind} do not go into a graph; those of {', '.join(KINDS)} do")
    return KINDS[kind](name, loaded, reconstructor)


class Rewritten(TorchFunctionMode):
    """Operators that ONNX has for fixed sizes only, by those that it has for any."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is F.interpolate and kwargs.get("mode") == "area":
            return _reduced(args[0], *kwargs["size"])
        if function is Tensor.diff:
            return _diff(*args, **kwargs)
        return function(*args, **kwargs)


# Restorers


class Restored(nn.Module):
    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        with Rewritten():
            return self.network(image).clamp(0, 1)


class Attention(ChannelAttention):
    """The same weights of channels without a branch: a window that is as large as the image is the image."""

    def __init__(self, trained: ChannelAttention):
        nn.Module.__init__(self)
        self.window, self.mix = trained.window, trained.mix

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        means = _windows(height, self.window) @ x @ _windows(width, self.window).T
        return x * F.interpolate(self.mix(means), size=(height, width), mode="bilinear", align_corners=False)


class Looking(Tone):
    """The same look at the middle of a frame, whether that is all of it or not."""

    def _grain(self, frames: Tensor) -> Tensor:
        top, left = (_at_least(side - CLOSE, 0) // 2 for side in frames.shape[-2:])
        return super()._grain(frames[..., top : top + CLOSE, left : left + CLOSE])


def _restorer(name: str, loaded: "Loaded", row: Restoring) -> Graph:
    network = copy.deepcopy(row.network)
    for block in network.modules():
        if isinstance(block, NafBlock):
            block.attention = Attention(block.attention)
    least = network.restorer.multiple if isinstance(network, Blind) else network.multiple
    if isinstance(network, Blind):
        looking = Looking()
        looking.load_state_dict(network.tone.state_dict())
        network.tone, least = looking.eval(), max(least, SEEN)
    factor = row.row.factor
    larger = "[1, 3, H, W]" if factor == 1 else f"[1, 3, {factor} * H, {factor} * W]"
    filters = " and ".join(row.row.filters)
    return Graph(
        row=name,
        loaded=loaded,
        module=Restored(network).eval(),
        inputs=["image"],
        example=[torch.rand(1, 3, 2 * least + 1, 3 * least + 1)],
        takes=f"image [1, 3, H, W] with sides of {least} px or more; answers {larger}",
        left_out=[
            f"Tiles: the graph takes an image as a whole, the row one of {TILE * 3 // 2} px a side or more in tiles.",
            "Brightness and strength are those that the row was trained for.",
        ],
        reference=row,
        factor=factor,
        refused=f"its frames go through {filters} first, which are no part of the network" if filters else "",
    )


# Fills


class Filled(nn.Module):
    """As `Filling` does it: continued by the edge to sides that the network takes, and cut again."""

    def __init__(self, row: Filling):
        super().__init__()
        self.network, self.multiple = row.network, row.multiple

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        below, beside = (_rounded_up(_at_least(side, SMALLEST), self.multiple) - side for side in (height, width))
        images = F.pad(image, (0, beside, 0, below), mode="replicate")
        masks = F.pad(mask, (0, beside, 0, below))
        with patch.object(smooth, "_pull", _program()):
            return self.network(images, masks)[..., :height, :width].clamp(0, 1)


def _pull(weighted: Tensor, known: Tensor, smoothings: int = smooth.SMOOTHINGS) -> Tensor:
    """`smooth._pull` as loops that a graph can hold: how often an image can be halved depends on its size."""
    colours, shares = [weighted], [known]
    while max(known.shape[-2], known.shape[-1]) > 1:
        pad = [0, known.shape[-1] % 2, 0, known.shape[-2] % 2]
        halves = F.avg_pool2d(F.pad(torch.cat([weighted, known], 1), pad), 2)
        weighted, known = halves[:, :-1], halves[:, -1:]
        colours.append(weighted)
        shares.append(known)
    found = weighted / known.clamp_min(1e-6)
    for done in range(len(colours) - 1):
        weighted, known = colours[len(colours) - 2 - done], shares[len(colours) - 2 - done]
        filled = F.interpolate(found, scale_factor=2.0, mode="bilinear", align_corners=False)
        found = weighted + (1 - known) * filled[..., : known.shape[-2], : known.shape[-1]]
        for _ in range(smoothings):
            mean = _mean(found)
            found = weighted + (1 - known) * (2 * mean - _mean(mean))
    return found


def _mean(images: Tensor) -> Tensor:
    x = F.pad(images, [1, 1, 1, 1], mode="replicate")
    x = x[..., :-2, :] + x[..., 1:-1, :] + x[..., 2:, :]
    return (x[..., :-2] + x[..., 1:-1] + x[..., 2:]) / 9


@cache
def _program() -> Any:
    """Compiled, its loops become loops of the graph; traced, they would be written out for the example."""
    return torch.jit.script(_pull)


def _fill(name: str, loaded: "Loaded", row: Filling) -> Graph:
    left_out = ["Windows: the graph sees the whole image, `inpaint` the part around each hole, at the row's size."]
    if row.exemplar:
        left_out.insert(0, "Patches: they are searched for, and do not go into a graph; this is the fill without them.")
    plain = copy.copy(row)
    plain.exemplar = False
    cases = [case for case, each in loaded.reconstructors.items() if case and not getattr(each, "exemplar", True)]
    side = row.multiple + 1
    mask = torch.zeros(1, 1, side, side)
    mask[..., : side // 2, : side // 2] = 1
    return Graph(
        row=f"{name}{zoo.CASE}{cases[0]}" if cases else name,
        loaded=loaded,
        module=Filled(plain).eval(),
        inputs=["image", "mask"],
        example=[torch.rand(1, 3, side, side), mask],
        takes="image [1, 3, H, W], mask [1, 1, H, W] with 1 = missing; answers [1, 3, H, W], known pixels as they are",
        left_out=left_out,
        reference=plain,
    )


# Decoders


class Decoded(nn.Module):
    """Images of the size that the finest layer tells."""

    def __init__(self, row: Decoding):
        super().__init__()
        self.network = row.network
        self.level = min(level for level, joined in row.network.joins.items() if joined)
        self.finest = row.network.joins[self.level][0]

    def forward(self, *features: Tensor) -> Tensor:
        height, width = features[self.finest].shape[-2:]
        return self.network(features, (height * 2**self.level, width * 2**self.level))


def _decoder(name: str, loaded: "Loaded", row: Decoding) -> Graph:
    shapes = [tap["shape"] for tap in loaded.card["given"]]
    layers = [tap["layer"] for tap in loaded.card["given"]]
    module = Decoded(row).eval()
    size, grown = loaded.card["size"], 2**module.level
    # Of an image with odd sides, so that layers meet that have to be fitted
    sides = [[-(-(size + 1) * side // size) for side in shape[1:]] for shape in shapes]
    example = [torch.rand(1, shape[0], *side) for shape, side in zip(shapes, sides, strict=True)]
    shown = ", ".join(f"{layer} [1, {shape[0]}, h, w]" for layer, shape in zip(layers, shapes, strict=True))
    times = "h, w" if grown == 1 else f"{grown} * h, {grown} * w"
    return Graph(
        row=name,
        loaded=loaded,
        module=module,
        inputs=layers,
        example=example,
        takes=f"{shown}; answers [1, 3, {times}] of {layers[module.finest]}",
        left_out=["The encoder: features go in, not an image."],
        reference=row,
    )


KINDS: dict[str, Callable[[str, Any, Any], Graph]] = {
    "autoencoder": _restorer,
    "decoder": _decoder,
    "pix2pix": _fill,
}
"""The kinds of reconstructor whose networks go into a graph."""


# Of any size: while a graph is traced, sides are tensors, and whatever is done with them as such is written down


def _at_least(side: Any, least: int) -> Any:
    return torch.as_tensor(side).clamp_min(least)


def _rounded_up(side: Any, multiple: int) -> Any:
    return (side + (multiple - 1)) // multiple * multiple


def _windows(length: Any, window: int) -> Tensor:
    """Means `[n, length]` over half-overlapping windows, as `avg_pool2d` with `ceil_mode` takes them."""
    length = torch.as_tensor(length)
    kernel = length.clamp_max(window)
    step = (kernel // 2).clamp_min(1)
    count: Any = (length - kernel + step - 1) // step + 1
    starts = torch.arange(count) * step
    return _means(starts, torch.minimum(starts + kernel, length), length)


def _reduced(images: Tensor, high: int, wide: int) -> Tensor:
    """Images brought to a size by means over areas, as `interpolate` does it."""

    def along(count: int, length: Any) -> Tensor:
        place, length = torch.arange(count), torch.as_tensor(length)
        return _means(place * length // count, ((place + 1) * length + count - 1) // count, length)

    return along(high, images.shape[-2]) @ images @ along(wide, images.shape[-1]).T


def _means(starts: Tensor, stops: Tensor, length: Any) -> Tensor:
    """A matrix `[n, length]` that takes the means of what lies between starts and stops."""
    place = torch.arange(length)
    inside = (place >= starts[:, None]) & (place < stops[:, None])
    return inside.float() / (stops - starts)[:, None]


def _diff(values: Tensor, dim: int = -1) -> Tensor:
    length = values.shape[dim]
    return values.narrow(dim, 1, length - 1) - values.narrow(dim, 0, length - 1)
