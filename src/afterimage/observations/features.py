"""The feature store: features of each layer as tars beside the image shards, joined to them by key.

A row with `store: false` has indexes alone: whoever reads its features computes them from the images, with the same
network, rounded to the same number type.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from afterimage import devices, images, outputs, shards
from afterimage.errors import ShardError
from afterimage.observations.arrays import SCALE, from_npy, restored, stored_bytes, to_npy
from afterimage.observations.encoders import Encoder, EncoderRow

AHEAD = 2
"""Batches that are read before, and written after, the one that the network works on."""
BATCH = 32
"""Images a forward pass where features are computed when they are needed."""


def extract(
    encoder: Encoder, row: EncoderRow, name: str, about: dict[str, Any], shards_dir: Path, out_dir: Path
) -> None:
    """Write the features of all layers of an encoder, with one forward pass an image.

    Reading, the network and writing overlap, and no more than a few batches are in memory at once. A batch never
    spans two shards, so that a shard's features follow from that shard alone.

    Args:
        name: of the encoder's row.
        about: goes into each index, beside what the features themselves tell.
        shards_dir: image shards, as `shards` describes them.
        out_dir: gets a folder a layer, with tars of the same names as those of the images.

    Raises:
        ShardError: the image shards are not whole, or a feature does not fit into the row's dtype.
        SpaceError: the disk has too little room.
    """
    device = devices.choose("auto")
    encoder.to(device)
    index = shards.load_index(shards_dir)
    total = sum(split["samples"] for split in index["splits"].values())
    shapes = _shapes(encoder, index["size"], device)
    if row.store:
        needed = sum(stored_bytes(shape, row.dtype, total) for shape in shapes.values())
        outputs.require_room(out_dir, needed, f"features of {name} for {total} images")
    errors = {layer: _Rounding() for layer in row.layers} if row.dtype == "uint8" else {}
    with outputs.folder(out_dir) as folder:
        written = _written(encoder, row, name, shards_dir, folder, errors) if row.store else {}
        for layer in row.layers:
            store = {
                "encoder": name,
                "layer": layer,
                "node": encoder.nodes[layer],
                "dataset": row.dataset,
                "dtype": row.dtype,
                "shape": shapes[layer],
                "images": outputs.sha256(shards_dir / "index.json"),
                **({"error": errors[layer].described()} if layer in errors else {}),
                **({} if row.store else {"stored": False}),
                **about,
            }
            (folder / layer).mkdir(exist_ok=True)
            shards.write_index(folder / layer, store, written.get(layer, {}))


def _shapes(encoder: Encoder, size: int, device: torch.device) -> dict[str, list[int]]:
    """The shape `[C, h, w]` of each layer's features."""
    with torch.inference_mode():
        features = encoder(torch.zeros(1, 3, size, size, device=device))
    for layer, values in features.items():
        if values.ndim != 4:
            raise ShardError(f"{layer}: features of shape {list(values.shape)}, expected maps [N, C, H, W]")
    return {layer: list(values.shape[1:]) for layer, values in features.items()}


def _written(
    encoder: Encoder, row: EncoderRow, name: str, shards_dir: Path, folder: Path, errors: Mapping[str, "_Rounding"]
) -> dict[str, dict[str, list[shards.Shard]]]:
    """Write all tars; returns their entries by layer and split."""
    splits = shards.load_index(shards_dir)["splits"]
    total = sum(split["samples"] for split in splits.values())
    written: dict[str, dict[str, list[shards.Shard]]] = {layer: {split: [] for split in splits} for layer in row.layers}
    device = next(encoder.buffers()).device
    bar = tqdm(total=total, desc=f"extract {name}", unit="image", mininterval=1, dynamic_ncols=True)
    with bar, ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as pen:
        for split in splits:
            for shard, batches in _batches(shards_dir, split, row.batch, reader):
                with ExitStack() as tars:
                    puts = {layer: tars.enter_context(shards.writer(folder / layer / shard)) for layer in row.layers}
                    writing: list[Future[None]] = []
                    for keys, pixels in batches:
                        with torch.inference_mode():
                            features = encoder(images.to_tensor(pixels).to(device))
                            kept = {layer: _kept(layer, values, row.dtype) for layer, values in features.items()}
                        if len(writing) >= AHEAD:
                            writing.pop(0).result()
                        writing.append(pen.submit(_put, puts, keys, kept))
                        for layer, rounding in errors.items():
                            rounding.add(features[layer], kept[layer])
                        bar.update(len(keys))
                    for rest in writing:
                        rest.result()
                for layer, put in puts.items():
                    written[layer][split].append(put.described())
    return written


