"""Encoders of timm, such as DINOv2, the image towers of CLIP and SigLIP, and ConvNeXt.

timm knows where a network of its can be read (`feature_info`), reads there (`forward_intermediates`) and cuts off what
comes after (`prune_intermediate_layers`). So a layer here is what timm names:

- `blocks.5` of a transformer: the patch tokens after block 5 as a map `[N, C, h, w]`, without the final norm;
- `blocks.5.tokens`: the class and register tokens beside them `[N, P * C, 1, 1]`, token after token as channels, since
  they have no place in the image;
- `stages.2` and the like, of networks that are made of stages: the maps after one.
"""

import difflib
import inspect
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from afterimage.core import outputs, parsing, weights
from afterimage.core.errors import LayerError, WeightsError

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # requests would tell what is installed here; read on import

PREFIX = "timm/"
TOKENS = ".tokens"
TAG = re.compile(r"[\w-]+")
"""What timm's names of weights look like, such as `lvd142m`; a file has an ending, or a folder before its name."""
FILES = ("model.safetensors", "pytorch_model.bin")
"""What a repository of weights may hold, the better first."""


class Reading(NamedTuple):
    """What is read of a network.

    Attributes:
        places: of each layer among those that timm can read, and whether it is the tokens there.
        patch: what sides of images are brought to a multiple of, in px.
        fixed: (H, W) of the images, if the network takes no others.
    """

    arch: str
    places: dict[str, tuple[int, bool]]
    patch: int
    fixed: tuple[int, int] | None

    def __call__(self, network: Any, images: Tensor) -> dict[str, Tensor]:
        """Features by layer of normalised images `[N, 3, H, W]`.

        A map covers the whole image. Where no patches do, the image is resized to the nearest size that they cover.
        """
        size = (images.shape[-2], images.shape[-1])
        if self.fixed and size != self.fixed:
            sizes = [f"{width} x {height}" for height, width in (self.fixed, size)]
            raise LayerError(f"{self.arch} takes images of {sizes[0]} px alone, and these have {sizes[1]}")
        covered = [max(1, round(side / self.patch)) * self.patch for side in size]
        if list(size) != covered:
            images = F.interpolate(images, size=covered, mode="bilinear", align_corners=False)
        wanted = sorted({place for place, _ in self.places.values()})
        more = {"return_prefix_tokens": True} if any(tokens for _, tokens in self.places.values()) else {}
        found = network.forward_intermediates(images, indices=wanted, intermediates_only=True, **more)
        features = {}
        for layer, (place, tokens) in self.places.items():
            value = found[wanted.index(place)]
            if more:
                value = value[1].flatten(1)[:, :, None, None] if tokens else value[0]
            features[layer] = value
        return features


def holds(arch: str) -> bool:
    """Whether a network is one of timm's."""
    return arch.startswith(PREFIX)


def cut(arch: str, layers: Sequence[str]) -> tuple[nn.Module, "Reading", frozenset[str]]:
    """A network up to the deepest of some layers, what is read of it, and the keys of its weights before the cut.

    Raises:
        LayerError: timm has no such network, or it cannot be read, or not at such a layer.
    """
    import timm

    body = network(arch)
    keys = frozenset(body.state_dict())
    if not hasattr(body, "forward_intermediates"):
        raise LayerError(f"timm reads no layers of {arch}")
    places = {info["module"]: (place, False) for place, info in enumerate(body.feature_info)}
    if "return_prefix_tokens" in inspect.signature(body.forward_intermediates).parameters and body.num_prefix_tokens:
        places |= {f"{layer}{TOKENS}": (place, True) for layer, (place, _) in places.items()}
    if unknown := [layer for layer in layers if layer not in places]:
        raise LayerError(f"{arch} has no layer `{unknown[0]}`; it has {', '.join(places)}")
    strides = {info["reduction"] for info in body.feature_info}
    patched = hasattr(body, "patch_embed") or len(strides) == 1
    taken = timm.models.get_model_input_config(body)
    reading = Reading(
        arch,
        {layer: places[layer] for layer in layers},
        min(strides) if patched else 1,
        taken["input_size"][1:] if taken["fixed_input_size"] else None,
    )
    body.prune_intermediate_layers(sorted({place for place, _ in reading.places.values()}), prune_norm=True)
    for module in body.modules():
        if getattr(module, "inplace", None) is True:
            module.inplace = False  # or what was read before it would see its output
    return body, reading, keys


