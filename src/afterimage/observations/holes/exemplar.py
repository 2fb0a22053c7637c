"""A fill of holes by what the rest of the image has: texture is copied where a smooth fill would blur.

Every patch that touches a hole takes the known patch that is most like it, and every missing pixel becomes the mean of
what the patches over it say, which is repeated from a coarse image to the whole one (Wexler, Shechtman and Irani,
"Space-Time Completion of Video", PAMI 2007, section 3). At the coarsest size all patches are compared; from there on
they are found by propagation and random search (Barnes et al., "PatchMatch", SIGGRAPH 2009, section 3.2). At the end
the fill is made continuous with what is around it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from afterimage.observations.holes.smooth import carried_in, smooth_fill

REACH = 3
"""Px of a patch on each side of its middle."""
COARSEST = 64
"""Shorter side in px up to which all patches are compared."""
SEARCHED = 400
"""Shorter side in px beyond which patches are not searched for, but taken from where the coarser image had them."""
ROUNDS = (6, 3, 2)
"""Of searching and averaging, from the coarsest size on; the last one holds for all finer ones."""
JUMPS = (4, 1, 1)
"""How many px away others are asked for what they have found."""
NARROWING = 2
"""Each random search reaches so many times less far than the one before, from half the image on."""
SOFT, SHARP, FEWEST = 3, 20, 0.05
"""The powers of its likeness that a patch counts in a mean, before the last round and in it, and the least likeness,
whose power is still a float."""
CHUNK = 8192
"""Patches that are compared at once, which bounds the memory."""
OFFSETS = [(y, x) for y in range(-REACH, REACH + 1) for x in range(-REACH, REACH + 1)]
"""Of a patch's pixels from its middle."""
FAINTEST = 1e-4
"""A squared distance of patches below which they are alike."""
FAR = 1e9
"""The distance of a patch that is not known in whole."""


def exemplar_fill(images: Tensor, masks: Tensor, start: Tensor | None = None) -> Tensor:
    """Images `[N, 3, H, W]` whose missing pixels are put together from patches of the known ones, in [0, 1].

    The same input gives the same output, random search or not. Where nothing is large enough to be a patch the fill is
    the start.

    Args:
        masks: `[N, 1, H, W]`, 1 = missing.
        start: images `[N, 3, H, W]` whose fill has the coarse structure; None begins with a smooth one.
    """
    begun = torch.where(masks > 0.5, smooth_fill(images, masks) if start is None else start, images)
    return torch.cat([_filled(*each) for each in zip(begun.split(1), masks.split(1), strict=True)])


def _filled(begun: Tensor, mask: Tensor) -> Tensor:
    random = torch.Generator().manual_seed(0)
    sizes = _sizes(*mask.shape[-2:])
    coarser: _Level | None = None
    for number, size in enumerate(sizes):
        level = _Level(F.interpolate(begun, size=size, mode="area"), F.interpolate(mask, size=size, mode="area") > 0)
        if not level.whole.any():
            continue
        rounds = ROUNDS[min(number, len(ROUNDS) - 1)] if min(size) <= SEARCHED else 1
        if coarser is not None:
            level.begin(coarser)
        for turn in range(rounds):
            if coarser is None:
                level.compare_all()
            elif min(size) <= SEARCHED:
                level.search(random)
            level.average(sharp=size == sizes[-1] and turn == rounds - 1)
        coarser = level
    return begun if coarser is None else F.interpolate(coarser.fill, size=mask.shape[-2:], mode="bilinear").clamp(0, 1)