class Kept(NamedTuple):
    """Features of a batch as they are stored: values `[N, C, h, w]`, and for 8 bits the scales `[N, 2, C]`."""

    values: npt.NDArray[Any]
    scales: npt.NDArray[np.float32] | None


def _kept(layer: str, values: Tensor, dtype: str) -> Kept:
    if dtype != "uint8":
        return Kept(fitting(layer, values, dtype).contiguous().cpu().numpy(), None)
    values = fitting(layer, values, "float32")
    low, high = values.amin((2, 3), keepdim=True), values.amax((2, 3), keepdim=True)
    steps = (high - low) / 255
    codes = ((values - low) / steps.clamp_min(torch.finfo(torch.float32).tiny)).round().byte()
    scales = torch.stack([steps.flatten(1), low.flatten(1)], dim=1)
    return Kept(codes.contiguous().cpu().numpy(), scales.cpu().numpy())


def fitting(layer: str, values: Tensor, dtype: str) -> Tensor:
    """Features `[N, C, h, w]` in a float type.

    Raises:
        ShardError: they are past its range, or not finite.
    """
    kind: torch.dtype = getattr(torch, dtype)
    flat = values.permute(0, 2, 3, 1).reshape(-1)  # in memory's order: on four dimensions it takes 18 times as long
    low, high = (float(bound) for bound in torch.aminmax(flat))
    limit = torch.finfo(kind).max
    if not -limit <= low <= high <= limit:  # nor if one is NaN
        raise ShardError(
            f"{layer}: features from {low:.4g} to {high:.4g} do not fit into {dtype}"
            + ("; set dtype: float32" if kind == torch.float16 else "")
        )
    return values.to(dtype=kind, memory_format=torch.contiguous_format)


class _Rounding:
    """What rounding to 8 bits does to the features of a layer."""

    def __init__(self) -> None:
        self.squares = self.power = self.largest = 0.0

    def add(self, values: Tensor, kept: Kept) -> None:
        assert kept.scales is not None
        true = values.float().cpu().numpy()
        for feature, codes, scale in zip(true, kept.values, kept.scales, strict=True):
            error = restored(codes, scale) - feature
            self.squares += float(np.square(error, dtype=np.float64).sum())
            self.power += float(np.square(feature, dtype=np.float64).sum())
            self.largest = max(self.largest, float(np.abs(error).max()))

    def described(self) -> dict[str, float]:
        """Root of the mean squared error relative to that of the features, and the largest error of all values."""
        relative = (self.squares / self.power) ** 0.5 if self.power else 0.0
        return {"relative": float(f"{relative:.6g}"), "largest": float(f"{self.largest:.6g}")}


