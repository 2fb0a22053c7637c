"""Draw restoration.jpg, fills.jpg and repaired.jpg of docs/images: bundled photographs, degraded or with holes, and
what rows of the zoo make of them.

None of them was trained on. `python docs/pictures.py`, after `make setup`.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pydantic import TypeAdapter
from ruamel.yaml import YAML

from afterimage import apply
from afterimage.core.images import Uint8
from afterimage.datasets.sources import bundled
from afterimage.evaluation.baselines.holes import fill
from afterimage.evaluation.metrics import psnr
from afterimage.observations.frames import cctv
from afterimage.observations.frames.filters import filtered, fitted
from afterimage.observations.frames.row import Steps
from afterimage.observations.holes.row import Boxes, draw

ROOT = Path(__file__).parents[1]
RUN = ROOT / "presets/results/real"
RESTORER, FILLER = "zoo/real-blind", "zoo/fill"
SHOWN = [
    ("astronaut", (0, 60, 320), "medium"),
    ("chelsea", (0, 80, 300), "heavy"),
    ("coffee", (60, 130, 320), "dark"),
    ("china", (60, 160, 320), "noise"),
]
"""Photograph, top, left and side in px of the square that is shown, and level of damage."""
FILLED = (
    *("astronaut", "chelsea", "china", "coffee", "flower", "grace_hopper", "hubble_deep_field", "ihc"),
    *("motorcycle_left", "motorcycle_right", "retina", "rocket"),
)
REPAIRED = ("astronaut", "chelsea", "rocket")
CELL, SMALL, GAP, HEAD, FOOT, FONT = 256, 208, 8, 28, 24, 14
Line = list[tuple[Uint8, str]]
"""Pictures side by side, with words under each."""


def photographs(names: Mapping[str, tuple[int, int, int] | None]) -> dict[str, Uint8]:
    """Squares of bundled photographs at the size of a cell: top, left and side in px, or None for the largest one in
    the middle."""
    row = bundled.Row(source="bundled", path=str(ROOT / "src/afterimage/datasets/sources/bundled.csv"), size=CELL)
    there = {item.name: item for item in bundled.items(row)}
    found = {}
    for name, place in names.items():
        with there[name].open() as stream:
            image = Image.open(stream).convert("RGB")
        side = min(image.size)
        top, left, side = place or ((image.height - side) // 2, (image.width - side) // 2, side)
        image = image.crop((left, top, left + side, top + side))
        found[name] = np.asarray(image.resize((CELL, CELL), Image.Resampling.LANCZOS))
    return found


def restorations() -> tuple[list[str], list[Line]]:
    levels = YAML(typ="safe", pure=True).load(RUN / "params.yaml")["observations"]["bsds"]["levels"]
    restored = apply.load(ROOT, RESTORER)
    lines = []
    for name, original in photographs({name: place for name, place, _ in SHOWN}).items():
        level = next(each for key, _, each in SHOWN if key == name)
        steps = TypeAdapter(Steps).validate_python(levels[level])
        frame = fitted(cctv.degrade(original, steps, 0, level, name, 0)[0], (CELL, CELL))
        images = [frame, filtered(frame, ["exposure", "nlm"]), restored.frames(frame[None])[0]]
        words = [f"{psnr(original[None], image[None])[0]:.1f} dB" for image in images]
        lines.append([*zip(images, [f"{level}, {words[0]}", *words[1:]], strict=True), (original, "")])
    return ["frame", "exposure, non-local means", RESTORER, "original"], lines


def fills() -> tuple[list[str], list[Line]]:
    """Two boxes of 75 px in each photograph, where the fixed ones of an observation would be."""
    row = Boxes(kind="holes", dataset="bundled", path="", seed=0, shape="boxes", count=2, side=75 / CELL, apart=True)
    rows = {f"{FILLER}/{case}": apply.load(ROOT, f"{FILLER}/{case}") for case in ("smooth", "exemplar")}
    lines = []
    for name, original in photographs(dict.fromkeys(FILLED)).items():
        mask = draw(row, name, None, CELL, CELL)
        given = np.where(mask[..., None], np.uint8(128), original)
        images = [fill(method, original, mask) for method in ("push_pull", "telea", "exemplar")]
        images += [np.asarray(each(Image.fromarray(given), mask).image) for each in rows.values()]
        errors = [np.sqrt(np.square((original - image.astype(float))[mask] / 255).mean()) for image in images]
        words = [f"hole RMSE {error:.3f}" for error in errors]
        lines.append([(given, name), *zip(images, words, strict=True), (original, "")])
    return ["given", "push_pull", "telea", "exemplar", *rows, "original"], lines


def repairs() -> tuple[list[str], list[Line]]:
    """A few of the fills, beside the one that most people would try first."""
    titles, lines = fills()
    columns = [titles.index(title) for title in ("given", "telea", f"{FILLER}/exemplar", "original")]
    chosen = [line for name, line in zip(FILLED, lines, strict=True) if name in REPAIRED]
    named = ["two boxes missing", "OpenCV (Telea)", f"afterimage inpaint {FILLER}", "original"]
    return named, [[(line[column][0], "") for column in columns] for line in chosen]


def sheet(titles: list[str], lines: list[Line], cell: int, foot: int = FOOT) -> Image.Image:
    """Pictures in lines, with words under each, in cells of so many px."""
    font = ImageFont.load_default(FONT)
    size = (len(titles) * (cell + GAP) + GAP, HEAD + len(lines) * (cell + foot + GAP))
    found = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(found)
    for column, title in enumerate(titles):
        pen.text((GAP + column * (cell + GAP), 6), title, "black", font)
    for number, line in enumerate(lines):
        top = HEAD + number * (cell + foot + GAP)
        for column, (image, words) in enumerate(line):
            left = GAP + column * (cell + GAP)
            found.paste(Image.fromarray(image).resize((cell, cell), Image.Resampling.LANCZOS), (left, top))
            pen.text((left, top + cell + 3), words, "black", font)
    return found


if __name__ == "__main__":
    sheet(*restorations(), CELL).save(ROOT / "docs/images/restoration.jpg", optimize=True)
    sheet(*fills(), SMALL).save(ROOT / "docs/images/fills.jpg", optimize=True)
    sheet(*repairs(), CELL, foot=0).save(ROOT / "docs/images/repaired.jpg", optimize=True)
