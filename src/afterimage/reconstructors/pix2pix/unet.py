"""Networks of inpainting: a U-Net that fills holes, and a PatchGAN that judges what it filled in.

The U-Net is the generator of pix2pix (Isola et al., "Image-to-Image Translation with Conditional Adversarial
Networks", CVPR 2017, appendix 6.1) with instance norm and without dropout, so that training and use, and batches of
any size, give one result. Its convolutions come in three kinds:

- `plain`: as in pix2pix;
- `gated`: each feature times a sigmoid of its own (Yu et al., "Free-Form Image Inpainting with Gated Convolution",
  ICCV 2019, section 3.1);
- `fourier`: after each plain convolution on the way down a fast Fourier convolution, which sees the whole image at
  once (Chi et al., "Fast Fourier Convolution", NeurIPS 2020; Suvorov et al., "Resolution-robust Large Mask Inpainting
  with Fourier Convolutions", WACV 2022, section 2.1).
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from afterimage.core.compute import sqrt
from afterimage.observations.holes.smooth import enlarged, smooth_fill
from afterimage.training.adversarial import patches

Blocks = Literal["plain", "gated", "fourier"]

DEEPEST = 8
"""Halvings at 256 px, and at most."""
WIDEST = 8
"""Channels double at each halving up to so many times the first."""
WINDOW = 9
"""Side in px of the window that contrast is taken over."""
FAINTEST = 0.01
"""Contrast below this is noise."""
FOURIER_SMALLEST = 4
"""A map of a smaller side has too few frequencies for a Fourier convolution."""


class Generator(nn.Module):
    """Fills holes: from images with holes to whole images in [0, 1], known pixels as they were.

    Args:
        size: side of a training image in px. The U-Net halves what it sees of it until one pixel is left, 256 px eight
            times.
        width: channels after the first halving.
        smooth: start from a smooth fill, instead of a grey one, and let the network correct it. It sees the detail
            that the fill left, in units of the contrast around, and answers in these units: what it learns of a bright
            and sharp place then holds for a dark and soft one, which takes far fewer images to learn.
        reduce: the U-Net sees images reduced so many times. What can be told of a hole of 75 px is coarse, and so it
            is learned at a small part of the cost; finer detail is carried in from the border of the hole.
    """

    def __init__(self, size: int, width: int, blocks: Blocks, smooth: bool, reduce: int = 1):
        super().__init__()
        self.smooth, self.reduce = smooth, reduce
        size //= reduce
        depth = min(DEEPEST, int(math.log2(size)))
        channels = [width * min(2**level, WIDEST) for level in range(depth)]
        self.multiple = reduce * 2**depth
        """What the sides of images have to be multiples of."""
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for level, outside in enumerate(channels):
            inside = channels[level - 1] if level else 4
            innermost, side = level == depth - 1, size // 2 ** (level + 1)
            # Of a single pixel, instance norm would leave nothing
            self.downs.append(_down(inside, outside, blocks, norm=level > 0 and not innermost, side=side))
        for level in reversed(range(depth)):
            inside = channels[level] * (1 if level == depth - 1 else 2)
            if level:
                self.ups.append(_up(inside, channels[level - 1], blocks))
            else:
                self.last = nn.ConvTranspose2d(inside, 3, 4, 2, 1)
                nn.init.zeros_(self.last.weight)  # the first guess is the start itself
                assert self.last.bias is not None
                nn.init.zeros_(self.last.bias)

    def forward(self, images: Tensor, masks: Tensor) -> Tensor:
        """Images `[N, 3, H, W]` whose known pixels are those of `images`.

        Args:
            images: what they hold where they are missing is not looked at.
            masks: `[N, 1, H, W]`, 1 = missing.
        """
        return torch.where(masks > 0.5, self._whole(images, masks), images)

    def _whole(self, images: Tensor, masks: Tensor) -> Tensor:
        if self.reduce == 1:
            return self.guess(images, masks)
        known, missing = self.reduced(images, masks)
        return enlarged(torch.where(missing > 0.5, self.guess(known, missing), known), images, masks)

    def reduced(self, images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Images and masks as the U-Net sees them: means of what is known, missing where less than half is."""
        if self.reduce == 1:
            return images, masks
        share = F.avg_pool2d(1 - masks, self.reduce)
        known = F.avg_pool2d(torch.where(masks > 0.5, 0, images), self.reduce) / share.clamp_min(1e-6)
        missing = (share < 0.5).to(masks.dtype)
        return torch.where(missing > 0.5, 0, known), missing

    def guess(self, images: Tensor, masks: Tensor) -> Tensor:
        """What the network makes of all pixels, the known ones too: what the loss is taken of.

        Args:
            images, masks: as `reduced` gives them.
        """
        if self.smooth:
            start = smooth_fill(images, masks)
            detail, contrast = _detail(start, masks)
        else:
            start = torch.where(masks > 0.5, 0.5, images)
            detail = start * 2 - 1
        x = torch.cat([detail, masks], dim=1)
        skips = []
        for down in self.downs:
            x = down(x)
            skips.append(x)
        skips.pop()
        for up in self.ups:
            x = torch.cat([up(x), skips.pop()], dim=1)
        found = self.last(F.relu(x)).float()
        return (start + contrast * found).clamp(0, 1) if self.smooth else torch.sigmoid(4 * found)


