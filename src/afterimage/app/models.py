"""Trained rows, loaded once and shared by all visitors; what they make of a picture is kept for its visitor alone."""

import math
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import streamlit as st
from PIL import Image

from afterimage import layout, metrics, params
from afterimage.app.safety import Picture
from afterimage.errors import AfterimageError
from afterimage.images import Uint8

T = TypeVar("T")

MAX_MEASURED = 4_000_000
"""Pixels of a picture up to which SSIM and LPIPS are worth their time."""


KEPT, KEPT_PIXELS = 32, 40_000_000
"""So many outcomes are kept for a visitor, or those of so many pixels, whichever are more."""
STRIP = 256
"""Lines of a picture that are measured at a time."""


class Family(NamedTuple):
    """How the rows of a section of params.yaml are trained and applied."""

    module: str
    name: str
    stage: str


FAMILIES = {
    "decoders": Family("afterimage.apply.decoders", "DecoderRow", "train-decoder"),
    "restorers": Family("afterimage.apply.restorers", "RestorerRow", "train-restorer"),
    "inpainters": Family("afterimage.apply.inpainters", "InpainterRow", "train-inpainter"),
    "completers": Family("afterimage.apply.completers", "CompleterRow", "train-completer"),
}


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


def rows(family: str) -> dict[str, dict[str, Any]]:
    """The rows of a section as params.yaml has them; none where there is no such section."""
    path = project() / "params.yaml"
    written = path.stat().st_mtime_ns if path.is_file() else 0
    return _params(path, written).get(family) or {}


@st.cache_resource(show_spinner=False, max_entries=1)
def _params(path: Path, written: int) -> dict[str, Any]:
    return params.load(path)


def trained(family: str) -> dict[str, dict[str, Any]]:
    """Those rows that are trained here."""
    return {name: row for name, row in rows(family).items() if _written(family, name)}


def load(family: str, row: str) -> Shared:
    """A trained row, the same for all visitors until it is trained anew.

    Raises:
        AfterimageError: it cannot be loaded.
    """
    return _load(project(), family, row, _written(family, row))


@st.cache_resource(show_spinner=False, max_entries=16)
def _load(project: Path, family: str, row: str, written: int) -> Shared:
    how = FAMILIES[family]
    try:
        module = import_module(how.module)
    except ModuleNotFoundError as error:
        if error.name != how.module:
            raise
        raise AfterimageError(f"The row {row} cannot be used: this installation has no {how.module}.") from None
    with TURN:
        return Shared(getattr(module, how.name)(project, row))


def _written(family: str, row: str) -> int:
    """When a row was trained; 0 if it was not."""
    try:
        return (project() / layout.model(family, row) / "card.json").stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def apply(family: str, row: str, picture: Picture, use: Callable[[Any], Any], *more: Any) -> Made:
    """What a row makes of a picture; computed once for this visitor and this picture.

    Args:
        use: from the loaded model to what it makes.
        more: what the outcome depends on beside row and picture, such as a mask's digest.

    Raises:
        AfterimageError: the row cannot be loaded, or not used on this picture.
    """
    return once(picture, (family, row, _written(family, row), *more), lambda: load(family, row).run(use))


def once(picture: Picture, key: tuple[Any, ...], make: Callable[[], T]) -> T:
    """`make()` the first time, and what it made from then on, until the visitor takes another picture."""
    digest, kept = st.session_state.get("kept", ("", {}))
    if digest != picture.digest:
        kept = {}
        st.session_state["kept"] = (picture.digest, kept)
    value = kept.pop(key) if key in kept else make()
    kept[key] = value  # now the last one to be forgotten
    most = max(KEPT, KEPT_PIXELS // (picture.image.width * picture.image.height))
    while len(kept) > most:
        del kept[next(iter(kept))]
    return value


def numbers(original: Image.Image, result: Image.Image) -> dict[str, float]:
    """PSNR, and for pictures that are not too large SSIM and LPIPS where its weights are there."""
    a, b = np.asarray(original)[None], np.asarray(result)[None]
    found = {"psnr": psnr(a, b)}
    if original.width * original.height <= MAX_MEASURED:
        found["ssim"] = float(metrics.ssim(a, b)[0])
        weights = project() / layout.weights("lpips-alexnet")
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
