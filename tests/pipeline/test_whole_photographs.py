"""The decoders of the default run on whole photographs that nothing was trained on, where they are trained."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from afterimage import apply
from afterimage.core import layout, params

ROOT = Path(__file__).parents[2]
TILE = 64
MOST_LOST = 1.0
"""In dB, against the same photograph in tiles of the size that the rows were trained on."""


def decoders() -> list[str]:
    rows = params.load(ROOT / "params.yaml")["reconstructors"]
    return [name for name, row in rows.items() if row["kind"] == "decoder"]


def photograph(name: str) -> Image.Image:
    spec = importlib.util.find_spec("skimage")
    assert spec is not None and spec.origin is not None
    image = Image.open(Path(spec.origin).parent / "data" / name).convert("RGB")
    return image.crop((0, 0, image.width // TILE * TILE, image.height // TILE * TILE))


def psnr(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(-10 * np.log10(np.square((found.astype(float) - wanted) / 255).mean()))


@pytest.mark.parametrize("row", decoders())
def test_a_whole_photograph_comes_back_as_well_as_its_tiles(row: str) -> None:
    if not (ROOT / layout.model(row) / "model.safetensors").is_file():
        pytest.skip("the default run is not built here: make repro")
    decode = apply.load(ROOT, row, "cpu")
    lost, lead = [], []
    for image in (photograph("chelsea.png"), photograph("coffee.png")):
        wanted = np.asarray(image)
        tiled = np.empty_like(wanted)
        for y in range(0, wanted.shape[0], TILE):
            for x in range(0, wanted.shape[1], TILE):
                tile = decode(image.crop((x, y, x + TILE, y + TILE)))
                tiled[y : y + TILE, x : x + TILE] = np.asarray(tile)
        whole = psnr(np.asarray(decode(image)), wanted)
        lost.append(psnr(tiled, wanted) - whole)
        lead.append(whole - psnr(np.broadcast_to(wanted.mean((0, 1)), wanted.shape), wanted))
    print(f"{row}: {np.mean(lost):.2f} dB lost, {min(lead):.2f} dB above the mean colour")
    assert np.mean(lost) <= MOST_LOST
    assert min(lead) > 0
