"""Anybody's outputs scored without a pipeline: against their originals, beside the baselines on the same images.

Images, originals, masks and inputs belong together by their names. The numbers are those of a row: the same
definitions, bootstrap intervals over images, and the paired difference to the best baseline.
"""

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from afterimage.core import images, outputs, weights
from afterimage.core.errors import AfterimageError, ImageError, MetricError
from afterimage.core.images import Uint8
from afterimage.evaluation.metrics import Floats, Interval, Lpips, MetricsRow, bootstrap
from afterimage.evaluation.results import METRICS

if TYPE_CHECKING:
    from afterimage.observations.holes.masks import Mask, Missing

Files = Mapping[str, Path]
"""Images of a folder by their names: paths in it without the extension."""
PLAIN, HOLES = "plain", "holes"
MAIN = {PLAIN: "psnr", HOLES: "hole_psnr"}
"""The metric that says which baseline is the best."""
ENLARGED = ("identity", "bicubic")
"""What can be had of an input without learning and without training pairs."""


class Pair(NamedTuple):
    """An image, and what it is scored by."""

    name: str
    image: Path
    original: Path
    mask: Path | None
    input: Path | None


class Scores(NamedTuple):
    """What was measured of outputs and of baselines, on the same images."""

    columns: Mapping[str, Mapping[str, Floats]]
    """Of the outputs under the name `images`, then of each baseline: a number an image, by metric."""
    strayed: float
    """How far the outputs' known pixels are from the original's on average, white = 1; 0 without masks."""
    lpips: str
    """Where the weights under LPIPS are from."""


def pairs(found: Files, originals: Files, masks: Files | None = None, inputs: Files | None = None) -> list[Pair]:
    """Each image with its partners, in the order of their names; `faults` has said that all of them have some."""
    return [
        Pair(name, found[name], originals[name], (masks or {}).get(name), (inputs or {}).get(name)) for name in found
    ]


def faults(found: Files, partners: Mapping[str, Files]) -> Iterator[str]:
    """A line for each image without a partner, and for each partner without an image.

    Args:
        partners: by what they are called, such as `original`.
    """
    for what, files in partners.items():
        for name in sorted(found.keys() - files.keys()):
            yield f"{found[name]}: has no {what} {name}.*"
        for name in sorted(files.keys() - found.keys()):
            yield f"{files[name]}: this {what} is of no image; {name}.* is missing"


class Read(NamedTuple):
    """The pixels of a pair, and its mask."""

    image: Uint8
    original: Uint8
    mask: "Mask | None"
    input: Uint8 | None


def read(pair: Pair, missing: "Missing") -> Read:
    """Read a pair.

    Args:
        missing: the colour of what is missing in masks.

    Raises:
        ImageError: a file is no image, or the output is not of its original's size.
        HoleError: the mask is none, or not of that size.
    """
    from afterimage.observations.holes import masks

    found, original = _pixels(pair.image), _pixels(pair.original)
    if found.shape != original.shape:
        sizes = [f"{pixels.shape[1]} x {pixels.shape[0]} px" for pixels in (found, original)]
        raise ImageError(f"{pair.image}: is {sizes[0]}, and its original {sizes[1]}")
    mask = None
    if pair.mask is not None:
        told = masks.read(pair.mask.read_bytes(), str(pair.mask), missing)
        mask = masks.check(told, original.shape[0], original.shape[1], str(pair.mask))
    return Read(found, original, mask, None if pair.input is None else _pixels(pair.input))


def methods(masked: bool, inputs: bool) -> list[str]:
    """The baselines that there are, the simplest first."""
    from afterimage.evaluation.baselines import holes

    return list(holes.METHODS) if masked else list(ENLARGED) if inputs else []


