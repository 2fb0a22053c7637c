"""Draw docs/images/restoration.jpg: bundled photographs, degraded, and restored by a row of the zoo.

None of them was trained on. `python docs/pictures.py`, after `make setup`.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pydantic import TypeAdapter
from ruamel.yaml import YAML

from afterimage import apply
from afterimage.core.images import Uint8
from afterimage.datasets.sources import bundled
from afterimage.evaluation.metrics import psnr
from afterimage.observations.frames import cctv
from afterimage.observations.frames.filters import filtered, fitted
from afterimage.observations.frames.row import Steps

ROOT = Path(__file__).parents[1]
RUN, ROW = ROOT / "presets/results/real", "zoo/real-blind"
SHOWN = [
    ("astronaut", (0, 60, 320), "medium"),
    ("chelsea", (0, 80, 300), "heavy"),
    ("coffee", (60, 130, 320), "medium"),
    ("china", (60, 160, 320), "light"),
]
"""Photograph, top, left and side in px of the square that is shown, and level of damage."""
CELL, GAP, HEAD, FOOT, FONT = 256, 8, 28, 24, 14


def squares() -> dict[str, Uint8]:
    row = bundled.Row(source="bundled", path=str(ROOT / "src/afterimage/datasets/sources/bundled.csv"), size=CELL)
    photographs = {item.name: item for item in bundled.items(row)}
    found = {}
    for name, (top, left, side), _ in SHOWN:
        with photographs[name].open() as stream:
            image = Image.open(stream).convert("RGB").crop((left, top, left + side, top + side))
        found[name] = np.asarray(image.resize((CELL, CELL), Image.Resampling.LANCZOS))
    return found


def main() -> None:
    levels = YAML(typ="safe", pure=True).load(RUN / "params.yaml")["observations"]["bsds"]["levels"]
    restored = apply.load(ROOT, ROW)
    rows = []
    for name, original in squares().items():
        level = next(each for key, _, each in SHOWN if key == name)
        steps = TypeAdapter(Steps).validate_python(levels[level])
        frame = fitted(cctv.degrade(original, steps, 0, level, name, 0)[0], (CELL, CELL))
        filters = filtered(frame, ["exposure", "nlm"])
        found = restored.frames(frame[None])[0]
        rows.append((level, original, [frame, filters, found]))
    titles = ["frame", "exposure, non-local means", ROW, "original"]
    font = ImageFont.load_default(FONT)
    sheet = Image.new("RGB", (4 * (CELL + GAP) + GAP, HEAD + len(rows) * (CELL + FOOT + GAP)), "white")
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        draw.text((GAP + column * (CELL + GAP), 6), title, "black", font)
    for number, (level, original, images) in enumerate(rows):
        top = HEAD + number * (CELL + FOOT + GAP)
        for column, image in enumerate([*images, original]):
            left = GAP + column * (CELL + GAP)
            sheet.paste(Image.fromarray(image), (left, top))
            words = f"{psnr(original[None], image[None])[0]:.1f} dB" if column < len(images) else ""
            draw.text((left, top + CELL + 3), f"{level}, {words}" if not column else words, "black", font)
    sheet.save(ROOT / "docs/images/restoration.jpg", optimize=True)


if __name__ == "__main__":
    main()