def network(arch: str) -> Any:
    """A network without its classifier, with timm's random weights; for images of any size, where it can be.

    Raises:
        LayerError: timm has no such network.
    """
    import timm

    _config(arch, "random")
    name = arch.removeprefix(PREFIX)
    with torch.random.fork_rng(devices=[]):
        try:
            return timm.create_model(name, num_classes=0, dynamic_img_size=True).eval()
        except TypeError:  # it has no such option
            return timm.create_model(name, num_classes=0).eval()


def normalisation(arch: str, source: str) -> dict[str, list[float]]:
    """Mean and standard deviation that images of a network with some weights are normalised by, by channel.

    Raises:
        LayerError: timm has no such network.
        WeightsError: or no such weights of it.
    """
    config = _config(arch, source)
    return {"mean": list(config.mean), "std": list(config.std)}


def trunk(arch: str, source: str, seed: int, sha256: str | None) -> weights.State:
    """The weights of a network without its classifier; see `encoders.trunk`.

    Raises:
        LayerError: timm has no such network.
        WeightsError: the weights cannot be had, are not those of the hash, or do not fit.
    """
    if source == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return network(arch).state_dict()
    if TAG.fullmatch(source):
        state = _published(arch, source, sha256)
    elif sha256 is None:
        raise WeightsError(f"{source}: weights from a file need their sha256")
    else:
        state = weights.from_file(Path(source), sha256)
    with torch.device("meta"):
        whole = network(arch)
    named = _config(arch, source).classifier or ()
    heads = tuple(f"{head}." for head in ([named] if isinstance(named, str) else named))
    classifier = {key for key in state if key.startswith(heads)} - set(whole.state_dict())
    weights.check(whole, state, source, optional=classifier)
    return {key: value for key, value in state.items() if key not in classifier}


def _published(arch: str, tag: str, sha256: str | None) -> weights.State:
    """Weights by their name, from a file of the hub, under timm's own keys."""
    import timm

    config = _config(arch, tag)
    path = _downloaded(config.hf_hub_id, config.hf_hub_filename, f"{arch} {tag}")
    where = f"{config.hf_hub_id}: {path.name}"
    found = outputs.sha256(path)
    if sha256 is None:
        raise WeightsError(f"{where} has the sha256 {found}; put that into the row to use this file and no other")
    if found != sha256:
        raise WeightsError(f"{where} has the sha256 {found}, expected {sha256}")
    state = dict(weights.from_file(path, sha256))
    name = f"{arch.removeprefix(PREFIX)}.{tag}"
    try:  # some files have the keys of their authors, which timm translates
        with torch.random.fork_rng(devices=[]):
            whole = timm.create_model(name, pretrained=True, pretrained_cfg_overlay={"state_dict": state})
    except (RuntimeError, KeyError) as error:
        raise WeightsError(f"{where} does not fit {arch}: {parsing.reason(error)}") from None
    return whole.state_dict()


def _downloaded(repository: str | None, file: str | None, name: str) -> Path:
    """A file of weights of the hub, in the client's cache: safetensors, where there are."""
    if repository is None:
        raise WeightsError(f"{name}: timm has no file of these weights on the hub; download one, and name it instead")
    import httpx2
    from huggingface_hub import errors, hf_hub_download

    repository, _, revision = repository.partition("@")
    endpoint = os.environ.get("HF_ENDPOINT")
    files = FILES if file is None else (str(Path(file).with_suffix(".safetensors")), file)
    for candidate in files:
        try:
            return Path(hf_hub_download(repository, candidate, revision=revision or None, endpoint=endpoint))
        except errors.EntryNotFoundError as error:  # it is not there, or the hub is not to be reached
            reason = parsing.reason(error)
        except (OSError, httpx2.TransportError) as error:
            reason = parsing.reason(error)
            break
    raise WeightsError(f"{repository}: cannot download {candidate}: {reason}; without a network, name a file instead")


def _config(arch: str, source: str) -> Any:
    """What timm says of a network and some weights of it; of its first ones, where they have no name."""
    import timm

    full = arch.removeprefix(PREFIX)
    name = full.partition(".")[0]
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=6)
        raise LayerError(f"timm has no network `{name}`" + (f"; it has {', '.join(close)}" if close else ""))
    if source != "random" and TAG.fullmatch(source):
        full = f"{full}.{source}"
    try:
        return timm.get_pretrained_cfg(full, allow_unregistered=False)
    except RuntimeError:
        tags = [each.partition(".")[2] for each in timm.list_pretrained(f"{name}.*")]
        raise WeightsError(
            f"timm has no weights `{full.partition('.')[2]}` of {name}; it has {', '.join(tags) or 'none'}"
        ) from None
