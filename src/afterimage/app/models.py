"""Rows of params.yaml and of the zoo, loaded once for all visitors; what they make of a picture is kept for its visitor
alone."""

import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import streamlit as st
from PIL import Image

from afterimage.app import kept
from afterimage.app.safety import Picture
from afterimage.core import layout, params, zoo
from afterimage.core.images import Uint8
from afterimage.evaluation import metrics, results
from afterimage.reconstructors import SECTIONS

T = TypeVar("T")

TRAINED = SECTIONS[0]
CARD = "card.json"
MAX_MEASURED = 4_000_000
"""Pixels of a picture up to which SSIM and LPIPS are worth their time."""
STRIP = 256
"""Lines of a picture that are measured at a time."""


class Row(NamedTuple):
    """A row of params.yaml or of the zoo that can be used here, whatever its kind."""

    name: str
    observation: str
    """The row of `observations`, or the part of it, that it is given."""
    card: dict[str, Any]
    """Its card.json; empty where nothing is trained."""
    searched: bool
    """Whether it is a row of `searches`, which takes its time over each picture."""

    @property
    def draws(self) -> bool:
        """Whether it draws samples."""
        return "samples" in self.card.get("settings", {})


@dataclass(frozen=True, eq=False)
class Made:
    """What a model made, and the seconds that it took. One is equal to itself alone, so it can be a key."""

    value: Any
    seconds: float


TURN = threading.RLock()
"""Held while a model is loaded or used: torchvision traces an encoder by patching every module of the process, which
would break what another visitor runs meanwhile. Two runs at once would each take twice as long, in twice the memory."""


class Shared:
    """A loaded model, which visitors use in turn."""

    def __init__(self, model: Any):
        self.model = model

    def run(self, use: Callable[[Any], Any]) -> Made:
        with TURN:
            started = time.perf_counter()
            value = use(self.model)
            return Made(value, time.perf_counter() - started)


def project() -> Path:
    """The folder with params.yaml and data/ that the page shows."""
    return Path(os.environ.get("AFTERIMAGE_PROJECT", "."))


def rows(observes: str) -> dict[str, str]:
    """The section of each row that is given a kind of observation, in the order of params.yaml."""
    data = parameters()
    return {
        name: section
        for section in SECTIONS
        for name, row in (data.get(section) or {}).items()
        if isinstance(row, dict) and row.get("observes") == observes
    }


def parameters() -> dict[str, Any]:
    """The sections of params.yaml; none where there is no such file."""
    path = project() / "params.yaml"
    return _params(path, path.stat().st_mtime_ns) if path.is_file() else {}


@st.cache_resource(show_spinner=False, max_entries=1)
def _params(path: Path, written: int) -> dict[str, Any]:
    return params.load(path)


def usable(observes: str, searches: bool = False) -> dict[str, Row]:
    """The rows of the zoo of a kind of observation, which saw the most photographs, then those that are trained here;
    with `searches` those as well whose needs are here."""
    data = parameters()
    found = {}
    for name in zoo.names(project()):
        card = _zoo(project(), name, _written(name))
        if card["observes"] == observes:
            found[name] = Row(name, card["observation"], card, False)
    for name, section in rows(observes).items():
        searched = section != TRAINED
        if (searched and not searches) or not _written(name):
            continue
        card = {} if searched else results.read_json(project() / layout.model(name) / CARD)
        found[name] = Row(name, str(data[section][name].get("observation")), card, searched)
    return found


@st.cache_resource(show_spinner=False)
def _zoo(project: Path, name: str, written: int) -> dict[str, Any]:
    """The card of a row of the zoo, read once: it holds all that was measured, and each page asks for it several
    times."""
    return zoo.card(project, name)


def first(rows: Mapping[str, Row]) -> list[str]:
    """The rows that a page begins with: all but those that enlarge, which a picture rarely needs."""
    return [name for name, row in rows.items() if row.card.get("settings", {}).get("factor", 1) == 1]


def load(row: str) -> Shared:
    """A row as `apply.load` gives it, the same for all visitors until it is trained anew; it says so where that takes a
    while.

    Raises:
        AfterimageError: it cannot be loaded.
    """
    with st.spinner(f"Loading `{row}`, which takes a while the first time", show_time=True):
        return _load(project(), row, _written(row))


@st.cache_resource(show_spinner=False, max_entries=16)
def _load(project: Path, row: str, written: int) -> Shared:
    from afterimage import apply

    with TURN:
        return Shared(apply.load(project, row))


def _written(name: str) -> int:
    """When what a row needs was written, the latest of it; 0 if something is missing.

    A row that is trained, here or in the zoo, needs its model; what is searched needs its observation's folder and each
    trained row that it names.
    """
    data = parameters()
    trained = data.get(TRAINED) or {}
    if name in trained or zoo.holds(name):
        needs = [layout.model(name) / CARD]
    else:
        row: dict[str, Any] = next((data[each][name] for each in SECTIONS if name in (data.get(each) or {})), {})
        models = [layout.model(value) / CARD for value in row.values() if isinstance(value, str) and value in trained]
        needs = [layout.observation(str(row.get("observation"))) / "index.json", *models]
    try:
        return max((project() / path).stat().st_mtime_ns for path in needs)
    except FileNotFoundError:
        return 0


def apply(row: str, picture: Picture, use: Callable[[Any], Any], *more: Any) -> Made:
    """What a row makes of a picture; computed once for this visitor and this picture.

    Args:
        use: from the loaded row to what it makes.
        more: what the outcome depends on beside row and picture, such as a mask's digest.

    Raises:
        AfterimageError: the row cannot be loaded, or not used on this picture.
    """
    return once(picture, ("row", row, _written(row), *more), lambda: load(row).run(use))


def once(picture: Picture, key: tuple[Any, ...], make: Callable[[], T]) -> T:
    """`make()` the first time, and what it made from then on, until the visitor takes another picture or room is
    short."""
    return kept.once("picture", picture.digest, key, make)


def numbers(original: Image.Image, result: Image.Image) -> dict[str, float]:
    """PSNR, and for pictures that are not too large SSIM and LPIPS where its weights are there."""
    a, b = np.asarray(original)[None], np.asarray(result)[None]
    found = {"psnr": psnr(a, b)}
    if original.width * original.height <= MAX_MEASURED:
        found["ssim"] = float(metrics.ssim(a, b)[0])
        weights = project() / layout.weights("lpips")
        if weights.is_file():
            shared = _lpips(weights, weights.stat().st_mtime_ns)
            name, values = shared.run(lambda lpips: (lpips.name, lpips(a, b))).value
            found[name] = float(values[0])
    return found


def psnr(original: Uint8, result: Uint8, where: npt.NDArray[np.bool_] | None = None) -> float:
    """PSNR in dB of images `[1, H, W, 3]`, of all pixels or of those `where` `[H, W]`, in strips that fit in memory."""
    total, count = 0.0, 0
    for top in range(0, original.shape[1], STRIP):
        errors = metrics.squared_error(original[:, top : top + STRIP], result[:, top : top + STRIP])
        chosen = errors if where is None else errors[0][where[top : top + STRIP]]
        total, count = total + float(chosen.sum()), count + chosen.size
    return min(-10 * math.log10(total / count), metrics.PSNR_CAP) if total else metrics.PSNR_CAP


@st.cache_resource(show_spinner=False, max_entries=1)
def _lpips(weights: Path, written: int) -> Shared:
    with TURN:
        return Shared(metrics.Lpips(weights))
