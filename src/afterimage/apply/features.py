"""Rows that observe features, applied to images of any size, and to features that are handed over without an image."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from afterimage.core import arrays, devices, images
from afterimage.core.errors import ImageError, ShardError
from afterimage.observations.features import Features, store

if TYPE_CHECKING:
    from afterimage.reconstructors import Loaded, Reconstruction, Reconstructor

SMALLEST = 32
"""Sides of images that a network can take."""
TILE = 512
MARGIN = 64
"""A larger image goes through in tiles, each with so many px around it that are thrown away."""
STRIDES = tuple(2**power for power in range(8))
SMALLEST_GUESS = 16
"""Sides of images that are guessed from features that come without their size."""


class Applied:
    """A row that rebuilds images from features, together with the encoder of these features; see `apply.load`."""

    kind = "features"

    def __init__(self, name: str, loaded: "Loaded", reconstructor: "Reconstructor", device: devices.Name):
        self.name, self.card, self.reconstructor = name, loaded.card, reconstructor
        self.layers: list[str] = [index["layer"] for index in self.card["given"]]
        self.device = devices.choose(device)
        self.encoder = store.encoder(loaded.folder, self.card["given"]).to(self.device)
        self._together = loaded.row.together

    def __call__(self, image: Image.Image) -> Image.Image:
        """What comes back of an RGB image after it went through the row's layers; the size stays.

        Raises:
            ImageError: the image is too small for the network.
        """
        pixels = np.asarray(image)
        result = np.empty_like(pixels)
        for number, top, left in self._tiles(*pixels.shape[:2]):
            # Windows begin at multiples of MARGIN, so every layer's grid is the one of the whole image
            y0, x0 = max(0, top - MARGIN), max(0, left - MARGIN)
            window = pixels[y0 : top + TILE + MARGIN, x0 : left + TILE + MARGIN]
            given = Features([str(number)], (window.shape[0], window.shape[1]), self.features(window, str(number)))
            rebuilt = images.to_uint8(self.reconstructor(given).images)[0]
            kept = rebuilt[top - y0 :, left - x0 :][:TILE, :TILE]
            result[top : top + kept.shape[0], left : left + kept.shape[1]] = kept
        return Image.fromarray(result)

    def features(self, image: Image.Image | images.Uint8, key: str = "0") -> list[Tensor]:
        """The features `[1, C, h, w]` of each layer of an RGB image, after the defence of the row's observation.

        Args:
            key: the name of the image, from which a defence draws its noise.

        Raises:
            ImageError: the image is too small for the network.
        """
        pixels = np.asarray(image)
        try:
            with torch.no_grad():
                found = self.encoder(images.to_tensor(pixels)[None].to(self.device), [key])
        except RuntimeError:
            if self._shapes(pixels.shape[:2]) is not None:
                raise
            size = f"{pixels.shape[1]} x {pixels.shape[0]} px"
            raise ImageError(f"{size} are too small for {self.layers[-1]} of {self.encoder.arch}") from None
        return [found[layer] for layer in self.layers]

    def rebuild(self, features: Sequence[Tensor], size: tuple[int, int] | None = None) -> Tensor:
        """Images `[N, 3, H, W]` in [0, 1] of features that are handed over; see `reconstruction`."""
        return self.reconstruction(features, size).images

    def reconstruction(self, features: Sequence[Tensor], size: tuple[int, int] | None = None) -> "Reconstruction":
        """What becomes of features `[N, C, h, w]`, a tensor a layer, that are handed over.

        Args:
            size: (H, W) of the images; None: what the shape of the features tells.

        Raises:
            ShardError: the features are not of these layers, or not of images of this size.
        """
        from afterimage.reconstructors import Reconstruction

        if len(features) != len(self.layers):
            raise ShardError(f"features of {len(features)} layers; {self.name} observes {', '.join(self.layers)}")
        size = size or self.image_size(features)
        self._check(features, size)
        count = len(features[0])
        parts = []
        for start in range(0, count, self._together):
            keys = [str(number) for number in range(start, min(start + self._together, count))]
            some = [layer[start : start + self._together].to(self.device) for layer in features]
            parts.append(self.reconstructor(Features(keys, size, some)))
        values = {name: [each for part in parts for each in part.values[name]] for name in parts[0].values}
        return Reconstruction(torch.cat([part.images.cpu() for part in parts]), None, values)

    def image_size(self, features: Sequence[Tensor]) -> tuple[int, int]:
        """(H, W) of the images that features are of, if the stride of the first layer divides their sides.

        Raises:
            ShardError: no image of such a size gives these features in the first layer.
        """
        shape = list(features[0].shape[1:])
        channels = shape[0]
        for stride in sorted({*STRIDES, self.encoder.patch}):
            size = (shape[1] * stride, shape[2] * stride)
            if min(size) < SMALLEST_GUESS:
                continue
            found = self._shapes(size)
            if found is None:  # too small for this network
                continue
            if found[0] == shape:
                if shape[1:] == [1, 1] and self._shapes((2 * size[0], 2 * size[1])) == found:
                    break  # tokens, which are the same number whatever the size
                return size
            channels = found[0][0]
            if channels != shape[0] or found[0][1] > shape[1]:
                break
        expected = "another size for images whose sides its stride divides; give the image's size"
        if channels != shape[0]:
            expected = f"[{channels}, h, w]"
        raise ShardError(f"features of shape {shape}; {self.layers[0]} of {self.encoder.arch} has {expected}")

    def _check(self, features: Sequence[Tensor], size: tuple[int, int]) -> None:
        shapes = self._shapes(size)
        if shapes is None:
            raise ShardError(f"images of {size[1]} x {size[0]} px are too small for {self.encoder.arch}")
        for layer, given, expected in zip(self.layers, features, shapes, strict=True):
            if list(given.shape[1:]) != expected:
                raise ShardError(
                    f"features of shape {list(given.shape[1:])}; {layer} of {self.encoder.arch} has {expected} for "
                    f"images of {size[1]} x {size[0]} px"
                )

    def _shapes(self, size: tuple[int, int]) -> list[list[int]] | None:
        """`[C, h, w]` of each layer for images of a size; None if they are too small for the network."""
        try:
            with torch.no_grad():
                found = self.encoder(torch.zeros(1, 3, *size, device=self.device))
        except RuntimeError:
            return None
        return [list(found[layer].shape[1:]) for layer in self.layers]

    def _tiles(self, height: int, width: int) -> Iterator[tuple[int, int, int]]:
        """Number, top and left of each tile of an image."""
        if min(height, width) < SMALLEST:
            raise ImageError(f"{width} x {height} px; expected at least {SMALLEST} px a side")
        number = 0
        for top in range(0, height, TILE):
            for left in range(0, width, TILE):
                yield number, top, left
                number += 1


def read_features(path: Path) -> Tensor:
    """Features `[N, C, h, w]` from a .npy file that holds them, or those of one image `[C, h, w]`.

    Raises:
        ShardError: the file is no array of numbers of such a shape, or not all of them are finite.
    """
    array = arrays.load(path)
    if array.dtype.kind not in "fiu":
        raise ShardError(f"{path}: holds {array.dtype}, expected one array of numbers")
    if array.ndim not in (3, 4) or array.size == 0:
        raise ShardError(f"{path}: features of shape {list(array.shape)}, expected [C, h, w] or [N, C, h, w]")
    if bad := int(array.size - np.isfinite(array).sum()):
        raise ShardError(f"{path}: {bad} of {array.size} features are not finite")
    features = torch.from_numpy(array.astype(np.float32))
    return features if features.ndim == 4 else features[None]