def _sizes(height: int, width: int) -> list[tuple[int, int]]:
    """Heights and widths, from the coarsest to that of the image."""
    sizes = [(height, width)]
    while min(sizes[0]) > COARSEST:
        sizes.insert(0, (-(-sizes[0][0] // 2), -(-sizes[0][1] // 2)))
    return sizes


class _Level:
    """An image of one size, what is filled in of it so far, and the patches that were found for it.

    Args:
        fill: `[1, 3, H, W]`, with a first fill.
        missing: bool `[1, 1, H, W]`.
    """

    def __init__(self, fill: Tensor, missing: Tensor):
        self.fill, self.missing = fill, missing[0, 0]
        self.height, self.width = self.missing.shape
        window = 2 * REACH + 1
        touched = F.max_pool2d(missing.float(), window, 1, REACH)[0, 0] > 0
        self.whole = ~touched
        """`[H, W]`: whether the patch around is known in whole."""
        for edge in (self.whole, self.whole.T):
            edge[:REACH] = edge[max(0, len(edge) - REACH) :] = False
        self.y, self.x = touched.nonzero(as_tuple=True)
        """Middles of the patches that touch the hole; what was found for them is `at_y`, `at_x`, `distance`, each of
        their length."""
        self.number = torch.full(self.missing.shape, -1)
        self.number[self.y, self.x] = torch.arange(len(self.y))
        self.at_y, self.at_x = self.y, self.x
        self.distance = torch.full(self.y.shape, FAR)
        self.own: Tensor | None = None
        """The patches that touch the hole, as long as others are compared with them."""

    def begin(self, coarser: "_Level") -> None:
        """Take over the fill of an image half as large, and the places of its patches."""
        enlarged = F.interpolate(coarser.fill, size=self.missing.shape, mode="bicubic")
        self.fill = torch.where(self.missing, enlarged, self.fill)
        number = coarser.number[self.y // 2, self.x // 2].clamp_min(0)
        self.at_y = self.y + 2 * (coarser.at_y[number] - coarser.y[number])
        self.at_x = self.x + 2 * (coarser.at_x[number] - coarser.x[number])
        self._measure()

    def compare_all(self) -> None:
        """Find the nearest of all patches."""
        self._measure()
        own = self._patches(self.y, self.x)
        y, x = self.whole.nonzero(as_tuple=True)
        known = self._patches(y, x)
        squares = known.square().sum(1)
        for part in torch.arange(len(self.y)).split(512):
            distance, nearest = (squares - 2 * own[part] @ known.T).min(1)
            self.distance[part] = (distance + own[part].square().sum(1)).clamp_min(0)
            self.at_y[part], self.at_x[part] = y[nearest], x[nearest]

    def search(self, random: torch.Generator) -> None:
        """Find nearer patches: beside those of neighbours, and anywhere around the nearest so far."""
        self._measure()
        self.own = self._patches(self.y, self.x)
        for jump in JUMPS:
            for down, right in ((0, jump), (0, -jump), (jump, 0), (-jump, 0)):
                near_y, near_x = (self.y + down).clamp(0, self.height - 1), (self.x + right).clamp(0, self.width - 1)
                number = self.number[near_y, near_x]
                asked = number.clamp_min(0)
                y = self.at_y[asked] - near_y + self.y
                x = self.at_x[asked] - near_x + self.x
                self._try(torch.where(number < 0, -1, y), x)
        reach = max(self.height, self.width) // 2
        while reach:
            aside = torch.randint(-reach, reach + 1, (2, len(self.y)), generator=random)
            self._try(self.at_y + aside[0], self.at_x + aside[1])
            reach //= NARROWING
        self.own = None

    def average(self, sharp: bool) -> None:
        """Fill in what the patches that were found say of each pixel; `sharp`: above all those that are most alike."""
        found = self.distance[self.distance < FAR].sort().values
        if not len(found):
            return
        typical = found[len(found) * 3 // 4].clamp_min(FAINTEST)
        # A quotient, because exponentials are not the same on every machine
        weights = (typical / (self.distance / 2 + typical)).clamp_min(FEWEST) ** (SHARP if sharp else SOFT)
        weights = weights * (self.distance < FAR)
        said = torch.where(self.missing, self._said(weights, self.missing), self.fill)
        if sharp:
            # What the same patches say wrongly of the known pixels at the border is taken from what they say within, by
            # a membrane through the border: Perez, Gangnet and Blake, "Poisson Image Editing", SIGGRAPH 2003
            border = (F.max_pool2d(self.missing[None, None].float(), 3, 1, 1)[0, 0] > 0) & ~self.missing
            wrong = self.fill - self._said(weights, border)
            said = said + self.missing * carried_in(wrong, (~border)[None, None].float())
        self.fill = said

    def _said(self, weights: Tensor, where: Tensor) -> Tensor:
        """The mean of what the patches over each pixel say, `[1, 3, H, W]`; beyond `where`, `[H, W]`, the fill."""
        y, x = where.nonzero(as_tuple=True)
        total, count = torch.zeros(3, len(y)), torch.zeros(len(y))
        for down, right in OFFSETS:
            middle_y, middle_x = y - down, x - right
            inside = (middle_y >= 0) & (middle_y < self.height) & (middle_x >= 0) & (middle_x < self.width)
            number = self.number[middle_y.clamp(0, self.height - 1), middle_x.clamp(0, self.width - 1)]
            weight = weights[number.clamp_min(0)] * (inside & (number >= 0))
            from_y = (self.at_y[number] + down).clamp(0, self.height - 1)
            from_x = (self.at_x[number] + right).clamp(0, self.width - 1)
            total += weight * self.fill[0, :, from_y, from_x]
            count += weight
        said = self.fill.clone()
        said[0, :, y, x] = torch.where(count > 0, total / count, said[0, :, y, x])
        return said

    def _measure(self) -> None:
        """How far the patches are that were found, now that the fill is another."""
        padded = F.pad(self.fill, (REACH,) * 4, mode="replicate")[0].permute(1, 2, 0).contiguous()
        self.windows = padded.unfold(0, 2 * REACH + 1, 1).unfold(1, 2 * REACH + 1, 1).permute(0, 1, 3, 4, 2)
        self.distance = torch.full(self.y.shape, FAR)
        self._try(self.at_y, self.at_x)

    def _try(self, y: Tensor, x: Tensor) -> None:
        """Take these patches where they are nearer than what was found."""
        inside = (y >= 0) & (y < self.height) & (x >= 0) & (x < self.width)
        y, x = y.clamp(0, self.height - 1), x.clamp(0, self.width - 1)
        for part in (inside & self.whole[y, x]).nonzero()[:, 0].split(CHUNK):
            own = self._patches(self.y[part], self.x[part]) if self.own is None else self.own[part]
            distance = (self._patches(y[part], x[part]) - own).square().sum(1)
            nearer = distance < self.distance[part]
            chosen = part[nearer]
            self.distance[chosen], self.at_y[chosen], self.at_x[chosen] = distance[nearer], y[chosen], x[chosen]

    def _patches(self, y: Tensor, x: Tensor) -> Tensor:
        """The patches around these places, `[K, 3 * 49]`; beyond the image its edge is repeated."""
        return self.windows[y, x].flatten(1)