def encoder_of(layers: Sequence[Path], weights: Path) -> Encoder | None:
    """The encoder that computes these layers where they are not stored; None where they are.

    Args:
        layers: folders of the feature store, all of one encoder.
        weights: the encoder's.

    Raises:
        ShardError: the weights are not those that the index names.
        WeightsError: there are none, or they do not fit.
    """
    indices = [shards.load_index(folder) for folder in layers]
    if all(index.get("stored", True) for index in indices):
        return None
    if (found := outputs.sha256(weights)) != indices[0]["weights"]:
        raise ShardError(f"{weights}: its sha256 is {found}, expected {indices[0]['weights']} by {layers[0]}")
    encoder = Encoder(indices[0]["arch"], [index["layer"] for index in indices])
    encoder.load(weights)
    return encoder


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
                raise ShardError(f"{folder}: features of another version of {shards_dir}; run the stage extract")
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
        values = [_array(self.layers[place], position) for position in positions]
        scales = self.scales[place]
        if scales is not None:
            pairs = zip(values, positions, strict=True)
            values = [restored(codes, _array(scales, position)) for codes, position in pairs]
        return torch.from_numpy(np.stack(values))

    def features(self, positions: Sequence[int]) -> list[Tensor]:
        """The features of every layer."""
        if self.encoder is None:
            return [self.layer(place, positions) for place in range(len(self.layers))]
        device = next(self.encoder.buffers()).device
        batches = [positions[start : start + BATCH] for start in range(0, len(positions), BATCH)]
        computed = [self._computed(images.to_tensor(self.pixels(batch)).to(device)) for batch in batches]
        return [torch.cat(layer).cpu() for layer in zip(*computed, strict=True)]

    def observe(self, batch: Mapping[str, Any]) -> list[Tensor]:
        """The features of a training batch: those that it holds, or computed from its images where they are."""
        return batch["features"] if self.encoder is None else self._computed(batch["images"])

    def _computed(self, pixels: Tensor) -> list[Tensor]:
        assert self.encoder is not None
        with torch.no_grad(), torch.autocast(pixels.device.type, enabled=False):
            features = self.encoder.to(pixels.device)(pixels)
        return [fitting(index["layer"], features[index["layer"]], index["dtype"]) for index in self._indices]

    def pixels(self, positions: Sequence[int]) -> npt.NDArray[np.uint8]:
        """The images, 8-bit `[N, H, W, 3]`."""
        return np.stack([np.asarray(images.decode(self.images.bytes(i))) for i in positions])

    def __getitems__(self, positions: list[tuple[int, int]]) -> dict[str, Any]:
        """A training batch: `images` as float32 `[N, 3, H, W]` in [0, 1], and `features` where they are stored."""
        places = [position for _, position in positions]
        stored = {"features": self.features(places)} if self.encoder is None else {}
        return {**stored, "images": images.to_tensor(self.pixels(places))}


def _array(table: shards.Table, position: int) -> npt.NDArray[Any]:
    return from_npy(table.bytes(position), table.keys[position])


class _Read(NamedTuple):
    keys: list[str]
    pixels: npt.NDArray[np.uint8]


def _batches(folder: Path, split: str, size: int, reader: ThreadPoolExecutor) -> Iterator[tuple[str, Iterator[_Read]]]:
    """The batches of each shard of a split, decoded ahead of their use on another thread."""
    table = shards.Table(folder, split)

    def load(start: int, stop: int) -> _Read:
        pixels = [np.asarray(images.decode(table.bytes(place))) for place in range(start, stop)]
        return _Read(table.keys[start:stop], np.stack(pixels))

    def ahead(first: int, end: int) -> Iterator[_Read]:
        starts = range(first, end, size)
        waiting: list[Future[_Read]] = []
        for start in starts:
            waiting.append(reader.submit(load, start, min(start + size, end)))
            if len(waiting) > AHEAD:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()

    first = 0
    for shard in table.index["splits"][split]["shards"]:
        end = first + shard["samples"]
        yield shard["name"], ahead(first, end)
        first = end


def _put(puts: Mapping[str, shards.Put], keys: list[str], features: Mapping[str, Kept]) -> None:
    for layer, put in puts.items():
        values, scales = features[layer]
        for number, key in enumerate(keys):
            put(f"{key}.npy", to_npy(values[number]))
            if scales is not None:
                put(f"{key}.{SCALE}.npy", to_npy(scales[number]))
