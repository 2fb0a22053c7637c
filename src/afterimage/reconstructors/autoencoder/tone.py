"""The light of a frame: one look at all of it gives a global tone curve, and an estimate of the damage.

How dark a scene was cannot be told from a crop, so brightness is taken from the network that restores and given to a
small one that sees the whole frame, as the low-resolution stream does in Gharbi et al., "Deep Bilateral Learning for
Real-Time Image Enhancement" (SIGGRAPH 2017). Its answer is a curve, as in Guo et al., "Zero-Reference Deep Curve
Estimation" (CVPR 2020), so all that it can change is light; the network that restores corrects what is left. Both
begin with the identity, so that an unknown frame comes back unharmed.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from afterimage.core.compute import sqrt
from afterimage.reconstructors.autoencoder.network import Restorer

PIECES = 24
CODE = 8
"""Numbers that the network which restores is told of a frame."""
THUMBNAIL, BINS, SCALES = 48, 32, 3
WIDTH = 128
GRAIN, LOUD = 16, 8.0
"""Channels of what is seen of noise and blur, and how much louder than the image differences are shown."""
CLOSE = 512
"""Noise and blur are looked at in the middle of a frame, so many px a side, which bounds the memory."""
FLOOR = 1e-4
SLOPE = 0.1
SLIGHT = 3e-4
"""A mean squared error, 35 dB, under which less is hardly learned. Where logarithms fall, frames that nothing happened
to would else cost most, and hold both networks at the identity."""
STILL = 2.5e-4
"""A mean squared difference, 36 dB: curves that change a frame by less are guesses, and are not applied."""


class Light(NamedTuple):
    """What was seen of frames."""

    slopes: Tensor
    """`[N, PIECES]`, positive: of the curve between its knots, squares of n / PIECES, which are dense in the dark."""
    start: Tensor
    """`[N, 1]`: the curve at 0."""
    code: Tensor
    """`[N, CODE]`: noise, blur and the like, in words of their own."""
    damage: Tensor
    """`[N]`: log10 of the mean squared error that is to be expected between the frame and its scene in this light."""

    def of(self, rows: Tensor) -> "Light":
        """That of some of the frames, or of one several times."""
        return Light(*(part[rows] for part in self))

    def fixed(self) -> "Light":
        """The same curve, which is not to be learned from what follows."""
        return self._replace(slopes=self.slopes.detach(), start=self.start.detach())

    def settled(self, frames: Tensor) -> "Light":
        """The same, but that of the frames as they are where the curve hardly changes them: what nothing happened to,
        and what a camera took in good light, stays as bright as it was."""
        still = (self.toned(frames) - frames).square().flatten(1).mean(1) < STILL
        slopes = torch.where(still[:, None], torch.ones_like(self.slopes), self.slopes)
        return self._replace(slopes=slopes, start=torch.where(still[:, None], torch.zeros_like(self.start), self.start))

    def _heights(self) -> tuple[Tensor, Tensor]:
        """The knots, and the curve there `[N, PIECES + 1]`."""
        knots = (torch.arange(PIECES + 1, device=self.slopes.device) / PIECES).square()
        rises = (self.slopes * knots.diff()).cumsum(1)
        return knots, torch.cat([self.start, self.start + rises], dim=1)

    def toned(self, images: Tensor) -> Tensor:
        """Images `[N, 3, H, W]` in [0, 1] through the curves; they may leave that range a little."""
        knots, heights = self._heights()
        flat = images.float().flatten(1)
        place = (sqrt(flat.detach().clamp(0, 1)) * PIECES).long().clamp(0, PIECES - 1)
        value = heights.gather(1, place) + self.slopes.gather(1, place) * (flat - knots[place])
        return value.view_as(images)

    def undone(self, images: Tensor) -> Tensor:
        """Toned images back in the light that they came in."""
        knots, heights = self._heights()
        flat = images.float().flatten(1).contiguous()
        place = (torch.searchsorted(heights.contiguous(), flat) - 1).clamp(0, PIECES - 1)
        value = knots[place] + (flat - heights.gather(1, place)) / self.slopes.gather(1, place)
        return value.view_as(images)


class Tone(nn.Module):
    """From whole frames `[N, 3, H, W]` in [0, 1], of any size, to their `Light`."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inside, outside in ((6, 16), (16, 32), (32, 32)):
            layers += [nn.Conv2d(inside, outside, 3, 2, 1), nn.LeakyReLU(SLOPE)]
        self.thumbnail = nn.Sequential(*layers)
        layers = []
        for inside, outside in ((6, GRAIN), (GRAIN, GRAIN), (GRAIN, GRAIN)):
            layers += [nn.Conv2d(inside, outside, 3, 2, 1), nn.LeakyReLU(SLOPE)]
        self.grain = nn.Sequential(*layers)
        seen = 32 * (THUMBNAIL // 8) ** 2 + 3 * GRAIN + BINS + 18 * SCALES + 9
        self.trunk = nn.Sequential(
            nn.Linear(seen, WIDTH), nn.LeakyReLU(SLOPE), nn.Linear(WIDTH, WIDTH), nn.LeakyReLU(SLOPE)
        )
        self.curve = nn.Linear(WIDTH, PIECES + 2)
        self.damage = nn.Linear(WIDTH, 1)
        self.code = nn.Linear(WIDTH, CODE)
        nn.init.zeros_(self.curve.weight)
        nn.init.zeros_(self.curve.bias)

    def forward(self, frames: Tensor) -> Light:
        with torch.autocast(frames.device.type, enabled=False):  # a curve in half precision has steps that are seen
            frames = frames.float()
            small = F.interpolate(frames, size=(THUMBNAIL, THUMBNAIL), mode="area")
            thumbnail = self.thumbnail(torch.cat([small, sqrt(small)], dim=1)).flatten(1)
            parts = [thumbnail, self._grain(frames), _histogram(frames), _statistics(frames)]
            x = self.trunk(torch.cat(parts, dim=1))
            logs, confidence, start = self.curve(x).split([PIECES, 1, 1], dim=1)
            slopes = torch.exp(torch.sigmoid(confidence) * logs.clamp(-4, 4))
            return Light(slopes, start / 10, self.code(x), self.damage(x)[:, 0] - 3)

    def _grain(self, frames: Tensor) -> Tensor:
        """What noise, blur and compression look like, on the whole and where there is least and most of it: noise is
        seen on what is flat, blur at edges."""
        top, left = (max(0, side - CLOSE) // 2 for side in frames.shape[-2:])
        near = frames[..., top : top + CLOSE, left : left + CLOSE]
        rest = near - F.avg_pool2d(F.pad(near, (1, 1, 1, 1), mode="replicate"), 3, 1)
        x = self.grain(torch.cat([LOUD * rest, near], dim=1))
        x = F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False) if min(x.shape[-2:]) > 3 else x
        return torch.cat([x.mean((2, 3)), x.amin((2, 3)), x.amax((2, 3))], dim=1)


class Blind(nn.Module):
    """A network that restores frames in any light: `Tone`, and a `Restorer` that is told what was seen."""

    def __init__(self, arch: str, width: int, fold: int, factor: int, window: int, blocks: Sequence[int] = (1, 1, 2)):
        super().__init__()
        self.tone = Tone()
        self.restorer = Restorer(arch, width, fold, factor, window, told=CODE, blocks=blocks)

    def forward(self, frames: Tensor) -> Tensor:
        return self.restore(frames, self.look(frames))

    def look(self, frames: Tensor) -> Light:
        """What is seen of whole frames, as it is used."""
        return self.tone(frames).settled(frames)

    def restore(self, frames: Tensor, light: Light) -> Tensor:
        """Frames, or crops of them, in the light that was seen in the whole ones."""
        return self.restorer(light.toned(frames), light.code)


def _histogram(frames: Tensor) -> Tensor:
    luma = frames.mean(1).flatten(1)
    place = (luma * BINS).long().clamp(0, BINS - 1)
    counts = torch.zeros(len(frames), BINS, device=frames.device).scatter_add_(1, place, torch.ones_like(luma))
    return sqrt(counts / luma.shape[1])


def _statistics(frames: Tensor) -> Tensor:
    """How much neighbours differ, by channel, direction and scale, where noise and blur leave their marks; and how
    bright the frame is, and how much of it is at the ends of the range."""
    least = 2**SCALES
    if min(frames.shape[-2:]) < least:  # a scale needs neighbours
        down, right = (max(0, least - side) for side in frames.shape[-2:])
        frames = F.pad(frames, (0, right, 0, down), mode="replicate")
    red, green, blue = frames.unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    planes = torch.stack([luma, blue - luma, red - luma], dim=1)
    found: list[Tensor] = []
    for scale in range(SCALES):
        x = F.avg_pool2d(planes, 2**scale, ceil_mode=True) if scale else planes
        right, down = x.diff(dim=-1).abs(), x.diff(dim=-2).abs()
        bent = F.pad(x, (1, 1, 1, 1), mode="replicate")
        bent = (4 * x - bent[..., :-2, 1:-1] - bent[..., 2:, 1:-1] - bent[..., 1:-1, :-2] - bent[..., 1:-1, 2:]).abs()
        for value in (right, down, bent):
            # The mean is that of edges; that of roots is more that of what lies between them
            roots = sqrt(value + FLOOR**2).mean((2, 3))
            found += [(value.mean((2, 3)) + FLOOR).log() / 3, 2 * (roots + FLOOR).log() / 3]
    ends = torch.stack([(luma < 0.02).float().mean((1, 2)), (luma > 0.98).float().mean((1, 2))], dim=1)
    spread = luma.flatten(1).std(1, correction=0)[:, None]
    return torch.cat([*found, frames.mean((2, 3)), frames.amax((2, 3)), ends, spread], dim=1)
