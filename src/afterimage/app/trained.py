"""What a row was trained on, in a line, and what about a visitor's picture is unlike it.

It is unlike only where the card of the row proves it, or nearly so: a warning that is often wrong is soon not read.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import streamlit as st
from PIL import Image

from afterimage.app import models, widgets
from afterimage.core import layout
from afterimage.observations.holes.masks import Mask

FEW = 4
"""Cells a side of a layer's maps in training, at most which each feature saw the edge of its image."""
WIDER = 1.25
"""How much larger than in training a hole is before it is said."""
COARSE = 4
"""How many times a picture is reduced around a hole before it is said."""
LOOKED = 512
"""Longest side in px at which a hole, or the light of a picture, is looked at."""
DARK, SLACK, NOISY = 0.5, 0.1, 0.04
"""Shares of the light, or of white, by which a picture is beyond what was trained on before it is said. `NOISY` is more
than fine texture is taken for."""


def say(row: models.Row) -> None:
    """What a row was trained on, under a heading."""
    if line := words(row):
        st.caption(widgets.verbatim(line))


def warn(found: Mapping[str, Iterable[str]]) -> None:
    """Warn of what is unlike the training of some results, by what the page calls them."""
    lines = [f"{title}: {sentence}" for title, sentences in found.items() for sentence in sentences]
    if lines:
        st.warning("\n\n".join(map(widgets.verbatim, lines)), icon=":material/warning:")


def words(row: models.Row) -> str:
    """A line: how many images of which size, of what, and what was left of them; empty where the card does not tell."""
    card = row.card
    if "size" not in card:
        return ""
    about = card.get("about")
    count = "" if about else _count(models.project(), card["dataset"])
    of = ", ".join(about["data"]) if about else card["dataset"]
    left = LEFT[card["observes"]](card)
    return f"{row.name} was trained on {count}tiles of {card['size']} px of {of}{left and f': {left}'}."


def short(row: models.Row) -> str:
    """The same in a few words, for under a picture."""
    card = row.card
    if "size" not in card:
        return ""
    sets = card.get("about", {}).get("data", [card["dataset"]])
    return f"trained on {card['size']} px tiles of {sets[0] if len(sets) == 1 else f'{len(sets)} data sets'}"


def _count(project: Path, dataset: str) -> str:
    """How many images a data set has for training, where it is here."""
    try:
        index = json.loads((project / layout.shards(dataset) / "index.json").read_text(encoding="utf-8"))
        return f"{index['splits']['train']['samples']:,} "
    except (OSError, ValueError, KeyError):
        return ""


def _features(card: Mapping[str, Any]) -> str:
    first = card["given"][0]
    return f"features of {first['encoder']}, weights {first['weights_origin']}" if "weights_origin" in first else ""


def _holes(card: Mapping[str, Any]) -> str:
    drawn = card["given"][0].get("row", {})
    side = f" of {drawn['side']:.0%} of the side" if "side" in drawn else ""
    return f"{drawn['shape']}{side} missing" if "shape" in drawn else ""


def _frames(card: Mapping[str, Any]) -> str:
    names = list(_levels(card))
    return f"damage of the level{'s' * (len(names) > 1)} {', '.join(names)}" if names else ""


LEFT = {"features": _features, "holes": _holes, "frames": _frames}


