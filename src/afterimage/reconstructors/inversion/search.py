"""The search for an image whose features are the given ones, by optimisation.

What is made small is the feature loss of Mahendran and Vedaldi, "Understanding Deep Image Representations by Inverting
Them" (CVPR 2015), `|phi(x) - phi0|^2 / |phi0|^2`, called the feature error here, plus the priors. The search starts
from the features alone (`optimisation`) or from what a trained decoder makes of them (`hybrid`).

An image's result follows from its key, its features and the row: images that are optimised in one batch share the
passes through the network and nothing else.
"""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor
from tqdm import tqdm

from afterimage.core import devices, params
from afterimage.core.errors import ShardError, TrainingError
from afterimage.core.randomness import generator
from afterimage.observations.features.encoders import Encoder
from afterimage.observations.features.linear import Linear, Whitening, halvings, resized
from afterimage.reconstructors.inversion import descent, parametrisations, priors
from afterimage.reconstructors.inversion.checkpoint import Checkpoint

DRAWN = 16
"""Images like photographs that the start is fitted to: at least so many, so many px and so many positions a channel."""
DRAWN_PX = 1 << 17
DRAWN_POSITIONS = 8
DRAWN_TOGETHER = 16


class Settings(params.Row):
    """How features are inverted: what a row of `inversions` and the command line have in common."""

    start: Literal["linear", "noise"]
    """Without a decoder. `linear`: what least squares make of the features, fitted on images drawn from the spectrum
    of photographs, of which none is needed. An untrained network sees a picture and its negative almost alike, and
    from noise the search often ends in both."""
    parametrisation: Literal["pixel", "fourier", "deep_image_prior"]
    range: parametrisations.Range
    priors: priors.PriorsRow
    jitter: int = Field(ge=0)
    """Before each look at the features the image is rolled by up to so many px each way (Mahendran, Vedaldi 2016)."""
    optimiser: Literal["adam", "lbfgs"]
    learning_rate: float = Field(gt=0)
    """How far a value moves in a step, about: of Adam in the first step, of L-BFGS in the first trial."""
    steps: int = Field(gt=0)
    patience: int | None = Field(gt=0)
    """An image is done when its feature error did not fall by the share `tolerance` for so many steps; null: never."""
    tolerance: float = Field(ge=0, lt=1)
    restarts: int = Field(gt=0)
    """Searches an image, of which the one with the smallest feature error is kept."""
    batch: int = Field(gt=0)
    """Images that are optimised at once. It changes the speed, and of the result the last bits."""
    device: devices.Name
    seed: int

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.optimiser == "lbfgs" and self.jitter:
            raise ValueError(f"jitter: {self.jitter} gives another loss at every step; it goes with optimiser: adam")
        if self.optimiser == "lbfgs" and self.range == "projection":
            raise ValueError("range: projection goes with optimiser: adam; with lbfgs use range: sigmoid")
        if self.parametrisation == "deep_image_prior" and self.range == "projection":
            raise ValueError("range: projection has no meaning for parametrisation: deep_image_prior; use sigmoid")
        if self.jitter and self.patience is not None:
            raise ValueError(
                f"patience: {self.patience} cannot judge a feature error that jitter: {self.jitter} shakes"
            )
        return self


class Found(NamedTuple):
    """What came of one image."""

    image: Tensor
    """float32 `[3, H, W]` in [0, 1], on the CPU."""
    error: float
    """The feature error of `image`."""
    steps: int
    """Until the search ended; the image may be from an earlier step."""
    restart: int
    converged: bool
    """Whether it ended by the rule of `patience` and `tolerance`, and not for want of steps."""


class Wanted(NamedTuple):
    """The features `[N, C, h, w]` of a batch, in the order of memory that the encoder gives, and their squares."""

    features: Tensor
    squares: Tensor
    """`[N]`, the sum of each image's."""

    @classmethod
    def of(cls, features: Tensor) -> Self:
        features = features.float().contiguous(memory_format=torch.channels_last)
        return cls(features, _squares(features).clamp_min(1e-12))


