"""Features that somebody hands over, without the image: what one has who checks what a feature store leaks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from afterimage import devices, images, layout, outputs, params
from afterimage.errors import ShardError
from afterimage.observations.encoders import Encoder, EncoderRow
from afterimage.reconstructors import inversion
from afterimage.reconstructors.search import Found, Inverter, Settings, feature_shape

STRIDES = tuple(2**power for power in range(8))
SMALLEST = 16
"""Sides of images that are guessed from features that come without their size."""
DEFAULTS: dict[str, Any] = {
    "start": "colours",
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
    "steps": 300,
    "patience": 20,
    "tolerance": 0.02,
    "restarts": 1,
    "batch": 8,
    "device": "auto",
    "seed": 0,
}
"""Settings for a layer that no row of `inversions` names."""
OF_THE_ROW = ("start", "parametrisation", "range", "priors", "jitter", "optimiser", "learning_rate")
"""What is taken from the layer's row of `inversions`; the rest is set for few images and much time."""


class Layer:
    """A layer of a project's encoder, as somebody who holds its features sees it.

    Args:
        project: the folder that holds params.yaml and data/.
        encoder: the name of its row in `encoders`.
        layer: by any of its names.

    Raises:
        ParamsError: there is no such row.
        LayerError: the network has no such layer.
        WeightsError: the encoder's weights are not there.
    """

    def __init__(self, project: Path, encoder: str, layer: str):
        row = params.row(project / "params.yaml", "encoders", encoder, EncoderRow)
        self.project, self.name, self.layer = project, encoder, layer
        self.encoder = Encoder(row.arch, [layer])
        self.path = project / layout.weights(encoder)
        self.encoder.load(self.path)

    def features(self, image: Image.Image) -> Tensor:
        """The features `[1, C, h, w]` of an RGB image of any size.

        Raises:
            ShardError: the image is too small for the network.
        """
        self._shape((image.height, image.width))
        with torch.no_grad():
            return self.encoder(images.to_tensor(np.asarray(image))[None])[self.layer]

    def settings(self, **changes: Any) -> Settings:
        """The settings of the layer's row of `inversions`, or `DEFAULTS`, with changes; None changes nothing."""
        values = dict(DEFAULTS)
        file = self.project / "params.yaml"
        for name, row in (params.load(file).get(inversion.FAMILY) or {}).items():
            if (row.get("encoder"), row.get("layer")) == (self.name, self.layer):
                typed = params.row(file, inversion.FAMILY, name, inversion.InversionRow)
                values |= {key: typed.model_dump()[key] for key in OF_THE_ROW}
                break
        if values["jitter"]:
            values["patience"] = None
        return Settings.model_validate(values | {key: value for key, value in changes.items() if value is not None})

    def invert(
        self,
        features: Tensor,
        settings: Settings,
        size: tuple[int, int] | None = None,
        decoder: str | None = None,
    ) -> list[Found]:
        """Search for the images of features `[N, C, h, w]`.

        Args:
            size: (H, W) of the images; None: what the shape of the features tells.
            decoder: a trained row that starts the search.

        Raises:
            ShardError: the features are not of this layer.
            ParamsError: the decoder is of another layer.
        """
        devices.be_deterministic()
        size = size or self.image_size(features.shape[1:])
        device = devices.choose(settings.device)
        self.encoder.to(device)
        inverter = Inverter(self.encoder, self.layer, settings, size)
        inverter.check(features)
        starts = None
        if decoder is not None:
            model = self.project / layout.model("decoders", decoder)
            of, weights = f"{self.name}/{self.layer}", outputs.sha256(self.path)
            starts = inversion.decoded("--decoder", model, of, weights, features, size)
        return inverter([str(number) for number in range(len(features))], features, starts)

    def image_size(self, shape: Sequence[int]) -> tuple[int, int]:
        """(H, W) of the images that features `[C, h, w]` are of, if the layer's stride divides their sides.

        Raises:
            ShardError: no image of such a size gives these features in this layer.
        """
        channels = None
        for stride in STRIDES:
            size = (shape[1] * stride, shape[2] * stride)
            if min(size) < SMALLEST:
                continue
            try:
                found = self._shape(size)
            except ShardError:  # too small for this network
                continue
            if found == list(shape):
                return size
            channels = found[0]
            if channels != shape[0] or found[1] > shape[1]:
                break
        expected = "another size for images whose sides its stride divides; give --size"
        if channels != shape[0]:
            expected = f"[{channels}, h, w]"
        raise ShardError(f"features of shape {list(shape)}; {self.layer} of {self.encoder.arch} has {expected}")

    def _shape(self, size: tuple[int, int]) -> list[int]:
        return feature_shape(self.encoder, self.layer, size)


def read_features(path: Path) -> Tensor:
    """Features `[N, C, h, w]` from a .npy file that holds them, or those of one image `[C, h, w]`.

    Raises:
        ShardError: the file is no array of numbers of such a shape, or not all of them are finite.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ShardError(f"{path}: not an array of numbers: {str(error).splitlines()[0]}") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        kind = array.dtype if isinstance(array, np.ndarray) else "several arrays"
        raise ShardError(f"{path}: holds {kind}, expected one array of numbers")
    if array.ndim not in (3, 4) or array.size == 0:
        raise ShardError(f"{path}: features of shape {list(array.shape)}, expected [C, h, w] or [N, C, h, w]")
    if bad := int(array.size - np.isfinite(array).sum()):
        raise ShardError(f"{path}: {bad} of {array.size} features are not finite")
    features = torch.from_numpy(array.astype(np.float32))
    return features if features.ndim == 4 else features[None]
