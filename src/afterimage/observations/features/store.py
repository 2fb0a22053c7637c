"""The feature store: features of each layer beside the images that they came from, joined by key."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from afterimage.core import images, outputs, shards, weights
from afterimage.core.arrays import SCALE, from_npy, restored
from afterimage.core.errors import ParamsError, ShardError, WeightsError
from afterimage.observations import Given
from afterimage.observations.features import Features, defences, encoders
from afterimage.observations.features.encoders import Encoder

BATCH = 32
"""Images a forward pass where features are computed when they are needed."""
ENCODER = "encoder.safetensors"
"""The encoder, cut off after the layer, beside its features, and beside a model that decodes them."""


class Stored:
    """The features of one or more layers that a reconstructor observes.

    Args:
        folder: of one layer, or of an encoder.
        settings: those of the reconstructor's row; its `layers` are read where the folder holds several.

    Raises:
        ShardError: there are no such features.
        ParamsError: `folder` holds several layers, and the row does not say which.
    """

    def __init__(self, folder: Path, shards_dir: Path, settings: Mapping[str, Any]):
        layers: Sequence[str] | None = settings.get("layers")
        folder = located(folder)
        single = (folder / "index.json").is_file()
        if not single and not layers:
            raise ParamsError(f"{folder}: expected the folder of a layer, or `layers` of it in the row")
        self.folders = [folder] if single else [located(folder / layer) for layer in layers or ()]
        self.shards_dir = shards_dir
        self.indices = [shards.load_index(each) for each in self.folders]
        self.layers = [str(index["layer"]) for index in self.indices]
        if single and layers and self.folders != [located(folder.parent / layer) for layer in layers]:
            raise ParamsError(f"{folder}: holds {', '.join(self.layers)}, but the row has layers: {list(layers)}")
        self.index = self.indices[0]
        self.size: int = self.index["size"]

    @property
    def carried(self) -> list[Path]:
        """Files that a trained model needs beside it: the encoder up to the deepest layer."""
        return [max((each / ENCODER for each in self.folders), key=lambda path: path.stat().st_size)]

    def encoder(self) -> Encoder:
        """The encoder that these features are of."""
        return _encoder(self.indices, self.carried[0])

    @cached_property
    def _computing(self) -> Encoder | None:
        return None if all(index.get("stored", True) for index in self.indices) else self.encoder()

    def pairs(self, split: str) -> "FeaturePairs":
        """Features and images of a split by position, for training."""
        return FeaturePairs(self.folders, self.shards_dir, split, self._computing)

    def cases(self) -> list[str]:
        return ["test"]

    def test_hash(self, case: str) -> str:
        # Of what they are features of, not of their tars: the last bits of a float may be another machine's
        about = ("arch", "weights", "layer", "dtype", "defence")
        return outputs.digest([{key: index[key] for key in about if key in index} for index in self.indices])

    def given(self, case: str, batch: int, keys: Sequence[str] | None = None) -> Iterator[Given]:
        pairs = self.pairs(case)
        wanted = None if keys is None else set(keys)
        chosen = [place for place, key in enumerate(pairs.keys) if wanted is None or key in wanted]
        for start in range(0, len(chosen), batch):
            places = chosen[start : start + batch]
            names = [pairs.keys[place] for place in places]
            observation = Features(names, (self.size, self.size), pairs.features(places))
            yield Given(names, observation, pairs.pixels(places))


def located(folder: Path) -> Path:
    """The folder of a layer, which may go by another of its names: a folder has the name in the row of observations.

    Raises:
        LayerError: the network has no layer of this name.
    """
    if folder.exists():
        return folder
    beside = {path.parent: shards.load_index(path.parent) for path in sorted(folder.parent.glob("*/index.json"))}
    layers = {index["node"]: each for each, index in beside.items() if "node" in index}
    if not layers:
        return folder
    arch = next(index["arch"] for index in beside.values() if "node" in index)
    return layers.get(encoders.node(arch, folder.name), folder)


def encoder(folder: Path, indices: Sequence[Mapping[str, Any]]) -> Encoder:
    """The encoder in a folder of features or of a model; `indices` are those of the layers that are wanted.

    Raises:
        WeightsError: it is not there, or does not fit.
    """
    return _encoder(indices, folder / ENCODER)


def _encoder(indices: Sequence[Mapping[str, Any]], path: Path) -> Encoder:
    about = weights.read_about(path)
    try:
        layers = [index["layer"] for index in indices]
        found = Encoder(indices[0]["arch"], layers, about.get("graph"), defences.read(indices[0].get("defence")))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise WeightsError(f"{path}: describes no encoder with these layers: {error}") from None
    found.load(path)
    return found


def fitting(layer: str, values: Tensor, dtype: str) -> Tensor:
    """Features `[N, C, h, w]` in a float type.

    Raises:
        ShardError: they are past its range, or not finite.
    """
    return _by_channel(_checked(layer, values, dtype).to(getattr(torch, dtype)))


def _checked(layer: str, values: Tensor, dtype: str) -> Tensor:
    kind: torch.dtype = getattr(torch, dtype)
    # In memory's order and flat: on four dimensions it takes 18 times as long
    low, high = (float(bound) for bound in torch.aminmax(places(values).reshape(-1)))
    limit = torch.finfo(kind).max
    if not -limit <= low <= high <= limit:  # nor if one is NaN
        raise ShardError(
            f"{layer}: features from {low:.4g} to {high:.4g} do not fit into {dtype}"
            + ("; set dtype: float32" if kind == torch.float16 else "")
        )
    return values


def places(values: Tensor) -> Tensor:
    """Features `[N, C, h, w]` as `[N, h * w, C]`, which is how channels last lie in memory."""
    return values.permute(0, 2, 3, 1).flatten(1, 2)


def _by_channel(values: Tensor) -> Tensor:
    """Features `[N, C, h, w]` that lie in this order in memory too."""
    if values.is_contiguous() or values.device.type != "cpu":
        return values.contiguous()
    import cv2

    rows = places(values)
    rows = rows.view(torch.int16) if values.dtype == torch.float16 else rows
    turned = np.empty((len(rows), rows.shape[2], rows.shape[1]), rows.numpy().dtype)
    for each, out in zip(rows.numpy(), turned, strict=True):
        cv2.transpose(each, out)  # takes a third of torch's time
    return torch.from_numpy(turned).view(values.dtype).view(values.shape)


class Kept(NamedTuple):
    """Features of a batch as they are stored: values `[N, C, h, w]`, and for 8 bits the scales `[N, 2, C]`."""

    values: npt.NDArray[Any]
    scales: npt.NDArray[np.float32] | None

    def read(self) -> Tensor:
        """The features that come back of them; float32 of 8 bits."""
        if self.scales is None:
            return torch.from_numpy(self.values)
        pairs = zip(self.values, self.scales, strict=True)
        return torch.from_numpy(np.stack([restored(codes, scale) for codes, scale in pairs]))


def kept(layer: str, values: Tensor, dtype: str) -> Kept:
    """Features `[N, C, h, w]` of a layer as a row with this `dtype` stores them.

    Raises:
        ShardError: as `fitting`.
    """
    if dtype != "uint8":
        return Kept(fitting(layer, values, dtype).cpu().numpy(), None)
    rows = places(_checked(layer, values, "float32").float())
    low, high = rows.amin(1), rows.amax(1)
    steps = (high - low) / 255
    codes = torch.empty(rows.shape, dtype=torch.uint8, device=rows.device)
    # Image by image, which a core's cache holds
    for each, least, step, out in zip(rows, low, steps.clamp_min(torch.finfo(torch.float32).tiny), codes, strict=True):
        out.copy_((each - least).div_(step).round_())
    turned = _by_channel(codes.unflatten(1, values.shape[2:]).permute(0, 3, 1, 2))
    return Kept(turned.cpu().numpy(), torch.stack([steps, low], dim=1).cpu().numpy())


class FeaturePairs:
    """The features of one or more layers with the images they came from, by position.

    Args:
        layers: folders of the feature store, one a layer.
        shards_dir: the image shards.
        encoder: computes the features where they are not stored, as `encoder_of` gives it; not used where they are.

    Raises:
        ShardError: the folders do not hold the same keys in the same order, or features that are not stored are of
            other images or have no encoder.
    """

    def __init__(self, layers: Sequence[Path], shards_dir: Path, split: str, encoder: Encoder | None = None):
        self.images = shards.Table(shards_dir, split)
        self.encoder: Encoder | None = None
        self.layers: list[shards.Table] = []
        self.scales: list[shards.Table | None] = []
        self._indices = [shards.load_index(folder) for folder in layers]
        for folder, index in zip(layers, self._indices, strict=True):
            if index.get("stored", True):
                self._open(folder, index, shards_dir, split)
            elif encoder is None:
                raise ShardError(f"{folder}: these features are not stored, and there is no encoder to compute them")
            elif index["images"] != outputs.sha256(shards_dir / "index.json"):
                raise ShardError(f"{folder}: features of another version of {shards_dir}; run dvc repro")
            else:
                self.encoder = encoder

    def _open(self, folder: Path, index: shards.Index, shards_dir: Path, split: str) -> None:
        table = shards.Table(folder, split)
        if table.keys != self.images.keys:
            pairs = zip(table.keys, self.images.keys, strict=False)
            first = next((pair for pair in pairs if pair[0] != pair[1]), (len(table), len(self.images)))
            raise ShardError(f"{folder}: {split} does not match {shards_dir}: found {first[0]}, expected {first[1]}")
        self.layers.append(table)
        self.scales.append(shards.Table(folder, split, SCALE) if index.get("dtype") == "uint8" else None)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def keys(self) -> list[str]:
        return self.images.keys

    def layer(self, place: int, positions: Sequence[int]) -> Tensor:
        """Features `[N, C, h, w]` of one layer, in the precision that is on disk; float32 for 8 bits."""
        if self.encoder is not None:
            return self.features(positions)[place]
        values = np.stack([_array(self.layers[place], position) for position in positions])
        scales = self.scales[place]
        steps = None if scales is None else np.stack([_array(scales, position) for position in positions])
        return Kept(values, steps).read()

    def features(self, positions: Sequence[int]) -> list[Tensor]:
        """The features of every layer."""
        if self.encoder is None:
            return [self.layer(place, positions) for place in range(len(self.layers))]
        device = next(self.encoder.buffers()).device
        batches = [positions[start : start + BATCH] for start in range(0, len(positions), BATCH)]
        computed = [
            self._computed(images.to_tensor(self.pixels(batch)).to(device), self._named(batch)) for batch in batches
        ]
        return [torch.cat(layer).cpu() for layer in zip(*computed, strict=True)]

    def observe(self, batch: Mapping[str, Any]) -> list[Tensor]:
        """The features of a training batch: those that it holds, or computed from its images where they are."""
        return batch["features"] if self.encoder is None else self._computed(batch["images"], batch["keys"])

    def _named(self, positions: Sequence[int]) -> list[str]:
        return [self.keys[position] for position in positions]

    def _computed(self, pixels: Tensor, keys: Sequence[str]) -> list[Tensor]:
        assert self.encoder is not None
        with torch.no_grad(), torch.autocast(pixels.device.type, enabled=False):
            features = self.encoder.to(pixels.device)(pixels, keys)
        return [fitting(index["layer"], features[index["layer"]], index["dtype"]) for index in self._indices]

    def pixels(self, positions: Sequence[int]) -> npt.NDArray[np.uint8]:
        """The images, 8-bit `[N, H, W, 3]`."""
        return np.stack([np.asarray(images.decode(self.images.bytes(i))) for i in positions])

    def __getitems__(self, positions: list[tuple[int, int]]) -> dict[str, Any]:
        """A training batch: `images` as float32 `[N, 3, H, W]` in [0, 1], and `features` where they are stored,
        else the `keys` that a defence draws by."""
        places = [position for _, position in positions]
        given = {"features": self.features(places)} if self.encoder is None else {"keys": self._named(places)}
        return {**given, "images": images.to_tensor(self.pixels(places))}


def _array(table: shards.Table, position: int) -> npt.NDArray[Any]:
    return from_npy(table.bytes(position), table.keys[position])