class Inverter:
    """Inverts features of one layer.

    Args:
        encoder: with weights, on the device to use.
        size: (H, W) of the images to find.
    """

    def __init__(self, encoder: Encoder, layer: str, settings: Settings, size: tuple[int, int]):
        self.encoder, self.layer, self.settings, self.size = encoder, layer, settings, size
        self.device = encoder.mean.device

    def __call__(
        self,
        keys: Sequence[str],
        features: Tensor,
        starts: Tensor | None = None,
        checkpoint: Checkpoint | None = None,
        name: str = "invert",
    ) -> list[Found]:
        """Search for the images of features `[N, C, h, w]`, in batches.

        Args:
            keys: a name an image; what is random about it is drawn from this name.
            starts: images `[N, 3, H, W]` to start from.
            name: of the search, in the checkpoint and beside the bar.

        Raises:
            ShardError: the features are not of this layer and size, or not finite.
            TrainingError: the feature error of an image is never finite.
        """
        self.check(features)
        checkpoint = checkpoint or Checkpoint(None, {})
        settings = self.settings
        found: list[Found] = []
        bar = tqdm(
            total=settings.restarts * settings.steps * math.ceil(len(keys) / settings.batch),
            desc=name,
            unit="step",
            mininterval=1,
            dynamic_ncols=True,
        )
        for begin in range(0, len(keys), settings.batch):
            part = slice(begin, begin + settings.batch)
            wanted = Wanted.of(features[part].to(self.device))
            begun = None if starts is None else starts[part].to(self.device)
            tries = []
            for restart in range(settings.restarts):
                label = f"{name}/{begin}/{restart}"
                ended = checkpoint.done(label)
                if ended is None:
                    ended = self._descend(keys[part], wanted, begun, restart, checkpoint, label, bar)
                    checkpoint.finish(label, ended)
                tries.append(ended)
            errors = torch.stack([ended["error"] for ended in tries])
            for place, restart in enumerate(errors.argmin(0).tolist()):  # the first of the best
                image, error, steps, converged = (
                    tries[restart][name][place] for name in ("image", "error", "steps", "converged")
                )
                if not torch.isfinite(error):
                    raise TrainingError(
                        f"{keys[begin + place]}: its feature error is never finite; "
                        f"a learning_rate under {settings.learning_rate} may help"
                    )
                found.append(Found(image, float(error), int(steps), restart, bool(converged)))
        bar.close()
        return found

    def check(self, features: Tensor) -> None:
        """Raise ShardError for features that are not of this layer and size, or not finite."""
        expected = feature_shape(self.encoder, self.layer, self.size)
        if list(features.shape[1:]) != expected:
            raise ShardError(
                f"features of shape {list(features.shape[1:])}; {self.layer} of {self.encoder.arch} has {expected} "
                f"for images of {self.size[1]} x {self.size[0]} px"
            )
        if bad := int((~torch.isfinite(features)).sum()):
            raise ShardError(f"{bad} of {features.numel()} features of {self.layer} are not finite")

    def errors(self, images: Tensor, features: Tensor) -> Tensor:
        """The feature error `[N]` of images, against features `[N, C, h, w]`."""
        with torch.no_grad():
            return self._error(images.to(self.device), Wanted.of(features.to(self.device)))

    def _error(self, images: Tensor, wanted: Wanted) -> Tensor:
        distance: Tensor = _Apart.apply(self.encoder(images)[self.layer], wanted.features)
        return distance / wanted.squares

    def _descend(
        self,
        keys: Sequence[str],
        wanted: Wanted,
        begun: Tensor | None,
        restart: int,
        checkpoint: Checkpoint,
        label: str,
        bar: "tqdm[Any]",
    ) -> dict[str, Tensor]:
        """One search for each image of a batch: `image`, `error`, `steps`, `converged`, a row an image."""
        settings = self.settings
        form = parametrisations.PARAMETRISATIONS[settings.parametrisation](self.size, settings.range)
        values = self._begin(form, keys, wanted, begun, restart)
        count = len(keys)
        descend = descent.OPTIMISERS[settings.optimiser](values, settings.learning_rate, settings.steps)
        best: dict[str, Tensor] = {
            "image": torch.zeros(count, 3, *self.size, device=self.device),
            "error": torch.full((count,), math.inf, device=self.device),
            "steps": torch.zeros(count, dtype=torch.int64, device=self.device),
            "converged": torch.zeros(count, dtype=torch.bool, device=self.device),
            "mark": torch.full((count,), math.inf, device=self.device),
            "waited": torch.zeros(count, dtype=torch.int64, device=self.device),
        }
        first = 0
        if before := checkpoint.running(label):
            first, values = before["step"], before["values"].to(self.device)
            best, descend.state = (
                {name: value.to(self.device) for name, value in before[part].items()} for part in ("best", "descent")
            )
        bar.update(first)
        for step in range(first, settings.steps + 1):
            last = step == settings.steps
            values = values.detach().requires_grad_()
            images = form.images(values)
            shaken = images if last else self._shaken(images, keys, restart, step)
            error = self._error(shaken, wanted)
            self._note(best, images.detach(), error.detach(), step)
            if last or bool(best["converged"].all()):
                break
            loss = error + settings.priors(images, values)
            (slope,) = torch.autograd.grad(loss.sum(), values)
            values = form.project(descend.step(values.detach(), loss.detach(), slope))
            bar.update()
            if step % 10 == 0:
                bar.set_postfix(feature_error=f"{float(best['error'].mean()):.3g}")
            now = {"step": step + 1, "values": values, "best": best, "descent": descend.state}
            checkpoint.keep(label, now)
        return {name: best[name].cpu() for name in ("image", "error", "steps", "converged")}

    def _note(self, best: dict[str, Tensor], images: Tensor, error: Tensor, step: int) -> None:
        """Take what is better than before into `best`, for the images whose search is not over."""
        settings = self.settings
        searching = ~best["converged"]
        # The error of a shaken image says little about the image: then the last one counts
        better = searching & ((error < best["error"]) if not settings.jitter else torch.isfinite(error))
        best["error"] = torch.where(better, error, best["error"])
        best["image"] = torch.where(better[:, None, None, None], images, best["image"])
        best["steps"] = torch.where(searching, step, best["steps"])
        if settings.patience is not None:
            fell = error < best["mark"] * (1 - settings.tolerance)
            best["mark"] = torch.where(fell, error, best["mark"])
            best["waited"] = torch.where(fell, 0, best["waited"] + 1)
            best["converged"] = best["converged"] | (best["waited"] >= settings.patience)

    def _begin(
        self,
        form: parametrisations.Parametrisation,
        keys: Sequence[str],
        wanted: Wanted,
        begun: Tensor | None,
        restart: int,
    ) -> Tensor:
        """The values to start from. Restarts of one start differ by noise."""
        settings = self.settings
        generators = [generator(settings.seed, key, restart) for key in keys]
        if begun is None and settings.start == "linear":
            begun = self._linear(wanted.features)
        elif begun is None:
            return form.random(generators).to(self.device)
        elif restart == 0:
            return form.of(begun, generators)
        values = form.of(begun, generators)
        if settings.parametrisation == "deep_image_prior":  # its noise is in the network
            return values
        noise = [one.standard_normal(values.shape[1], dtype=np.float32) for one in generators]
        return form.project(values + parametrisations.NOISE * torch.from_numpy(np.stack(noise)).to(self.device))

    def _linear(self, features: Tensor) -> Tensor:
        """The linear answer to features, which keeps within black and white."""
        whitening, linear = self._fitted
        with torch.no_grad():
            return resized(linear(whitening(features)), self.size).clamp(0, 1)

    @cached_property
    def _fitted(self) -> tuple[Whitening, Linear]:
        channels, height, width = feature_shape(self.encoder, self.layer, self.size)
        enough = (DRAWN_PX / math.prod(self.size), DRAWN_POSITIONS * channels / (height * width))
        count = max(DRAWN, *(math.ceil(number) for number in enough))
        drawn = parametrisations.Fourier(self.size, "sigmoid").photographs(
            [generator(self.settings.seed, "drawn", number) for number in range(count)]
        )
        whitening = Whitening(channels)
        linear = Linear(channels, 2 ** halvings(self.size[0], height))
        with torch.no_grad():
            parts = drawn.split(DRAWN_TOGETHER)
            seen = [self.encoder(part.to(self.device))[self.layer].cpu() for part in parts]
            whitening.fit(iter(seen))
            linear.fit(((whitening(features), part) for features, part in zip(seen, parts, strict=True)), every=1)
        return whitening.to(self.device), linear.to(self.device)

    def _shaken(self, images: Tensor, keys: Sequence[str], restart: int, step: int) -> Tensor:
        """Each image rolled by a random number of px."""
        most = self.settings.jitter
        if not most:
            return images
        moved = []
        for image, key in zip(images, keys, strict=True):
            down, across = generator(self.settings.seed, key, restart, "jitter", step).integers(-most, most + 1, 2)
            moved.append(image.roll((int(down), int(across)), dims=(1, 2)))
        return torch.stack(moved)


