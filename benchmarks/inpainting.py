"""Filling one 256 px image against the bare generator: `python -m benchmarks inpainting`.

What `afterimage inpaint` does once its network is loaded (read the file and the boxes, fill, encode the PNG) beside one
forward pass of the same generator on the same image. The generator is that of a row trained at 256 px, with the
weights of its initialisation.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from afterimage.apply import holes
from afterimage.core import devices, images, params, stage
from afterimage.observations.holes import masks
from afterimage.reconstructors import Loaded
from afterimage.reconstructors.pix2pix import Filling
from afterimage.reconstructors.pix2pix.row import Pix2PixRow
from afterimage.reconstructors.pix2pix.unet import Generator
from benchmarks.measuring import Line, in_turn, make_folder, ratio

SIDE = 256
WIDTH = 64
ROUNDS = 15
BOXES = ("20,30,75,75", "150,140,75,75")


def measure(work: Path) -> Iterator[Line]:
    """The one line; `work` is an empty folder."""
    make_folder(work / "photos", 1, SIDE)
    path = next((work / "photos").rglob("*.jpg"))
    torch.manual_seed(0)
    device = devices.choose("auto")
    network = Generator(SIDE, WIDTH, "plain", True).eval().to(device)
    filling = Filling(network, SIDE, device)
    loaded = Loaded(params.row(stage.PARAMS, "reconstructors", "pix2pix", Pix2PixRow), {"size": SIDE}, work, {})
    row = holes.Applied("pix2pix", loaded, filling, "auto")
    mask = masks.of_boxes([masks.parse_box(box) for box in BOXES], SIDE, SIDE, path.name)
    given = images.to_tensor(np.asarray(images.decode(path.read_bytes())))[None].to(device)
    missing = torch.from_numpy(mask)[None, None].to(device, torch.float32)

    def command() -> None:
        boxes = [masks.parse_box(box) for box in BOXES]
        whole = images.decode(path.read_bytes())
        row(whole, masks.of_boxes(boxes, whole.height, whole.width, path.name)).image.save(work / "out.png", "PNG")

    def bare() -> None:
        with torch.inference_mode():
            network(given, missing).cpu()

    pairs = in_turn(command, bare, ROUNDS)
    found = ratio(pairs)
    note = f"bare {1000 * min(seconds for _, seconds in pairs):.0f} ms at best"
    yield Line("inpaint one 256 px image", "bare generator", found, "of its time", 1.5, note=note)
