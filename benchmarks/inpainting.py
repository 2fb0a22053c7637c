"""Filling one 256 px image against the bare generator: `python -m benchmarks inpainting`.

What `afterimage inpaint` does once its network is loaded (read the file and the boxes, fill, encode the PNG) beside one
forward pass of the same generator on the same image. The generator is that of a row trained at 256 px, with the
weights of its initialisation.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from afterimage import images, layout, outputs, weights
from afterimage.apply import inpainters
from afterimage.observations import masks
from afterimage.reconstructors.unet import Generator
from benchmarks.measuring import Line, in_turn, make_folder, ratio

SIDE = 256
WIDTH = 64
ROUNDS = 15
BOXES = ("20,30,75,75", "150,140,75,75")


def measure(work: Path) -> Iterator[Line]:
    """The one line; `work` is an empty folder."""
    make_folder(work / "photos", 1, SIDE)
    path = next((work / "photos").rglob("*.jpg"))
    model = work / layout.model("inpainters", "row")
    torch.manual_seed(0)
    weights.save(model / "model.safetensors", Generator(SIDE, WIDTH, "plain", True).state_dict(), {"row": "row"})
    outputs.write_json(model / "card.json", {"size": SIDE, "width": WIDTH, "blocks": "plain", "start": "smooth"})
    row = inpainters.InpainterRow(work, "row")
    data = path.read_bytes()
    mask = masks.of_boxes([masks.parse_box(box) for box in BOXES], SIDE, SIDE, path.name)
    given = images.to_tensor(np.asarray(images.decode(data)))[None].to(row.device)
    holes = torch.from_numpy(mask)[None, None].to(row.device, torch.float32)

    def command() -> None:
        boxes = [masks.parse_box(box) for box in BOXES]
        whole = images.decode(path.read_bytes())
        missing = masks.of_boxes(boxes, whole.height, whole.width, path.name)
        inpainters.fill(row, data, missing).save(work / "out.png", "PNG")

    def bare() -> None:
        with torch.inference_mode():
            row.generator(given, holes).cpu()

    pairs = in_turn(command, bare, ROUNDS)
    found = ratio(pairs)
    note = f"{found.spread}; bare {1000 * min(seconds for _, seconds in pairs):.0f} ms at best"
    yield Line("inpaint one 256 px image", "bare generator", found.median, "of its time", 1.5, note=note)
