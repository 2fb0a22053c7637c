"""Rows of `inversions`: test images searched from the features of one layer. `search` has the method.

Each row gives up to three reconstructions of the same test images: `decoder`, what a trained decoder makes of the
features at once; `optimisation`, searched from the features alone; and `hybrid`, searched from what the decoder made.
"""

import inspect
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor
from tqdm import tqdm

from afterimage import devices, images, outputs, shards
from afterimage.errors import ParamsError, ShardError
from afterimage.evaluation import VALUES
from afterimage.observations.encoders import Encoder
from afterimage.observations.features import FeaturePairs
from afterimage.reconstructors import decoder as decoders
from afterimage.reconstructors import descent, parametrisations, priors, search
from afterimage.reconstructors.checkpoint import Checkpoint
from afterimage.reconstructors.search import Found, Inverter, Settings

FAMILY = "inversions"
METHODS = ("decoder", "optimisation", "hybrid")
ERROR = "feature_error"


class InversionRow(Settings):
    """A row of `inversions`: a layer, and how images are searched from its features."""

    dataset: str
    encoder: str
    layer: str
    features: str
    """The part of the feature store that the row depends on: `<encoder>/<layer>`."""
    decoder: str
    """The row of `decoders` that starts the hybrid."""
    images: int = Field(gt=0)
    """How many test images: evenly spaced over their sorted keys."""

    @model_validator(mode="after")
    def _depends_on_what_it_reads(self) -> Self:
        if self.features != f"{self.encoder}/{self.layer}":
            raise ValueError(f"features should be '{self.encoder}/{self.layer}', found {self.features!r}")
        return self


class Places(NamedTuple):
    """Where a row reads and writes."""

    features: Path
    """The layer's folder of the feature store."""
    shards: Path
    model: Path
    """The decoder's folder."""
    out: Path
    """Gets a folder of shards for each method, with a table of its feature errors beside the images."""
    state: Path
    """Outside the outputs: the checkpoint, and the seconds an image."""


def reconstruct(name: str, row: InversionRow, encoder: Encoder, places: Places) -> list[str]:
    """Search some images of the test split from their features.

    The feature error in the tables is that of the 8-bit image that is kept; `steps` and `converged` (1 or 0) tell how
    a search ended.

    Args:
        encoder: with the weights that the features were extracted with.

    Returns:
        The keys of the images.

    Raises:
        ParamsError: the row's decoder reads other layers, or the row is of another data set than the features.
        ShardError: features, weights and decoder do not belong together.
    """
    devices.be_deterministic()
    index = shards.load_index(places.features)
    if index["dataset"] != row.dataset:
        raise ParamsError(
            f"inversions.{name}.dataset: {row.dataset!r}, but the features of {row.encoder} are of {index['dataset']!r}"
        )
    side = shards.load_index(places.shards)["size"]
    pairs = FeaturePairs([places.features], places.shards, "test", encoder)
    positions = spread(pairs.keys, row.images)
    keys = [pairs.keys[position] for position in positions]
    features = pairs.layer(0, positions)
    inverter = Inverter(encoder.to(devices.choose(row.device)), row.layer, row, (side, side))
    checkpoint = Checkpoint(places.state / "checkpoint.pt", _identity(name, row, index, keys, places.model))
    seconds: dict[str, float] = {}
    begun: Tensor | None = None
    with outputs.folder(places.out) as folder:
        for method in METHODS:
            started = time.monotonic()
            found: list[Found] = []
            if method == "decoder":
                where = f"inversions.{name}.decoder"
                result = begun = decoded(where, places.model, row.features, index["weights"], features, (side, side))
            else:
                starts = begun if method == "hybrid" else None
                found = inverter(keys, features, starts, checkpoint, f"{name} {method}")
                result = torch.stack([one.image for one in found])
            seconds[method] = (time.monotonic() - started) / len(keys)
            pixels = images.to_uint8(result)
            errors = inverter.errors(images.to_tensor(pixels), features).tolist()
            _write_images(folder / method, keys, pixels, {"row": name, "dataset": row.dataset, "size": side})
            _write_values(folder / method / VALUES, keys, errors, found)
            if hasty := sum(not one.converged for one in found):
                tqdm.write(f"{name} {method}: {hasty} of {len(keys)} searches not converged after {row.steps} steps")
    outputs.write_json(places.state / "seconds.json", {"seconds_an_image": seconds})
    checkpoint.forget()
    return keys


def spread(keys: Sequence[str], count: int) -> list[int]:
    """The positions of so many keys, evenly spaced over all of them in sorted order."""
    count = min(count, len(keys))
    order = sorted(range(len(keys)), key=lambda position: keys[position])
    return [order[(2 * number + 1) * len(keys) // (2 * count)] for number in range(count)]


def decoded(
    where: str, model_dir: Path, features_of: str, weights: str, features: Tensor, size: tuple[int, int]
) -> Tensor:
    """What a trained decoder makes of features: float32 `[N, 3, H, W]`, on the CPU.

    Args:
        where: the parameter that names the decoder, for messages.
        features_of: `<encoder>/<layer>`.
        weights: the sha256 of that encoder's weights.

    Raises:
        ParamsError: the decoder reads other layers.
        ShardError: the decoder was trained on features from other weights.
    """
    network, card = decoders.load(model_dir)
    reads = " + ".join(f"{card['encoder']}/{tap['layer']}" for tap in card["taps"])
    if reads != features_of:
        raise ParamsError(f"{where}: {model_dir.name!r} decodes {reads}, expected {features_of}")
    if card["weights"] != weights:
        raise ShardError(f"{features_of}: features from other weights than {model_dir} decodes; run dvc repro")
    with torch.inference_mode():
        found = torch.cat([network([part.float()], size) for part in features.split(8)])
    return found.clone()  # the search needs slopes, which a tensor of inference mode cannot have


def _identity(name: str, row: InversionRow, index: shards.Index, keys: Sequence[str], model: Path) -> dict[str, Any]:
    """All that the result depends on, the code among it."""
    return {
        "name": name,
        "row": row.model_dump(),
        "features": index,
        "keys": list(keys),
        "decoder": outputs.sha256(model / "model.safetensors"),
        "code": [inspect.getsource(module) for module in (search, descent, parametrisations, priors)],
    }


def _write_images(folder: Path, keys: Sequence[str], pixels: images.Uint8, about: dict[str, Any]) -> None:
    path = folder / "test-000000.tar"
    with shards.writer(path) as put:
        for key, image in zip(keys, pixels, strict=True):
            put(f"{key}.png", images.encode_png(image))
    shards.write_index(folder, {"family": FAMILY, **about}, {"test": [shards.describe(path)]})


def _write_values(path: Path, keys: Sequence[str], errors: Sequence[float], found: Sequence[Found]) -> None:
    columns = ["key", ERROR, *(("steps", "converged") if found else ())]
    ends = [[one.steps, int(one.converged)] for one in found] or [[] for _ in keys]
    lines = ([key, f"{error:.6g}", *end] for key, error, end in zip(keys, errors, ends, strict=True))
    outputs.write_csv(path, columns, lines)