def score(items: Iterator[tuple[Pair, Read]], chosen: Sequence[str], lpips: Lpips, origin: str) -> Scores:
    """Measure outputs and baselines, an image at a time, so that images may have different sizes.

    Known pixels of an output are taken from the original, as those of a row are.

    Raises:
        MetricError: an image is too small to be measured; the text begins with its path.
    """
    columns: dict[str, dict[str, list[float]]] = {"images": {}, **{name: {} for name in chosen}}
    strayed = []
    for pair, given in items:
        answers = {"images": _composited(given.image, given)}
        answers |= {name: _baseline(name, given) for name in chosen}
        if given.mask is not None:
            difference = given.image.astype(np.int16) - given.original
            strayed.append(float(np.abs(difference[~given.mask]).mean()) / 255)
        for name, answer in answers.items():
            try:
                found = _measured(given.original, answer, given.mask, lpips)
            except MetricError as error:
                raise MetricError(f"{pair.original}: {error}") from None
            for metric, value in found.items():
                columns[name].setdefault(metric, []).append(value)
    arrays = {name: {metric: np.array(each) for metric, each in found.items()} for name, found in columns.items()}
    return Scores(arrays, float(np.mean(strayed)) if strayed else 0.0, origin)


def described(scores: Scores, row: MetricsRow) -> dict[str, Any]:
    """The scores as plain data: means with 95 % intervals, and the paired differences to the best baseline.

    An interval's end is None where a single image leaves nothing to vary.
    """
    from afterimage.evaluation.comparing import difference

    count = len(next(iter(scores.columns["images"].values())))
    groups = [str(number) for number in range(count)]
    results = {
        name: {metric: bootstrap(values, groups, row.bootstrap, row.seed) for metric, values in found.items()}
        for name, found in scores.columns.items()
    }
    kind = HOLES if "hole_psnr" in results["images"] else PLAIN
    said: dict[str, Any] = {
        "images": count,
        "lpips_weights": scores.lpips,
        "results": {name: {metric: _plain(each) for metric, each in found.items()} for name, found in results.items()},
    }
    if kind == HOLES:
        said["known_pixels_off_by"] = scores.strayed
    if rivals := [name for name in results if name != "images"]:
        best = max(rivals, key=lambda name: results[name][MAIN[kind]].mean)
        own, other = scores.columns["images"], scores.columns[best]
        found = {name: difference(other[name][None], own[name][None], groups, row.bootstrap, row.seed) for name in own}
        said["best_baseline"] = {"name": best, "by": MAIN[kind]}
        said["differences"] = {name: {**_plain(each), "p": each.p} for name, each in found.items() if name in METRICS}
    return said


def trunk(path: Path | None) -> tuple[Lpips, str]:
    """LPIPS, and where its weights are from.

    Args:
        path: what a project keeps under data/weights, or torchvision's checkpoint of AlexNet; None: random weights,
            whose numbers are called `lpips_untrained`.

    Raises:
        WeightsError: the file is neither.
    """
    from afterimage.observations.features import encoders

    if path is not None and path.suffix == ".safetensors":
        return Lpips(path), str(weights.read_about(path).get("origin"))
    source, digest = ("random", None) if path is None else (str(path), outputs.sha256(path))
    state = encoders.trunk("alexnet", source, 0, digest)
    origin = weights.describe(source, 0, digest)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "lpips.safetensors"
        weights.save(file, state, {"arch": "alexnet", "origin": origin})
        return Lpips(file), origin


def _pixels(path: Path) -> Uint8:
    try:
        return np.asarray(images.decode(path.read_bytes()))
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None


def _composited(image: Uint8, given: Read) -> Uint8:
    return image if given.mask is None else np.where(given.mask[..., None], image, given.original)


def _baseline(name: str, given: Read) -> Uint8:
    from afterimage.evaluation.baselines import frames, holes

    if given.mask is not None:
        return holes.fill(name, given.original, given.mask)
    if given.input is None:
        raise AfterimageError(f"the baseline {name} needs inputs")
    height, width = given.original.shape[:2]
    return frames.restore(name, given.input, (height, width))


def _measured(original: Uint8, image: Uint8, mask: "Mask | None", lpips: Lpips) -> dict[str, float]:
    from afterimage.evaluation import metrics, rebuilding, regions

    a, b = original[None], image[None]
    found = rebuilding.measure(a, b, lpips)
    if mask is None:
        toned = metrics.toned(a, b)
        found |= {"psnr_tone": metrics.psnr(a, toned), "ssim_tone": metrics.ssim(a, toned)}
    else:
        found |= regions.measure(a, b, mask[None], lpips)
    return {name: float(values[0]) for name, values in found.items()}


def _plain(found: Any) -> dict[str, float | None]:
    """Mean and ends of an interval, without infinities."""
    interval = Interval(found.mean, found.low, found.high)
    return {name: value if math.isfinite(value) else None for name, value in interval._asdict().items()}
