"""Whether a person can still be told from a stranger: the pair test of face verification on what comes back.

A rebuilt photograph is compared with the original photographs of everybody. After Mai et al., "On the reconstruction of
face images from deep face templates" (TPAMI 2019), there are two questions: whether it is like another photograph of
the same person (their type-II attack, `person` here), and whether it is like the photograph that it was made of (type
I, `itself`). Strangers are all photographs of other people.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from afterimage.core import images
from afterimage.core.errors import MetricError, WeightsError
from afterimage.core.images import Uint8
from afterimage.core.parsing import parsing
from afterimage.evaluation.metrics import Floats, Lpips

FALSE_ACCEPTS = 0.01
"""The share of strangers that the threshold lets through."""
TOGETHER = 32


class Network(NamedTuple):
    """A network that says how alike two people look."""

    words: str
    knows_people: bool
    """Whether it was made to tell people apart, as far as is known."""
    sha256: str
    """Of its weights."""
    embed: Callable[[Uint8], Floats]
    """From images `[N, H, W, 3]` to features `[N, D]`."""


class Verified(NamedTuple):
    """Pairs of the same person, each held against all pairs of strangers."""

    people: list[str]
    """Whose pair it is."""
    above: Floats
    """The share of stranger pairs that are less alike, ties by half: its mean is the area under the ROC curve."""
    accepted: Floats
    """1 where the pair passes the threshold that lets a hundredth of the stranger pairs through."""
    strangers: int
    """How many pairs of strangers there are."""


def verify(queries: Floats, gallery: Floats, people: Sequence[str], itself: bool) -> Verified:
    """Compare what comes back, `queries` `[N, D]`, with the originals, `gallery` `[N, D]`, by the cosine of features
    less the mean of the originals'.

    Args:
        people: who is on each.
        itself: whether a pair is a rebuilt photograph and the photograph that it was made of, rather than another one
            of its person.

    Raises:
        MetricError: all are of one person.
    """
    if len(set(people)) < 2:
        raise MetricError(f"all photographs are of {people[0]}; telling people apart takes two or more")
    mean = gallery.mean(axis=0)
    similar = _directions(queries - mean) @ _directions(gallery - mean).T
    who = np.asarray(people)
    same, own = who[:, None] == who[None], np.eye(len(who), dtype=bool)
    strangers = np.sort(similar[~same])
    pairs = own if itself else same & ~own
    found = similar[pairs]
    below, upto = (np.searchsorted(strangers, found, side=side) for side in ("left", "right"))
    threshold = strangers[len(strangers) - 1 - int(FALSE_ACCEPTS * len(strangers))]
    return Verified(
        [str(name) for name in who[np.nonzero(pairs)[0]]],
        (below + upto) / (2 * len(strangers)),
        (found > threshold).astype(np.float64),
        len(strangers),
    )


def of_file(path: Path, values: tuple[float, float], colours: str, device: torch.device) -> Network:
    """A network that is given as an ONNX file: one image `[N, 3, h, w]` or `[N, h, w, 3]` of the size that the file
    says, and its first answer, `[N, D]`, is what is compared.

    Args:
        values: black and white as it takes them.
        colours: `rgb` or `bgr`.

    Raises:
        WeightsError: it is no such file.
    """
    from afterimage.reconstructors.external import asking, onnx
    from afterimage.reconstructors.external.row import Declared

    data = path.read_bytes()
    graph = onnx.Graph(data, str(path), device)
    shape = list(graph.inputs[0].shape)
    channels = shape.index(3) if len(shape) == 4 and 3 in shape[1::2] else 0
    sides = [side for place, side in enumerate(shape) if place not in (0, channels)]
    if len(graph.inputs) != 1 or not channels or not all(isinstance(side, int) for side in sides):
        raise WeightsError(f"{path}: takes {shape}; expected one image, [N, 3, h, w] or [N, h, w, 3], of a fixed size")
    row = Declared.model_validate(
        {"range": list(values), "colours": colours, "layout": "nchw" if channels == 1 else "nhwc"}
    )

    size = (sides[0], sides[1])
    step = 1 if isinstance(shape[0], int) else TOGETHER

    def embed(pixels: Uint8) -> Floats:
        found = []
        for start in range(0, len(pixels), step):
            image = asking.resized(images.to_tensor(pixels[start : start + step]), size).clamp(0, 1)
            with parsing(WeightsError, f"{path}: failed on images of {size[1]} x {size[0]} px"):
                found.append(graph(asking.declared(row, [image], "frames")).flatten(1))
        return np.asarray(torch.cat(found).double().numpy())

    return Network(f"{path.name}, {size[1]} x {size[0]} px", True, hashlib.sha256(data).hexdigest(), embed)


def of_trunk(lpips: Lpips) -> Network:
    """The network under LPIPS, which was not made to tell people apart."""
    trained = "ImageNet weights" if lpips.name == "lpips" else "random weights"
    return Network(f"AlexNet with {trained}", False, lpips.weights, lpips.embed)


def _directions(features: Floats) -> Floats:
    return np.asarray(features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12))