def _levels(card: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The steps of each level of damage that a row saw."""
    given = {part["level"]: part["steps"] for part in card.get("given", []) if "steps" in part}
    seen = card.get("settings", {}).get("levels") or list(given)
    return {name: given[name] for name in dict.fromkeys(seen) if name in given}


def unlike_features(row: models.Row, image: Image.Image) -> Iterator[str]:
    """Sentences about a picture whose features a row is to be given."""
    side = row.card.get("size")
    if row.card.get("settings", {}).get("mosaic"):  # it saw larger images, too
        return
    for part in row.card.get("given", []):
        cells = part.get("shape", [0, FEW + 1])[1]
        if side and cells <= FEW and min(image.size) >= 2 * side:
            yield (
                f"In training each feature of {part['layer']} saw the edge of its tile of {side} px. In a picture of "
                f"{image.width} x {image.height} px most do not, and what comes back can be far off."
            )


def unlike_holes(row: models.Row, mask: Mask) -> Iterator[str]:
    """Sentences about a hole `[H, W]` that a row is to fill."""
    from afterimage.apply import holes

    size, drawn = row.card.get("size"), row.card.get("given", [{}])[0].get("row", {})
    if not size:
        return
    extent, width = _extents(mask)
    window = min(max(size, holes.CONTEXT * extent), max(mask.shape))
    around = min(window, *mask.shape)
    if "side" in drawn and width > WIDER * drawn["side"] * around:
        yield (
            f"The hole is {width:.0f} px wide where {around:.0f} px can be seen, {width / around:.0%}; in training "
            f"holes were {drawn['side']:.0%}. What it shows is a guess."
        )
    if window >= COARSE * size:
        yield f"What is around the hole is reduced from {window:.0f} to {size} px for it, so it gives little detail."


def _extents(mask: Mask) -> tuple[float, float]:
    """Of the largest hole, in px: its longer side, and how wide it is at its widest: of a scratch that is little."""
    from scipy import ndimage

    scale = max(1.0, max(mask.shape) / LOOKED)
    small = Image.fromarray(mask).resize([max(1, round(side / scale)) for side in mask.shape[::-1]], 0)
    found = np.pad(np.asarray(small), 1)
    labels, _ = ndimage.label(found, structure=np.ones((3, 3)))
    sides = [max(part.stop - part.start for part in box) for box in ndimage.find_objects(labels)]
    return max(sides, default=0) * scale, float(2 * ndimage.distance_transform_edt(found).max() - 1) * scale


def unlike_frames(row: models.Row, image: Image.Image) -> Iterator[str]:
    """Sentences about a picture that a row is to restore as it is."""
    levels = _levels(row.card).values()
    if not levels:
        return
    light = _light(image.reduce(math.ceil(max(image.size) / LOOKED)))
    lights = [step for steps in levels for step in steps if step["step"] == "low_light"]
    if len(lights) == len(levels) and all(step["chance"] == 1 for step in lights):
        most = max(step["exposure"][1] for step in lights)
        if np.quantile(light, 0.99) > most + SLACK:
            yield f"It was trained on pictures with {most:.0%} of their light; this one can come out too bright."
    if lights:
        least = min(step["exposure"][0] for step in lights)
        if np.quantile(light, 0.999) < DARK * least:  # a scene at night has its lamps
            yield "The picture is darker than what it was trained on."
    noises = [step for steps in levels for step in steps if step["step"] == "noise"]
    worst = max((float(np.hypot(step["read"][1], (step["shot"][1] / 2) ** 0.5)) for step in noises), default=0.0)
    left, top = ((length - min(length, 2 * LOOKED)) // 2 for length in image.size)
    middle = image.crop((left, top, left + min(image.width, 2 * LOOKED), top + min(image.height, 2 * LOOKED)))
    if (found := noise(_light(middle))) > 1.3 * worst + NOISY:
        yield f"The picture is noisier, {found:.0%} of white, than what it was trained on, at most {worst:.0%}."


def _light(image: Image.Image) -> npt.NDArray[np.floating]:
    return np.asarray(image.convert("L"), np.float32) / 255


def noise(light: npt.NDArray[np.floating]) -> float:
    """The standard deviation of the noise of an image `[H, W]`: from the median of its finest diagonal details (Donoho
    and Johnstone, "Ideal spatial adaptation by wavelet shrinkage", Biometrika 1994)."""
    even = light[: light.shape[0] // 2 * 2, : light.shape[1] // 2 * 2]
    details = (even[::2, ::2] - even[1::2, ::2] - even[::2, 1::2] + even[1::2, 1::2]) / 2
    return float(np.median(np.abs(details)) / 0.6745)
