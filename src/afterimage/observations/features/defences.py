"""Defences: what can be done to features before they leave the machine that computed them, at inference alone.

The three that need no training of the network: noise (Titcombe et al., "Practical defences against model inversion
attacks for split neural networks", 2021; He et al., "Attacking and protecting data privacy in edge-cloud collaborative
inference systems", IEEE IoT Journal 2021), smaller maps, and fewer channels (Singh et al., "DISCO", CVPR 2021, prunes
channels by an image; here they are drawn once). Whoever decodes is taken to know the defence, but not what was drawn
for an image.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, TypeAdapter

from afterimage.core.params import Row
from afterimage.core.randomness import generator

if TYPE_CHECKING:
    from torch import Tensor


class Noise(Row):
    """Gaussian noise on every value."""

    step: Literal["noise"]
    strength: float = Field(gt=0)
    """Its standard deviation, as a share of that of the image's features in this layer."""
    seed: int = 0

    def __call__(self, features: "Tensor", layer: str, keys: Sequence[str] | None) -> "Tensor":
        import torch

        if keys is None:
            return features
        noisy = []
        for values, key in zip(features, keys, strict=True):
            drawn = generator(self.seed, self.step, layer, key).standard_normal(values.shape, dtype=np.float32)
            scale = self.strength * float(values.double().std(correction=0))
            noisy.append(values + scale * torch.from_numpy(drawn).to(values))
        return torch.stack(noisy)


class Pool(Row):
    """Means over squares of so many places a side; those at the edge may be smaller."""

    step: Literal["pool"]
    factor: int = Field(gt=1)

    def __call__(self, features: "Tensor", layer: str, keys: Sequence[str] | None) -> "Tensor":
        import torch.nn.functional as F

        return F.avg_pool2d(features, self.factor, ceil_mode=True, count_include_pad=False)


class Drop(Row):
    """Fewer channels, the same ones of every image. They are taken out rather than set to zero: the store shrinks, and
    zeros would tell nobody more, since which channels they are can be seen in any two images."""

    step: Literal["drop"]
    share: float = Field(gt=0, lt=1)
    """Of the channels that go, rounded; one stays at least."""
    seed: int = 0

    def __call__(self, features: "Tensor", layer: str, keys: Sequence[str] | None) -> "Tensor":
        import torch

        channels = features.shape[1]
        count = max(1, channels - round(self.share * channels))
        kept = np.sort(generator(self.seed, self.step, layer).permutation(channels)[:count])
        return features[:, torch.from_numpy(kept).to(features.device)]


Step = Annotated[Noise | Pool | Drop, Field(discriminator="step")]


def read(values: Any) -> list[Step]:
    """The steps that the index of features names; none of None.

    Raises:
        ValueError: it names others than there are.
    """
    return TypeAdapter(list[Step]).validate_python(values or [])


def defended(features: "Tensor", steps: Sequence[Step], layer: str, keys: Sequence[str] | None) -> "Tensor":
    """Features `[N, C, h, w]` of a layer after the steps of a defence, in their order; other C, h and w with some.

    Args:
        keys: a name an image, from which its noise is drawn; None: without noise, as a guess at an image is compared.
    """
    for step in steps:
        features = step(features, layer, keys)
    return features


def described(steps: Sequence[Step]) -> str:
    """A defence in a few words, as tables have it: `noise 0.1, pool 2`; empty for none."""
    return ", ".join(f"{step.step} {_amount(step):g}" for step in steps)


def _amount(step: Step) -> float:
    return step.strength if isinstance(step, Noise) else step.factor if isinstance(step, Pool) else step.share
