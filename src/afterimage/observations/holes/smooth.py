"""A smooth fill of holes, quick enough to be the start of a learned one.

Push-pull: missing pixels get ever coarser means of the known ones (Gortler et al., "The Lumigraph", SIGGRAPH 1996,
section 3.4), and each level is smoothed, which brings the fill near to a thin plate bent through the border.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

SMOOTHINGS = 8


def smooth_fill(images: Tensor, masks: Tensor) -> Tensor:
    """Images `[N, C, H, W]` whose missing pixels are filled, in [0, 1]; `masks` `[N, 1, H, W]`, 1 = missing."""
    return carried_in(images, masks).clamp(0, 1)


def carried_in(values: Tensor, masks: Tensor) -> Tensor:
    """Any values `[N, C, H, W]`, carried smoothly into where they are missing; `masks` `[N, 1, H, W]`, 1 = missing."""
    known = (masks < 0.5).to(values.dtype)
    return _pull(torch.where(known > 0, values, 0), known)


def enlarged(coarse: Tensor, images: Tensor, masks: Tensor) -> Tensor:
    """A fill of a smaller image, at the size of `images` and continuous with them, in [0, 1].

    What the small image could not show of the known pixels around a hole is carried smoothly into it.

    Args:
        coarse: `[N, 3, h, w]`, known pixels and fill.
        images: `[N, 3, H, W]`; what they hold where they are missing is not looked at.
        masks: `[N, 1, H, W]`, 1 = missing.
    """
    large = F.interpolate(coarse, size=images.shape[-2:], mode="bicubic", align_corners=False)
    return (large + carried_in(images - large, masks)).clamp(0, 1)


def _pull(weighted: Tensor, known: Tensor) -> Tensor:
    """Colours of all pixels from colours times `known`, the share of each pixel that is known."""
    height, width = known.shape[-2:]
    if max(height, width) == 1:
        return weighted / known.clamp_min(1e-6)
    pad = (0, width % 2, 0, height % 2)
    halves = F.avg_pool2d(F.pad(torch.cat([weighted, known], dim=1), pad), 2)
    coarse = _pull(halves[:, :-1], halves[:, -1:])
    filled = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)[..., :height, :width]
    colours = weighted + (1 - known) * filled
    for _ in range(SMOOTHINGS):
        mean = _mean(colours)
        # Where this changes nothing more, the mean of means is the mean: a discrete biharmonic equation
        colours = weighted + (1 - known) * (2 * mean - _mean(mean))
    return colours


def _mean(images: Tensor) -> Tensor:
    """The mean of the 3 x 3 px around each, with the edge repeated.

    As sums of slices it takes a third of the time that pooling does on a CPU.
    """
    x = F.pad(images, (1, 1, 1, 1), mode="replicate")
    x = x[..., :-2, :] + x[..., 1:-1, :] + x[..., 2:, :]
    return (x[..., :-2] + x[..., 1:-1] + x[..., 2:]) / 9
