"""Extraction: one forward pass an image for the features of all layers, kept as tars beside the image shards.

A row with `store: false` has indexes alone: whoever reads its features computes them from the images, with the same
network, rounded to the same number type. Each layer's folder also holds the encoder, cut off after that layer.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from afterimage.core import devices, images, layout, outputs, shards, weights
from afterimage.core.arrays import SCALE, restored, stored_bytes, to_npy
from afterimage.core.errors import ShardError
from afterimage.observations.features import graphs
from afterimage.observations.features.encoders import Encoder
from afterimage.observations.features.row import Row
from afterimage.observations.features.store import ENCODER, Kept, kept, places
from afterimage.validation import checks

AHEAD = 2
"""Batches that are read before, and written after, the one that the network works on."""


def write(row: Row, name: str, shards_dir: Path, out_dir: Path) -> None:
    """Extract the features of all layers of a row and hold them against the images, layer by layer.

    Raises:
        WeightsError: the file that the row names is missing or damaged.
        LayerError: the network has no such layer.
        ShardError, SpaceError: as `extract`.
        CheckError: features are not finite or do not match their images; nothing is left at `out_dir`.
    """
    path = Path(row.path)
    encoder = Encoder(weights.read_about(path)["arch"], row.layers, defence=row.defence or ())
    origin = encoder.load(path)["origin"]
    hashed = {"weights": outputs.sha256(path), "weights_origin": origin}
    about = {"arch": encoder.arch, **hashed, **encoder.normalisation}
    with outputs.folder(out_dir) as folder:
        extract(encoder, row, name, about, shards_dir, folder)
        gates = [checks.check_features(row.encoder, layer, folder / layer, shards_dir) for layer in row.layers]
        outputs.write_json(folder / layout.GATES, {"gates": gates})


def extract(encoder: Encoder, row: Row, name: str, about: dict[str, Any], shards_dir: Path, folder: Path) -> None:
    """Write the features of all layers of an encoder, with one forward pass an image.

    Reading, the network and writing overlap, and no more than a few batches are in memory at once. A batch never
    spans two shards, so that a shard's features follow from that shard alone.

    Args:
        name: of the row.
        about: goes into each index, beside what the features themselves tell.
        shards_dir: image shards, as `shards` describes them.
        folder: gets a folder a layer, with tars of the same names as those of the images.

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
        outputs.require_room(folder, needed, f"features of {name} for {total} images")
    errors = {layer: _Rounding() for layer in row.layers} if row.dtype == "uint8" else {}
    written = _written(encoder, row, name, shards_dir, folder, errors) if row.store else {}
    for layer in row.layers:
        store = {
            "observation": name,
            "kind": row.kind,
            "encoder": row.encoder,
            "layer": layer,
            "node": encoder.nodes[layer],
            "dataset": row.dataset,
            "size": index["size"],
            "dtype": row.dtype,
            "shape": shapes[layer],
            "images": outputs.sha256(shards_dir / "index.json"),
            **({"error": errors[layer].described()} if layer in errors else {}),
            **({"defence": [step.model_dump() for step in encoder.defence]} if encoder.defence else {}),
            **({} if row.store else {"stored": False}),
            **about,
        }
        (folder / layer).mkdir(exist_ok=True)
        shards.write_index(folder / layer, store, written.get(layer, {}))
        keys = graphs.weights(encoder.body, layer) or Encoder(encoder.arch, [layer]).body.state_dict()
        state = {key: value for key, value in encoder.body.state_dict().items() if key in keys}
        origin, graph = about.get("weights_origin", ""), graphs.described(encoder.body, layer)
        own = {"arch": encoder.arch, "origin": origin, "graph": graph, **encoder.normalisation}
        weights.save(folder / layer / ENCODER, state, own)


def _shapes(encoder: Encoder, size: int, device: torch.device) -> dict[str, list[int]]:
    """The shape `[C, h, w]` of each layer's features."""
    with torch.inference_mode():
        features = encoder(torch.zeros(1, 3, size, size, device=device))
    for layer, values in features.items():
        if values.ndim != 4:
            raise ShardError(f"{layer}: features of shape {list(values.shape)}, expected maps [N, C, H, W]")
    return {layer: list(values.shape[1:]) for layer, values in features.items()}


def _written(
    encoder: Encoder, row: Row, name: str, shards_dir: Path, folder: Path, errors: Mapping[str, "_Rounding"]
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
                            features = encoder(images.to_tensor(pixels).to(device), keys)
                            rounded = {layer: kept(layer, values, row.dtype) for layer, values in features.items()}
                        if len(writing) >= AHEAD:
                            writing.pop(0).result()
                        writing.append(pen.submit(_put, puts, keys, rounded))
                        for layer, rounding in errors.items():
                            rounding.add(features[layer], rounded[layer])
                        bar.update(len(keys))
                    for rest in writing:
                        rest.result()
                for layer, put in puts.items():
                    written[layer][split].append(put.described())
    return written


class _Rounding:
    """What rounding to 8 bits does to the features of a layer."""

    def __init__(self) -> None:
        self.squares = self.power = self.largest = 0.0

    def add(self, values: Tensor, kept: Kept) -> None:
        import cv2

        assert kept.scales is not None
        true = places(values.float().cpu()).numpy()
        for features, codes, scale in zip(true, kept.values, kept.scales, strict=True):
            error = restored(cv2.transpose(codes.reshape(len(codes), -1)), scale) - features
            self.squares += cv2.norm(error, cv2.NORM_L2SQR)  # sums in double precision
            self.power += cv2.norm(features, cv2.NORM_L2SQR)
            self.largest = max(self.largest, cv2.norm(error, cv2.NORM_INF))

    def described(self) -> dict[str, float]:
        """Root of the mean squared error relative to that of the features, and the largest error of all values."""
        relative = (self.squares / self.power) ** 0.5 if self.power else 0.0
        return {"relative": float(f"{relative:.6g}"), "largest": float(f"{self.largest:.6g}")}


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
            put(f"{key}.npy", *to_npy(values[number]))
            if scales is not None:
                put(f"{key}.{SCALE}.npy", *to_npy(scales[number]))
