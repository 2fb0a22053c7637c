"""Extraction: one forward pass an image for the features of all layers, kept as tars beside the image shards.

A row with `store: false` has indexes alone: whoever reads its features computes them from the images, with the same
network, rounded to the same number type. Each layer's folder also holds the encoder, cut off after that layer.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from afterimage.core import devices, engine, images, layout, outputs, shards, weights
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
    written = _written(encoder, row, name, shards_dir, folder) if row.store else {}
    errors = {
        layer: _Rounding.sum(each.rounding for each in written[layer]) for layer in written if row.dtype == "uint8"
    }
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
        splits: dict[str, list[shards.Shard]] = {split: [] for split in index["splits"]} if layer in written else {}
        for tar in written.get(layer, []):
            splits[tar.split].append(tar.shard)
        shards.write_index(folder / layer, store, splits)
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


class _Tar(NamedTuple):
    """A tar of a layer's features, and what rounding did to them."""

    split: str
    shard: shards.Shard
    rounding: "_Rounding"


def _written(encoder: Encoder, row: Row, name: str, shards_dir: Path, folder: Path) -> dict[str, list[_Tar]]:
    """Write all tars; returns them by layer."""
    tars = [
        (split, *tar) for split in shards.load_index(shards_dir)["splits"] for tar in shards.tars(shards_dir, split)
    ]
    files = engine.Files(
        reads=lambda tar: [engine.Piece(tar[1])],
        writes=lambda tar: [folder / layer / tar[1].name for layer in row.layers],
    )
    work = _Extraction(row, folder, encoder)
    made = engine.map(work, tars, jobs=1, label=f"extract {name}", total=len(tars), files=files, device="auto")
    return {layer: list(each) for layer, each in zip(row.layers, zip(*made, strict=True), strict=True)}


@dataclass
class _Extraction:
    """Extracts the features of a tar, on the device of the process to which this is sent."""

    row: Row
    folder: Path
    encoder: Encoder

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "encoder": copy.deepcopy(self.encoder).cpu()}

    def __call__(self, tar: tuple[str, Path, shards.Shard]) -> list[_Tar]:
        """Write the features of each layer of a tar of images, to tars of the same name."""
        split, path, shard = tar
        row, device = self.row, devices.choose("auto")
        self.encoder.to(device).eval()  # a graph that was sent is in training mode
        errors = {layer: _Rounding() for layer in row.layers}
        with ExitStack() as opened:
            pen = opened.enter_context(ThreadPoolExecutor(1))
            puts = {layer: opened.enter_context(shards.writer(self.folder / layer / path.name)) for layer in row.layers}
            writing: list[Future[None]] = []
            for keys, pixels in _batches(path, shard, row.batch):
                with torch.inference_mode():
                    features = self.encoder(images.to_tensor(pixels).to(device), keys)
                    rounded = {layer: kept(layer, values, row.dtype) for layer, values in features.items()}
                if len(writing) >= AHEAD:
                    writing.pop(0).result()
                writing.append(pen.submit(_put, puts, keys, rounded))
                if row.dtype == "uint8":
                    for layer, rounding in errors.items():
                        rounding.add(features[layer], rounded[layer])
            for rest in writing:
                rest.result()
        return [_Tar(split, put.described(), errors[layer]) for layer, put in puts.items()]


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

    @classmethod
    def sum(cls, parts: Iterable[Self]) -> Self:
        """What it does to all of some parts."""
        whole = cls()
        for part in parts:
            whole.squares, whole.power = whole.squares + part.squares, whole.power + part.power
            whole.largest = max(whole.largest, part.largest)
        return whole

    def described(self) -> dict[str, float]:
        """Root of the mean squared error relative to that of the features, and the largest error of all values."""
        relative = (self.squares / self.power) ** 0.5 if self.power else 0.0
        return {"relative": float(f"{relative:.6g}"), "largest": float(f"{self.largest:.6g}")}


class _Read(NamedTuple):
    keys: list[str]
    pixels: npt.NDArray[np.uint8]


def _batches(path: Path, shard: shards.Shard, size: int) -> Iterator[_Read]:
    """The batches of a tar of images, decoded ahead of their use on another thread."""
    samples = shards.read_tar(path, shard)

    def load(count: int | None) -> _Read:
        keys, found = zip(*((key, data) for key, data, _ in islice(samples, count)), strict=True)
        return _Read(list(keys), np.stack([np.asarray(images.decode(data)) for data in found]))

    batches = -(-shard["samples"] // size)
    counts = [size if number < batches - 1 else None for number in range(batches)]  # the last sees the tar's end
    return engine.ahead(load, counts, AHEAD)


def _put(puts: Mapping[str, shards.Put], keys: list[str], features: Mapping[str, Kept]) -> None:
    for layer, put in puts.items():
        values, scales = features[layer]
        for number, key in enumerate(keys):
            put(f"{key}.npy", *to_npy(values[number]))
            if scales is not None:
                put(f"{key}.{SCALE}.npy", *to_npy(scales[number]))
