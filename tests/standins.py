"""A project whose rows stand in for trained ones: the calls of the real ones, and results that a test can foretell.

All of them are of kind `external`: the pages know what a row observes, and nothing else of it.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import dump_yaml
from PIL import Image

from afterimage import apply
from afterimage.apply.holes import Filled
from afterimage.core import layout, outputs, zoo
from afterimage.observations.holes import Draws

LOAD = apply.load

GIVEN: dict[str, tuple[str, str, dict[str, Any]]] = {
    "a-relu": ("features", "small/relu", {"words": "upconv"}),
    "a-layer1": ("features", "small/layer1", {"words": "upconv"}),
    "a-relu-light": ("features", "small/relu", {"words": "light"}),
    "other": ("features", "large/relu", {"words": "light"}),
    "red": ("holes", "two-boxes", {}),
    "grey": ("holes", "two-boxes", {"settings": {"samples": 3}}),
    "dark": ("frames", "photos-cctv", {}),
}
"""What each row observes, the observation that it is given, and what its card says besides."""
SEARCH = "a-relu-search"


class Features:
    """Turns light to dark."""

    def __call__(self, image: Image.Image) -> Image.Image:
        return Image.fromarray(255 - np.asarray(image))


class Holes:
    """Fills with red, or each sample with a grey of its own."""

    def __init__(self, draws: bool):
        self.draws = draws

    def __call__(self, image: Image.Image, mask: Any, draws: Draws | None = None) -> Filled:
        assert self.draws == (draws is not None)
        if draws is None:
            return Filled(self.filled(image, mask, (255, 0, 0)), [], None)
        assert draws.samples is not None
        assert draws.seed is not None
        drawn = [self.filled(image, mask, 20 * number + draws.seed) for number in range(draws.samples)]
        return Filled(drawn[0], drawn, np.where(mask, np.float32(draws.temperature or 0), np.float32(0)))

    def filled(self, image: Image.Image, mask: Any, colour: Any) -> Image.Image:
        pixels = np.array(image)
        pixels[mask] = colour
        return Image.fromarray(pixels)


class Frames(Features):
    sets_light = True
    brightness, strength = 1.0, 1.0

    def adjusted(self, brightness: float, strength: float) -> "Frames":
        found = Frames()
        found.brightness, found.strength = brightness, strength
        return found

    def __call__(self, image: Image.Image) -> Image.Image:
        given, dark = np.asarray(image, dtype=float), 255 - np.asarray(image, dtype=float)
        return Image.fromarray((given + self.strength * self.brightness * (dark - given)).astype(np.uint8))

    def frames(self, frames: Any) -> Any:
        return 255 - frames


def load(project: Path, row: str) -> Any:
    """What `apply.load` is here; rows of the zoo are real."""
    if zoo.holds(row):
        return LOAD(project, row)
    assert (project / "params.yaml").is_file()
    observes = "features" if row == SEARCH else GIVEN[row][0]
    return {"features": Features(), "holes": Holes(row == "grey"), "frames": Frames()}[observes]


def project(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in a folder, whose rows are all trained."""
    shared = {"kind": "external", "dataset": "photos"}
    rows = {name: {**shared, "observes": kind, "observation": given} for name, (kind, given, _) in GIVEN.items()}
    search = {**shared, "observes": "features", "observation": "small/relu", "start": "a-relu"}
    observations: dict[str, dict[str, Any]] = {
        "small": {"kind": "features", "layers": ["relu", "layer1"]},
        "large": {"kind": "features", "layers": ["relu"]},
        "two-boxes": {"kind": "holes"},
        "photos-cctv": {"kind": "frames", "levels": {"light": [], "heavy": []}},
    }
    params = {
        "observations": {name: {"dataset": "photos", **row} for name, row in observations.items()},
        "reconstructors": rows,
        "searches": {SEARCH: search},
        "baselines": {"features": ["mean_colour"], "holes": ["telea"], "frames": ["bicubic"]},
    }
    dump_yaml(params, root / "params.yaml")
    for name, (kind, given, more) in GIVEN.items():
        layers = [{"kind": kind, "layer": given.partition("/")[2]}] if kind == "features" else [{"kind": kind}]
        card = {"row": name, "observes": kind, "observation": given, "given": layers, "settings": rows[name], **more}
        outputs.write_json(root / layout.model(name) / "card.json", card)
    outputs.write_json(root / layout.observation("small/relu") / "index.json", {})
    monkeypatch.setattr("afterimage.apply.load", load)
    return root