def feature_shape(encoder: Encoder, layer: str, size: tuple[int, int]) -> list[int]:
    """`[C, h, w]` of the features of images of a size.

    Raises:
        ShardError: the layer gives no maps, or the size is too small for the network.
    """
    try:
        with torch.no_grad():
            shape = list(encoder(encoder.mean.new_zeros(1, 3, *size))[layer].shape[1:])
    except RuntimeError:
        raise ShardError(f"images of {size[1]} x {size[0]} px are too small for {layer} of {encoder.arch}") from None
    if len(shape) != 3:
        raise ShardError(f"{layer} of {encoder.arch} gives {shape}, no maps [C, h, w]")
    return shape


class _Apart(torch.autograd.Function):
    """The squared distance `[N]` of features `[N, C, h, w]` from those that are wanted, whose slope is one pass over
    them: autograd's own way took up to a third of a step at shallow layers."""

    @staticmethod
    def forward(ctx: Any, found: Tensor, wanted: Tensor) -> Tensor:
        apart = found - wanted
        ctx.save_for_backward(apart)
        return _squares(apart)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        (apart,) = ctx.saved_tensors
        return apart * (2 * slopes[0])[:, None, None, None], None


def _squares(features: Tensor) -> Tensor:
    flat = features.movedim(1, -1).flatten(1)  # as they lie in memory, where channels are last
    return torch.linalg.vecdot(flat, flat)
