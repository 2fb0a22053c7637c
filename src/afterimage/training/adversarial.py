"""Networks that judge patches of images, for reconstructors that train against one (Goodfellow et al. 2014)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDEST = 8
"""The most channels of a discriminator, in widths."""


def patches(channels: int, size: int, width: int) -> nn.Sequential:
    """PatchGAN (Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017, appendix
    6.1.2): logits `[N, 1, h, w]` of images `[N, channels, H, W]`, one a patch. Patches are 70 px wide for a `size` of
    256 px and shrink with it: 34 px at 128, 16 px at 64."""
    strided = min(3, max(1, int(math.log2(size)) - 5))
    layers: list[nn.Module] = []
    for level in range(strided + 1):
        outside = width * min(2**level, WIDEST)
        layers.append(nn.Conv2d(channels, outside, 4, 2 if level < strided else 1, 1))
        if level:
            layers.append(nn.InstanceNorm2d(outside, affine=True))
        layers.append(nn.LeakyReLU(0.2))
        channels = outside
    layers.append(nn.Conv2d(channels, 1, 4, 1, 1))
    return nn.Sequential(*layers)


def logistic(logits: Tensor, real: bool) -> Tensor:
    """The mean logistic loss of judging patches to be real, or not."""
    return F.binary_cross_entropy_with_logits(logits.float(), torch.full_like(logits, float(real), dtype=torch.float32))
