"""Small rows of every kind, and the observations that they are given, for tests of what draws, learns and measures."""

from functools import cache
from pathlib import Path
from typing import Any

from learners import TRAINING

from afterimage import observations, reconstructors
from afterimage.core import outputs, weights
from afterimage.observations.features import writing
from afterimage.observations.features.encoders import Encoder, trunk
from afterimage.observations.features.row import Row as FeaturesRow
from afterimage.training import models

LAYERS = ["relu1_1", "relu2_1"]
"""Of vgg11: 64 x 32 x 32 and 128 x 16 x 16 of an image of 32 px."""
ABOUT = {"arch": "vgg11", "weights": "abc", "weights_origin": "random, seed 0"}
"""What the index of a layer says of the network, besides what `extract` itself knows."""

SHAPES: dict[str, dict[str, Any]] = {
    "boxes": {"count": 2, "side": 0.293},
    "corners": {"corners": ["top-left", "bottom-right"], "side": 0.25},
    "centre": {"side": 0.5},
    "half": {"missing": "left"},
    "strokes": {"count": 4, "bends": 6, "length": 0.4, "brush": 0.12},
}
STEPS: dict[str, dict[str, Any]] = {
    "low_light": {"gamma": [1.2, 2.0], "exposure": [0.4, 0.8]},
    "defocus": {"radius": [1.0, 2.0]},
    "motion": {"length": [3.0, 6.0], "bend": [0.0, 1.0]},
    "downscale": {"factor": [2.0, 8.0], "filters": ["nearest", "area", "bilinear", "bicubic", "lanczos"]},
    "noise": {"shot": [1e-3, 1e-2], "read": [1e-2, 5e-2]},
    "chroma": {"strength": [0.02, 0.05]},
    "interlace": {"shift": [1, 3]},
    "jpeg": {"quality": [20, 60]},
    "video": {"codec": "mpeg2", "quantiser": [4, 20]},
}
LEVELS: dict[str, list[dict[str, Any]]] = {
    "mild": [{"step": "noise", **STEPS["noise"]}],
    "bad": [{"step": name, **STEPS[name]} for name in ("low_light", "downscale", "noise")]
    + [{"step": "jpeg", **STEPS["jpeg"], "chance": 0.5}],
}

ROWS: dict[str, dict[str, Any]] = {
    "decoder": {
        "observes": "features",
        "observation": "vgg11/relu2_1",
        "arch": "upconv",
        "width": 8,
        "linear": True,
        "mosaic": 0.0,
        "loss": {"pixel": 0.0, "log_mse": 1.0, "perceptual": 0.0, "total_variation": 0.0},
    },
    "pix2pix": {
        "observes": "holes",
        "observation": "two",
        "width": 4,
        "blocks": "plain",
        "reduce": 1,
        "detail": ["smooth"],
        "flip": False,
        "start": "smooth",
        "loss": {"l1": 100.0, "l2": 0.0, "rmse": 0.0, "adversarial": 1.0, "hole": 1.0},
    },
    "pixelrnn": {
        "observes": "holes",
        "observation": "two",
        "arch": "gated",
        "width": 6,
        "layers": 1,
        "kernel": 3,
        "head": 6,
        "residual": True,
        "likelihood": "logistics",
        "components": 2,
        "trunk": {"width": 4, "rounds": 1, "guess": 10.0},
        "dropout": 0.1,
        "flip": True,
        "whole": 0.2,
        "samples": 3,
        "temperature": 1.0,
    },
    "autoencoder": {
        "observes": "frames",
        "observation": "cctv",
        "levels": ["mild", "bad"],
        "filters": [],
        "arch": "nafnet",
        "width": 4,
        "blocks": [1, 1, 2],
        "fold": 2,
        "factor": 1,
        "output": "linear",
        "tone": False,
        "crop": None,
        "loss": "charbonnier",
        "flips": True,
    },
}

SEARCH: dict[str, Any] = {
    "kind": "inversion",
    "dataset": "mine",
    "observes": "features",
    "observation": "vgg11/relu1_1",
    "decoder": "decoder",
    "images": 3,
    "start": "linear",
    "parametrisation": "fourier",
    "range": "sigmoid",
    "priors": {
        "total_variation": {"weight": 0.01, "exponent": 1.0},
        "alpha_norm": {"weight": 0.0, "alpha": 6.0},
        "gaussian": {"weight": 0.003},
    },
    "jitter": 0,
    "optimiser": "lbfgs",
    "learning_rate": 0.005,
    "steps": 8,
    "patience": None,
    "tolerance": 0.02,
    "restarts": 1,
    "batch": 3,
    "device": "cpu",
    "seed": 0,
}
"""A row of the kind `inversion`, which nothing is trained for."""


def row(kind: str, **values: Any) -> Any:
    """A row of a kind of reconstructors that is trained; `training` may name what is different alone."""
    training = {**TRAINING, **values.pop("training", {})}
    data = {"kind": kind, "dataset": "mine", **ROWS[kind], **values, "training": training}
    return reconstructors.kind_of(data).Row.model_validate(data)


def observed(kind: str, **values: Any) -> Any:
    """A row of a kind of observations."""
    own: dict[str, dict[str, Any]] = {
        "features": {"path": "vgg11.safetensors", "layers": LAYERS, "dtype": "float16", "batch": 3},
        "holes": {"path": "src", "seed": 0, "shape": "boxes", **SHAPES.get(values.get("shape", "boxes"), {})},
        "frames": {"path": "src", "seed": 0, "levels": LEVELS},
    }
    data = {"kind": kind, "dataset": "mine", **own[kind], **values}
    return observations.ObservationRow.kind_of(data).model_validate(data)


@cache
def encoder(*layers: str) -> Encoder:
    """vgg11 with random weights, cut off after the deepest of the layers."""
    found = Encoder("vgg11", list(layers) or LAYERS)
    weights.fit(found.body, trunk("vgg11", "random", 0, None), "vgg11", optional=found.uncut)
    return found


def features(images: Path, folder: Path, row: FeaturesRow | None = None, network: Encoder | None = None) -> Path:
    """The features of image shards as `observe` leaves them, without its gate, whose import takes seconds."""
    with outputs.folder(folder) as out:
        writing.extract(network or encoder(), row or observed("features"), "mine", dict(ABOUT), images, out)
    return folder


def written(observation: Any, name: str, images: Path, folder: Path) -> Path:
    """The holes or frames of image shards as `observe` leaves them."""
    observations.module(observation.kind, "writing").write(observation, name, images, folder)
    return folder


def stored(row: Any, folder: Path, images: Path) -> Any:
    """The observations of a row of reconstructors."""
    return observations.module(row.observes, "store").Stored(folder, images, row.model_dump())


def trained(row: Any, folder: Path, images: Path, root: Path, name: str = "mine") -> Path:
    """The model folder of a row, trained as the stage trains it: `root/data/models/<name>`."""
    from afterimage.core import layout

    given = stored(row, folder, images)
    learns = reconstructors.kind_of(row).learner
    models.train(name, row, learns, given, root / layout.model(name), root / layout.training_state(name))
    return root / layout.model(name)


def loaded(root: Path, name: str = "mine") -> Any:
    """The reconstructors of a model that `trained` left."""
    import torch

    model = models.read(root, name, torch.device("cpu"))
    return reconstructors.kind_of(model.settings).load(model)
