"""Attackers: the rows of a project, and of its zoo, that rebuild images from the features of an encoder.

Each knows the encoder and the defence. A trained row also saw other photographs with their features (He et al., "Model
inversion attacks against collaborative inference", ACSAC 2019, call that the black-box setting); a search needs none
(their white-box setting; Mahendran and Vedaldi, "Understanding deep image representations by inverting them", 2015).
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from afterimage import observations, reconstructors
from afterimage.core import arrays, devices, images, layout, params, zoo
from afterimage.core.errors import ParamsError
from afterimage.core.images import Uint8
from afterimage.observations.features import Features, defences, store

if TYPE_CHECKING:
    from afterimage.reconstructors import Reconstructor

KIND = "features"
START = "decoder"
"""In a row of `searches`, the trained row that it starts from, and the reconstructor that is this row: measured as such
already."""
MOST = 32
"""Photographs that go through an encoder at once."""
GRID = 2
"""Places a side to which a probe's features are pooled."""


class Known(NamedTuple):
    """What is kept of an image, which several rows may attack."""

    layers: str
    dtype: str
    defence: str
    """In words; empty for none."""
    weights: str
    """The architecture of the encoder, and where its weights are from."""
    size: int
    bytes: int
    """What the features of one image take on disk."""


class Attackers:
    """A row with its reconstructors, and the encoder whose features it rebuilds images from.

    Raises:
        WeightsError: the row is not trained here, or not whole.
    """

    def __init__(self, project: Path, name: str, device: devices.Name):
        self.name = name
        self._loaded = reconstructors.load(project, name, device)
        self._given = self._loaded.card["given"]
        first = self._given[0]
        self.known = Known(
            layers=" + ".join(index["layer"] for index in self._given),
            dtype=first["dtype"],
            defence=defences.described(defences.read(first.get("defence"))),
            weights=_weights(first),
            size=self._loaded.card["size"],
            bytes=sum(arrays.stored_bytes(index["shape"], index["dtype"], 1) for index in self._given),
        )
        self.device = devices.choose(device)
        self._encoder = store.encoder(self._loaded.folder, self._given).to(self.device)

    def cases(self) -> dict[str, "Reconstructor"]:
        """Its reconstructors, by what a table calls them."""
        there = self._loaded.reconstructors
        return {case or self._loaded.row.kind: each for case, each in there.items() if case != START}

    def rebuilt(self, reconstructor: "Reconstructor", keys: Sequence[str], originals: Uint8) -> Uint8:
        """What comes back of images `[N, H, W, 3]` from what would be stored of them."""
        together = min(self._loaded.row.together, len(keys))
        parts = []
        for start in range(0, len(keys), together):
            names, some = keys[start : start + together], originals[start : start + together]
            given = Features(names, (originals.shape[1], originals.shape[2]), self._features(names, some))
            parts.append(images.to_uint8(reconstructor(given).images))
        return np.concatenate(parts)

    def pooled(self, keys: Sequence[str], originals: Uint8) -> npt.NDArray[np.float32]:
        """The stored features of images as a probe takes them, `[N, D]`: means over 2 x 2 places of each channel."""
        found = []
        for start in range(0, len(keys), MOST):
            layers = self._features(keys[start : start + MOST], originals[start : start + MOST])
            means = [torch.nn.functional.adaptive_avg_pool2d(layer.float(), GRID).flatten(1) for layer in layers]
            found.append(torch.cat(means, 1).cpu().numpy())
        return np.concatenate(found)

    def _features(self, keys: Sequence[str], originals: Uint8) -> list[Tensor]:
        """The features of each layer, defended and rounded as they are stored."""
        layers: list[list[Tensor]] = [[] for _ in self._given]
        for start in range(0, len(keys), MOST):
            pixels = images.to_tensor(originals[start : start + MOST]).to(self.device)
            with torch.no_grad():
                seen = self._encoder(pixels, keys[start : start + MOST])
            for place, index in enumerate(self._given):
                layers[place].append(store.kept(index["layer"], seen[index["layer"]], index["dtype"]).read())
        return [torch.cat(parts).to(self.device) for parts in layers]


def _weights(index: Mapping[str, Any]) -> str:
    origin = str(index["weights_origin"])
    return f"{index['arch']}, {origin}{': an untrained network' if origin.startswith('random') else ''}"


def rows(project: Path, encoder: str, searches: bool) -> tuple[list[str], list[str]]:
    """The rows that attack an encoder and can be used, and those that are not trained here.

    Args:
        encoder: a row of `encoders`.
        searches: whether rows of `searches` are wanted, too.

    Raises:
        ParamsError: there is no such encoder, or no row that attacks it.
    """
    path = project / "params.yaml"
    there = [row for row in _of_project(path, searches) if row.encoder == encoder]
    ready = [row.name for row in there if (project / layout.model(row.trained) / "card.json").is_file()]
    waiting = [row.name for row in there if row.name not in ready]
    ready += [name for name, of in _of_zoo(project) if of == encoder]
    if not ready:
        known = params.load(path).get("encoders") or {}
        if encoder not in known:
            raise ParamsError(f"{path}: there is no encoder `{encoder}`; there are {', '.join(known) or 'none'}")
        if waiting:
            raise ParamsError(f"{', '.join(waiting)}: not trained here; `dvc repro` trains them, `dvc pull` fetches")
        raise ParamsError(f"{path}: no row of `reconstructors` observes features of `{encoder}`")
    return ready, waiting


class _Row(NamedTuple):
    """A row that observes features."""

    name: str
    encoder: str
    trained: str
    """The row that has to be trained for it: itself, or of a search the `decoder` that it starts from."""


def _of_project(path: Path, searches: bool) -> Iterator[_Row]:
    data = params.load(path)
    for section in reconstructors.SECTIONS if searches else reconstructors.SECTIONS[:1]:
        for name in data.get(section) or {}:
            row = params.resolved(data, path, section, name)
            if row.get("observes") == KIND:
                given = params.resolved(data, path, "observations", observations.row_of(row["observation"]))
                yield _Row(name, Path(given["path"]).stem, row.get(START, name))


def _of_zoo(project: Path) -> Iterator[tuple[str, str]]:
    for name in zoo.names(project):
        card = zoo.card(project, name)
        if card["observes"] == KIND:
            yield name, card["given"][0]["encoder"]
