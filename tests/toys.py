"""Reconstructors of the protocol that a test can foretell, and the command line called without a process."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner

from afterimage import reconstructors
from afterimage.cli import main
from afterimage.core import devices
from afterimage.observations.features import store
from afterimage.observations.holes.smooth import smooth_fill
from afterimage.reconstructors import Reconstruction, Reconstructor

LAYER = "pool"


class Encoder(torch.nn.Module):
    """Its one layer halves an image."""

    arch = "toy"
    patch = 1

    def forward(self, images: torch.Tensor, keys: Any = None) -> dict[str, torch.Tensor]:
        if min(images.shape[-2:]) < 2:
            raise RuntimeError("too small")
        return {LAYER: F.avg_pool2d(images, 2, ceil_mode=True)}


class Doubling(Reconstructor):
    """Repeats each feature of the toy encoder, and tells what a search would."""

    def __init__(self, converged: float = 1.0):
        self.converged = converged
        self.given: list[Any] = []

    def __call__(self, given: Any) -> Reconstruction:
        self.given.append(given)
        (features,) = given.layers
        images = features.repeat_interleave(2, -1).repeat_interleave(2, -2)[..., : given.size[0], : given.size[1]]
        count = len(given.keys)
        return Reconstruction(images, None, {"steps": [7.0] * count, "converged": [self.converged] * count})


class Smooth(Reconstructor):
    """Fills holes from around them."""

    def __init__(self) -> None:
        self.given: list[Any] = []

    def __call__(self, given: Any) -> Reconstruction:
        self.given.append(given)
        return Reconstruction(smooth_fill(given.images, given.masks))


class Drawing(Smooth):
    """Draws levels by seed, key and number; the temperature scales them. Without a word it draws two, of seed 0."""

    def __call__(self, given: Any) -> Reconstruction:
        self.given.append(given)
        samples, temperature, seed = given.draws
        drawn = []
        for number in range(samples or 2):
            random = np.random.default_rng([seed or 0, int(given.keys[0]), number])
            drawn.append(torch.from_numpy(random.random(given.images.shape[1:], dtype=np.float32)))
        found = torch.stack(drawn)[None] * (1.0 if temperature is None else temperature)
        return Reconstruction(found.mean(1), found)


class Negative(Reconstructor):
    """Turns light to dark."""

    def __init__(self) -> None:
        self.given: list[Any] = []

    def __call__(self, given: Any) -> Reconstruction:
        self.given.append(given)
        return Reconstruction(1 - torch.from_numpy(np.stack(given.frames)).movedim(-1, 1) / 255)


OBSERVES = {Doubling: "features", Smooth: "holes", Drawing: "holes", Negative: "frames"}


def project(
    root: Path, patch: pytest.MonkeyPatch, rows: dict[str, Any], searches: dict[str, Any] | None = None, size: int = 32
) -> Path:
    """A project whose rows are toys: of `reconstructors`, and of `searches`. A row may be a dict of several."""
    root.mkdir(parents=True, exist_ok=True)
    toys = {**rows, **(searches or {})}
    lines = []
    for section, names in (("reconstructors", rows), ("searches", searches or {})):
        lines.append(f"{section}:")
        lines += [f"  {name}: {{kind: toy, observes: {observes(toys[name])}, dataset: photos}}" for name in names]
    (root / "params.yaml").write_text("\n".join(lines) + "\nshared: {toy: {}}\n")

    def load(
        folder: Path, name: str, device: str = "auto", state: Path | None = None, changes: Any = None
    ) -> reconstructors.Loaded:
        assert folder.resolve() == root.resolve()
        devices.choose(device)  # type: ignore[arg-type]
        changed.append(changes)
        row = SimpleNamespace(observes=observes(toys[name]), together=2)
        card = {"row": name, "size": size, "given": [{"layer": LAYER, "arch": "toy"}]}
        cases = toys[name] if isinstance(toys[name], dict) else {"": toys[name]}
        return reconstructors.Loaded(row, card, root / "data/models" / name, cases)  # type: ignore[arg-type]

    changed.clear()
    patch.setattr(reconstructors, "load", load)
    patch.setattr(store, "encoder", lambda folder, given: Encoder())
    return root


changed: list[Any] = []
"""The settings that each call of `load` of a toy project changed."""


def observes(toy: Any) -> str:
    return OBSERVES[type(next(iter(toy.values())) if isinstance(toy, dict) else toy)]


def call(*words: str | Path) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a command."""
    done = CliRunner().invoke(main, [str(word) for word in words])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def caller(name: str, row: str, root: Path) -> Callable[..., tuple[int, str, str]]:
    """A command of a project, with the words that follow the row."""
    return lambda *words: call(name, row, *words, "--project", root)
