"""Networks that restore an image: same content in, same content out.

- `lenet`: the modified LeNet autoencoder of the facial reconstruction report that this family began with: 32-16-16-32
  filters of 3 x 3, two poolings, two upsamplings, the raw input joined before the last layer; 13,428 parameters.
- `skip`: a deeper autoencoder with skip connections at every scale and a residual output (Mao, Shen and Yang, "Image
  Restoration Using Very Deep Convolutional Encoder-Decoder Networks with Symmetric Skip Connections", NIPS 2016; the
  scales are those of Ronneberger, Fischer and Brox, "U-Net", MICCAI 2015).
- `nafnet`: Chen, Chu, Zhang and Sun, "Simple Baselines for Image Restoration" (ECCV 2022), section 4.

All take images of any size, reflected at the right and lower edge to what their scales divide. `factor` upsampling
layers make the result so many times larger than what goes in (Shi et al., "Real-Time Single Image and Video
Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network", CVPR 2016).
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.1


class Restorer(nn.Module):
    """From images `[N, 3, H, W]` to images `[N, 3, factor * H, factor * W]`, both about [0, 1]; not clipped.

    Args:
        width: channels at the first scale; `lenet` has its own.
        fold: squares of so many px a side become one position of more channels at the entry (pixel unshuffle), which
            makes all that follows so many times squared cheaper; 1: none.
        window: side in px of the images that `nafnet` trains on; over larger ones its channel attention takes local
            means of this size, or it would meet statistics that it has never seen (Chu et al., "Improving Image
            Restoration by Revisiting Global Information Aggregation", ECCV 2022).
        output: `sigmoid` brings what `lenet` makes into (0, 1).
        told: how many numbers it is told of each image besides.
        blocks: of `nafnet` at each scale on the way down, and on the way up; the last: at the smallest scale.
    """

    def __init__(
        self,
        arch: str,
        width: int,
        fold: int,
        factor: int,
        window: int,
        output: str = "linear",
        told: int = 0,
        blocks: Sequence[int] = (1, 1, 2),
    ):
        super().__init__()
        self.output = output
        self.fold, self.factor, self.residual = fold, factor, arch != "lenet"
        channels = 3 * fold**2 + told
        grown = 3 * (fold * factor) ** 2
        if arch == "lenet":
            self.body: nn.Module = LeNet(channels, grown)
            self.multiple = 4 * fold
        elif arch == "skip":
            self.body = SkipAutoencoder(channels, grown, width)
            self.multiple = 2 ** len(SkipAutoencoder.BLOCKS) * fold
        else:
            self.body = NafNet(channels, grown, width, max(1, window // fold), blocks)
            self.multiple = 2 ** (len(blocks) - 1) * fold

    def forward(self, image: Tensor, told: Tensor | None = None) -> Tensor:
        height, width = image.shape[-2:]
        padded = _padded(image, self.multiple)
        x = F.pixel_unshuffle(padded, self.fold) if self.fold > 1 else padded
        if told is not None:
            x = torch.cat([x, told[..., None, None].expand(-1, -1, *x.shape[-2:])], dim=1)
        out = self.body(x.contiguous(memory_format=torch.channels_last))
        if (larger := self.fold * self.factor) > 1:
            out = F.pixel_shuffle(out, larger)
        out = out[..., : height * self.factor, : width * self.factor].float()
        if not self.residual:
            return torch.sigmoid(out) if self.output == "sigmoid" else out
        return enlarged(image.float(), out) + out


class LeNet(nn.Module):
    """The seed's network, up to its last activation."""

    def __init__(self, inside: int, outside: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inside, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 16, 3, padding=1)
        self.conv3 = nn.Conv2d(16, 16, 3, padding=1)
        self.conv4 = nn.Conv2d(16, 32, 3, padding=1)
        self.conv5 = nn.Conv2d(32 + inside, outside, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(image)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.interpolate(F.relu(self.conv3(x)), scale_factor=2.0, mode="nearest")
        x = F.interpolate(F.relu(self.conv4(x)), scale_factor=2.0, mode="nearest")
        return self.conv5(torch.cat([x, image], dim=1))


class SkipAutoencoder(nn.Module):
    """Residual blocks on the way down and on the way up, joined by addition; every scale doubles the width."""

    BLOCKS = (1, 1, 1)

    def __init__(self, inside: int, outside: int, width: int):
        super().__init__()
        widths = [width * 2**scale for scale in range(len(self.BLOCKS) + 1)]
        self.entry = nn.Conv2d(inside, width, 3, padding=1)
        self.encoders = nn.ModuleList(_blocks(widths[i], depth) for i, depth in enumerate(self.BLOCKS))
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 2, 2) for a, b in pairwise(widths))
        self.middle = _blocks(widths[-1], 1)
        self.ups = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, 2) for a, b in pairwise(widths))
        self.decoders = nn.ModuleList(_blocks(widths[i], depth) for i, depth in enumerate(self.BLOCKS))
        self.last = _zeroed(nn.Conv2d(width, outside, 3, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        x = self.entry(image)
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            x = encoder(x)
            skips.append(x)
            x = down(x)
        x = self.middle(x)
        for place in reversed(range(len(skips))):
            x = self.decoders[place](self.ups[place](x) + skips[place])
        return self.last(x)


class ResidualBlock(nn.Module):
    """Two convolutions whose result is added to what went in (Lim et al., "Enhanced Deep Residual Networks for Single
    Image Super-Resolution", CVPRW 2017, figure 2). A plain chain of as many would let little of its input through."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = _zeroed(nn.Conv2d(width, width, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.leaky_relu(self.conv1(x), SLOPE))


class NafNet(nn.Module):
    """NAFBlocks at every scale, joined by addition, as in the paper's figure 2 (a U-Net of one stage)."""

    def __init__(self, inside: int, outside: int, width: int, window: int, blocks: Sequence[int]):
        super().__init__()
        *depths, middle = blocks
        widths = [width * 2**scale for scale in range(len(blocks))]
        windows = [max(1, window // 2**scale) for scale in range(len(blocks))]
        self.entry = nn.Conv2d(inside, width, 3, padding=1)
        self.encoders = nn.ModuleList(_naf_blocks(*shape) for shape in zip(depths, widths, windows, strict=False))
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 2, 2) for a, b in pairwise(widths))
        self.middle = _naf_blocks(middle, widths[-1], windows[-1])
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(b, 2 * b, 1, bias=False), nn.PixelShuffle(2)) for b in widths[1:]
        )
        self.decoders = nn.ModuleList(_naf_blocks(*shape) for shape in zip(depths, widths, windows, strict=False))
        self.last = _zeroed(nn.Conv2d(width, outside, 3, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        x = self.entry(image)
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            x = encoder(x)
            skips.append(x)
            x = down(x)
        x = self.middle(x)
        for place in reversed(range(len(skips))):
            x = self.decoders[place](self.ups[place](x) + skips[place])
        return self.last(x)


class NafBlock(nn.Module):
    """Nonlinear Activation Free block: gates (products of halves of the channels) in place of activations."""

    def __init__(self, width: int, window: int):
        super().__init__()
        self.norm1 = ChannelNorm(width)
        self.grow1 = nn.Conv2d(width, 2 * width, 1)
        self.spatial = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)
        self.attention = ChannelAttention(width, window)
        self.shrink1 = nn.Conv2d(width, width, 1)
        self.norm2 = ChannelNorm(width)
        self.grow2 = nn.Conv2d(width, 2 * width, 1)
        self.shrink2 = nn.Conv2d(width, width, 1)
        self.beta = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = _gate(self.spatial(self.grow1(self.norm1(x))))
        x = x + self.beta * self.shrink1(self.attention(y))
        y = _gate(self.grow2(self.norm2(x)))
        return x + self.gamma * self.shrink2(y)


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of each position."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, 1e-6).permute(0, 3, 1, 2)


class ChannelAttention(nn.Module):
    """Weights for the channels from their means: over the whole image up to `window` positions a side, else local."""

    def __init__(self, width: int, window: int):
        super().__init__()
        self.window = window
        self.mix = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        if max(height, width) <= self.window:
            return x * self.mix(x.mean((2, 3), keepdim=True))
        # Half-overlapping windows, their weights interpolated between: a sliding mean at a fraction of its cost
        kernel = (min(self.window, height), min(self.window, width))
        step = (max(1, kernel[0] // 2), max(1, kernel[1] // 2))
        weights = self.mix(F.avg_pool2d(x, kernel, step, ceil_mode=True, count_include_pad=False))
        return x * F.interpolate(weights, size=(height, width), mode="bilinear", align_corners=False)


def _naf_blocks(depth: int, width: int, window: int) -> nn.Sequential:
    return nn.Sequential(*(NafBlock(width, window) for _ in range(depth)))


def _blocks(width: int, depth: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(width) for _ in range(depth)))


def _gate(x: Tensor) -> Tensor:
    a, b = x.chunk(2, dim=1)
    return a * b


def _zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    """A last layer that begins with nothing to add to the input."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def enlarged(image: Tensor, like: Tensor) -> Tensor:
    """Images at the size of others, by bicubic interpolation."""
    if image.shape[-2:] == like.shape[-2:]:
        return image
    return F.interpolate(image, size=like.shape[-2:], mode="bicubic", align_corners=False)


def _padded(image: Tensor, multiple: int) -> Tensor:
    down, right = -image.shape[-2] % multiple, -image.shape[-1] % multiple
    if not down and not right:
        return image
    # Reflection needs more pixels than it adds
    mode = "reflect" if down < image.shape[-2] and right < image.shape[-1] else "replicate"
    return F.pad(image, (0, right, 0, down), mode=mode)