def _detail(start: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """What is finer than the window in a smoothly filled image, divided by the contrast around, and that contrast; in
    a hole it is taken from the hole's border."""
    finer = start - _blurred(start)
    energy = _blurred(smooth_fill(finer.square().mean(1, keepdim=True), masks))
    contrast = 2 * sqrt(energy + FAINTEST**2)
    return finer / contrast, contrast


def _blurred(images: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(images, (WINDOW // 2,) * 4, mode="reflect"), WINDOW, 1)


class Discriminator(nn.Module):
    """Whether each patch of an image is real or filled in, as logits; it sees the holes too, as in pix2pix."""

    def __init__(self, size: int, width: int):
        super().__init__()
        self.layers = patches(7, size, width)

    def forward(self, images: Tensor, originals: Tensor, masks: Tensor) -> Tensor:
        """Logits `[N, 1, h, w]`, positive where `images` look real; of `originals` it sees the known pixels."""
        known = torch.where(masks > 0.5, 0.5, originals)
        return self.layers(torch.cat([images * 2 - 1, known * 2 - 1, masks], dim=1))


class Gated(nn.Module):
    """A convolution whose every feature has a gate of its own."""

    def __init__(self, convolution: nn.Module):
        super().__init__()
        self.convolution = convolution

    def forward(self, x: Tensor) -> Tensor:
        features, gates = self.convolution(x).chunk(2, dim=1)
        return features * torch.sigmoid(gates)


class FourierConvolution(nn.Module):
    """A residual fast Fourier convolution: half the channels stay local, half are global, and both exchange.

    The global half passes through the real Fourier transform, a 1 x 1 convolution of its real and imaginary parts, and
    back.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.local, self.whole = channels - channels // 2, channels // 2
        self.from_local = nn.Conv2d(self.local, channels, 3, padding=1)
        self.to_local = nn.Conv2d(self.whole, self.local, 3, padding=1)
        self.spectral = nn.Conv2d(2 * self.whole, 2 * self.whole, 1)
        self.norm = nn.InstanceNorm2d(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        local, whole = x.split([self.local, self.whole], dim=1)
        to_local, to_whole = self.from_local(local).split([self.local, self.whole], dim=1)
        mixed = torch.cat([to_local + self.to_local(whole), to_whole + self._global(whole)], dim=1)
        return x + F.relu(self.norm(mixed))

    def _global(self, x: Tensor) -> Tensor:
        spectrum = torch.fft.rfft2(x.float(), norm="ortho")  # no half precision for sides that are no power of two
        mixed = F.relu(self.spectral(torch.cat([spectrum.real, spectrum.imag], dim=1))).float()
        real, imaginary = mixed.chunk(2, dim=1)
        return torch.fft.irfft2(torch.complex(real, imaginary), s=x.shape[-2:], norm="ortho").to(x.dtype)


def _down(inside: int, outside: int, blocks: Blocks, norm: bool, side: int) -> nn.Module:
    layers: list[nn.Module] = [_gated_or_not(nn.Conv2d, inside, outside, blocks)]
    if norm:
        layers.append(nn.InstanceNorm2d(outside, affine=True))
    layers.append(nn.LeakyReLU(0.2))
    if blocks == "fourier" and side >= FOURIER_SMALLEST:
        layers.append(FourierConvolution(outside))
    return nn.Sequential(*layers)


def _up(inside: int, outside: int, blocks: Blocks) -> nn.Module:
    convolution = _gated_or_not(nn.ConvTranspose2d, inside, outside, blocks)
    return nn.Sequential(nn.ReLU(), convolution, nn.InstanceNorm2d(outside, affine=True))


def _gated_or_not(
    kind: type[nn.Conv2d] | type[nn.ConvTranspose2d], inside: int, outside: int, blocks: Blocks
) -> nn.Module:
    if blocks == "gated":
        return Gated(kind(inside, 2 * outside, 4, 2, 1))
    return kind(inside, outside, 4, 2, 1)
