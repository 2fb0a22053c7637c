"""The feature store: features of each layer as tars beside the image shards, joined to them by key."""

import io
from collections.abc import Iterator, Sequence
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
from afterimage.observations.encoders import Encoder, EncoderRow

AHEAD = 2
"""Batches that are read before, and written after, the one that the network works on."""


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
    """
    device = devices.choose("auto")
    encoder.to(device)
    index = shards.load_index(shards_dir)
    total = sum(split["samples"] for split in index["splits"].values())
    written: dict[str, dict[str, list[shards.Shard]]] = {
        layer: {split: [] for split in index["splits"]} for layer in row.layers
    }
    shapes: dict[str, list[int]] = {}
    bar = tqdm(total=total, desc=f"extract {name}", unit="image", mininterval=1, dynamic_ncols=True)
    with bar, outputs.folder(out_dir) as folder, ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as pen:
        for split in index["splits"]:
            for shard, batches in _batches(shards_dir, split, row.batch, reader):
                with ExitStack() as tars:
                    puts = {layer: tars.enter_context(shards.writer(folder / layer / shard)) for layer in row.layers}
                    writing: list[Future[None]] = []
                    for keys, pixels in batches:
                        features = _forward(encoder, images.to_tensor(pixels).to(device), row, shapes)
                        if len(writing) >= AHEAD:
                            writing.pop(0).result()
                        writing.append(pen.submit(_put, puts, keys, features))
                        bar.update(len(keys))
                    for rest in writing:
                        rest.result()
                for layer in row.layers:
                    written[layer][split].append(shards.describe(folder / layer / shard))
        for layer in row.layers:
            store = {
                "encoder": name,
                "layer": layer,
                "node": encoder.nodes[layer],
                "dataset": row.dataset,
                "dtype": row.dtype,
                "shape": shapes[layer],
                "images": outputs.sha256(shards_dir / "index.json"),
                **about,
            }
            shards.write_index(folder / layer, store, written[layer])


def to_npy(array: npt.NDArray[Any]) -> bytes:
    """An array as the bytes of a .npy file."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def from_npy(data: bytes, name: str) -> npt.NDArray[Any]:
    """The array in the bytes of a .npy file, without a copy; it cannot be written to.

    Raises:
        ShardError: the bytes are no such file, or too few.
    """
    stream = io.BytesIO(data)
    try:
        np.lib.format.read_magic(stream)
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        if fortran or dtype.hasobject:
            raise ValueError("expected rows of plain numbers")
        return np.frombuffer(data, dtype, offset=stream.tell()).reshape(shape)
    except ValueError as error:
        raise ShardError(f"{name}: not an array: {error}") from None


class FeaturePairs:
    """The features of one or more layers with the images they came from, by position.

    Args:
        layers: folders of the feature store, one a layer.
        shards_dir: the image shards.

    Raises:
        ShardError: the folders do not hold the same keys in the same order.
    """

    def __init__(self, layers: Sequence[Path], shards_dir: Path, split: str):
        self.images = shards.Table(shards_dir, split)
        self.layers = [shards.Table(folder, split) for folder in layers]
        for folder, table in zip(layers, self.layers, strict=True):
            if table.keys != self.images.keys:
                pairs = zip(table.keys, self.images.keys, strict=False)
                first = next((pair for pair in pairs if pair[0] != pair[1]), (len(table), len(self.images)))
                raise ShardError(
                    f"{folder}: {split} does not match {shards_dir}: found {first[0]}, expected {first[1]}"
                )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def keys(self) -> list[str]:
        return self.images.keys

    def layer(self, place: int, positions: Sequence[int]) -> Tensor:
        """Features `[N, C, h, w]` of one layer, in the precision that is on disk."""
        table = self.layers[place]
        return torch.from_numpy(np.stack([from_npy(table.bytes(i), table.keys[i]) for i in positions]))

    def features(self, positions: Sequence[int]) -> list[Tensor]:
        """The features of every layer."""
        return [self.layer(place, positions) for place in range(len(self.layers))]

    def pixels(self, positions: Sequence[int]) -> npt.NDArray[np.uint8]:
        """The images, 8-bit `[N, H, W, 3]`."""
        return np.stack([np.asarray(images.decode(self.images.bytes(i))) for i in positions])

    def __getitems__(self, positions: list[tuple[int, int]]) -> dict[str, Any]:
        """A training batch: `features`, and `images` as float32 `[N, 3, H, W]` in [0, 1]."""
        places = [position for _, position in positions]
        return {"features": self.features(places), "images": images.to_tensor(self.pixels(places))}


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


def _forward(encoder: Encoder, pixels: Tensor, row: EncoderRow, shapes: dict[str, list[int]]) -> dict[str, Any]:
    with torch.inference_mode():
        features = encoder(pixels)
    kept = {}
    for layer, values in features.items():
        if values.ndim != 4:
            raise ShardError(f"{layer}: features of shape {list(values.shape)}, expected maps [N, C, H, W]")
        dtype = getattr(torch, row.dtype)
        flat = values.permute(0, 2, 3, 1).reshape(
            -1
        )  # the order in memory: on four dimensions this takes 18 times as long
        low, high = (float(bound) for bound in torch.aminmax(flat))
        limit = torch.finfo(dtype).max
        if not -limit <= low <= high <= limit:  # nor if one is NaN
            raise ShardError(
                f"{layer}: features from {low:.4g} to {high:.4g} do not fit into {row.dtype}"
                + ("; set dtype: float32" if dtype == torch.float16 else "")
            )
        shapes.setdefault(layer, list(values.shape[1:]))
        kept[layer] = values.to(dtype=dtype, memory_format=torch.contiguous_format).cpu().numpy()
    return kept


def _put(puts: dict[str, Any], keys: list[str], features: dict[str, npt.NDArray[Any]]) -> None:
    for layer, put in puts.items():
        for key, array in zip(keys, features[layer], strict=True):
            put(f"{key}.npy", to_npy(array))
