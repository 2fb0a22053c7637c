"""Weights of networks: where they come from, and files that say so.

Every network that the pipeline does not train itself (encoders, the LPIPS trunk) gets its weights from a stage that
writes one safetensors file. The file's metadata names the origin, so that tables can always say which.
"""

import io
import json
import pickle
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from afterimage.core import outputs
from afterimage.core.errors import WeightsError
from afterimage.core.parsing import from_json, parsing

State = Mapping[str, Tensor]

PUBLISHED = re.compile(r"[A-Z][A-Z0-9_]+")
"""What torchvision's names of weights look like, such as IMAGENET1K_V1; files have other names."""
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def describe(weights: str, seed: int, sha256: str | None) -> str:
    """The origin of a row's weights in the words that tables use."""
    if weights == "random":
        return f"random, seed {seed}"
    if PUBLISHED.fullmatch(weights):
        return f"ImageNet (torchvision {weights})"
    return f"{Path(weights).name} ({(sha256 or '')[:12]})"


def from_torchvision(arch: str, name: str) -> State:
    """torchvision's weights of an architecture by their name, downloaded once and checked against their hash.

    Raises:
        WeightsError: torchvision has none of this name, they are for images that are normalised in another way, they
            cannot be reached, or the file is not the one it should be.
    """
    from torchvision.models import get_model_weights

    try:
        known = {weights.name: weights for weights in get_model_weights(arch)}
    except ValueError:
        known = {}
    if name not in known:  # DEFAULT is none of them: it means others from version to version
        raise WeightsError(f"torchvision has no weights `{name}` for {arch}; it has {', '.join(known) or 'none'}")
    enum = known[name]
    preset = enum.transforms()
    if (tuple(preset.mean), tuple(preset.std)) != (IMAGENET_MEAN, IMAGENET_STD):
        raise WeightsError(
            f"{arch} {name} is for images with mean {preset.mean} and deviation {preset.std}, not ImageNet's"
        )
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(enum.url).name
    prefix = cached.stem.rpartition("-")[2]
    # torch.hub checks the hash of what it downloads, not of a file that is there already
    if cached.is_file() and not (found := outputs.sha256(cached)).startswith(prefix):
        raise WeightsError(f"{cached}: its sha256 begins with {found[: len(prefix)]}, expected {prefix}; remove it")
    try:
        return enum.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (RuntimeError, pickle.UnpicklingError) as error:  # a wrong hash, or no weights
        raise WeightsError(f"{enum.url}: {str(error).splitlines()[0]}") from None
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise WeightsError(
            f"cannot download {enum.url}: {reason}; without a network, place the file in {cached.parent}"
        ) from None


def from_file(path: Path, sha256: str) -> State:
    """A state dict from a safetensors file, or from a torch file read with `weights_only`.

    Raises:
        WeightsError: the file is missing, altered, or holds something else than tensors by name.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such weights file")
    found = outputs.sha256(path)
    if found != sha256:
        raise WeightsError(f"{path}: its sha256 is {found}, expected {sha256}")
    with parsing(WeightsError, f"{path}: not weights that can be read safely"):
        if path.suffix == ".safetensors":
            return load_file(path)
        # In memory, where no length within it can ask for more than there is
        state = torch.load(io.BytesIO(path.read_bytes()), map_location="cpu", weights_only=True)
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path}: expected a state dict of tensors, found {type(state).__name__}")
    return state


def check(module: nn.Module, state: State, source: str, optional: Collection[str] = ()) -> None:
    """Compare a state's keys and shapes with those of a module.

    Args:
        source: the state's name in messages.
        optional: keys that the state may hold although the module does not, such as a classifier's.

    Raises:
        WeightsError: keys are missing, unknown or of another shape; the text names the first of each.
    """
    own = module.state_dict()
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    unknown = [key for key in state if key not in own and key not in optional]
    misshaped = [key for key in own if key in state and state[key].shape != own[key].shape]
    faults = []
    if missing:
        faults.append(f"{len(missing)} keys are missing, the first `{missing[0]}`")
    if unknown:
        faults.append(f"{len(unknown)} keys are unknown, the first `{unknown[0]}`")
    if misshaped:
        key = misshaped[0]
        faults.append(f"`{key}` has shape {list(state[key].shape)}, expected {list(own[key].shape)}")
    if faults:
        raise WeightsError(f"{source}: {'; '.join(faults)}")


def fit(module: nn.Module, state: State, source: str, optional: Collection[str] = ()) -> None:
    """`check` a state, then put it into a module."""
    check(module, state, source, optional)
    own = module.state_dict()
    # Not strict: checkpoints of old torch versions lack `num_batches_tracked`, which inference does not use
    module.load_state_dict({key: state[key] for key in own if key in state}, strict=False)


def save(path: Path, state: State, about: Mapping[str, Any]) -> None:
    """Write a state as safetensors; `about` goes into its metadata.

    Raises:
        SpaceError: the disk became full.
        WeightsError: the folder cannot be written to.
    """
    # One metadata key: safetensors keeps several in no fixed order, and the bytes would differ from run to run
    metadata = {"afterimage": json.dumps(about, sort_keys=True)}
    plain = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    with outputs.file(path) as partial:
        try:
            save_file(plain, partial, metadata=metadata)
        except SafetensorError as error:  # it wraps what the system says; `outputs` knows a full disk by it
            raise WeightsError(f"{path}: cannot be written: {error}") from None


def load(path: Path) -> tuple[dict[str, Any], State]:
    """What a file that `save` wrote says about itself, and its state.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    about = read_about(path)
    with parsing(WeightsError, f"{path}: not a weights file of this pipeline"):
        return about, load_file(path)


def read_about(path: Path) -> dict[str, Any]:
    """What a file that `save` wrote says about itself, without reading the weights."""
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such weights file")
    with parsing(WeightsError, f"{path}: not a weights file of this pipeline"):
        with safe_open(path, framework="pt") as stream:
            said = (stream.metadata() or {})["afterimage"]
        return from_json(said.encode(), f"{path}: its metadata", WeightsError)
