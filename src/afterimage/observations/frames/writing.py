"""Storing the degraded frames of validation and test images at each level, behind a gate."""

import json
from functools import partial
from pathlib import Path

import numpy as np

from afterimage.core import engine, layout, outputs, shards
from afterimage.core.errors import ImageError
from afterimage.core.images import Uint8, decode, encode_png, open_header
from afterimage.observations.frames import cctv
from afterimage.observations.frames.row import Row, Steps
from afterimage.validation import checks

SPLITS = ("val", "test")


def write(row: Row, name: str, originals: Path, out: Path) -> None:
    """Degrade the validation and test images of image shards by each level of a row.

    Raises:
        ShardError: the shards cannot be read.
        CheckError: a stored frame does not fit its image; nothing is left at `out`.
    """
    index = shards.load_index(originals)
    with outputs.folder(out) as folder:
        for place, (level, steps) in enumerate(row.levels.items()):
            lines: list[tuple[str, ...]] = []
            splits = {}
            for split in SPLITS:
                table = shards.Table(originals, split, shards.INPUT if index.get("pairs") and not steps else "")
                path = folder / level / f"{split}-000000.tar"
                path.parent.mkdir(exist_ok=True)
                job = partial(_frame, table, steps, row.seed, level)
                with shards.writer(path) as put:
                    made = engine.map(job, range(len(table)), label=f"{level} {split}", total=len(table))
                    for key, (frame, records) in zip(table.keys, made, strict=True):
                        put(f"{key}.png", encode_png(frame))
                        lines += [(key, split, str(number), _json(record)) for number, record in enumerate(records)]
                splits[split] = [put.described()]
            about = {
                "observation": name,
                "kind": row.kind,
                "level": level,
                "place": place,
                "dataset": index["dataset"],
                "size": index["size"],
                "images": outputs.sha256(originals / "index.json"),
                "seed": row.seed,
                "people": row.people,
                "steps": [step.model_dump() for step in steps],
            }
            shards.write_index(folder / level, about, splits)
            outputs.write_csv(folder / level / "drawn.csv", ("key", "split", "number", "drawn"), lines)
        gates = [
            checks.check_fixed(f"frames/{name}/{level}", folder / level, originals, SPLITS, _fault)
            for level in row.levels
        ]
        outputs.write_json(folder / layout.GATES, {"gates": gates})


def _fault(stored: bytes, image: bytes) -> str | None:
    """What is wrong with a stored frame; None: nothing."""
    try:
        frame, size = open_header(stored), open_header(image).size
    except ImageError as error:
        return str(error)
    if frame.mode != "RGB" or frame.width > size[0] or frame.height > size[1]:
        return f"{frame.width} x {frame.height} px, {frame.mode}; expected RGB and at most {size[0]} x {size[1]} px"
    return None


def _frame(table: shards.Table, steps: Steps, seed: int, level: str, place: int) -> tuple[Uint8, list[cctv.Record]]:
    image = np.asarray(decode(table.bytes(place)))
    return cctv.degrade(image, steps, seed, level, table.keys[place], 0)


def _json(record: cctv.Record) -> str:
    return json.dumps(record, sort_keys=True)
