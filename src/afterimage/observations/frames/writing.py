"""Storing the degraded frames of validation and test images at each level, behind a gate."""

import json
from collections.abc import Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from afterimage.core import engine, layout, outputs, shards
from afterimage.core.errors import ImageError
from afterimage.core.images import decode, encode_png, open_header
from afterimage.observations.frames import cctv
from afterimage.observations.frames.row import Row, Steps
from afterimage.validation import checks

SPLITS = ("val", "test")
TOGETHER = 16
"""Images of a unit of work."""


def write(row: Row, name: str, originals: Path, out: Path) -> None:
    """Degrade the validation and test images of image shards by each level of a row.

    Raises:
        ShardError: the shards cannot be read.
        CheckError: a stored frame does not fit its image; nothing is left at `out`.
    """
    index = shards.load_index(originals)
    with outputs.folder(out) as folder:
        for number, (level, steps) in enumerate(row.levels.items()):
            lines: list[tuple[str, ...]] = []
            splits = {}
            for split in SPLITS:
                table = shards.Table(originals, split, shards.INPUT if index.get("pairs") and not steps else "")
                path = folder / level / f"{split}-000000.tar"
                path.parent.mkdir(exist_ok=True)
                job = partial(_frames, steps, row.seed, level)
                starts = range(0, len(table), TOGETHER)
                places = (range(start, min(start + TOGETHER, len(table))) for start in starts)
                units = ([(table.keys[at], table.bytes(at)) for at in some] for some in places)
                with shards.writer(path) as put:
                    made = engine.map(job, units, label=f"{level} {split}", total=len(starts), unit="part")
                    for key, (frame, records) in zip(table.keys, chain.from_iterable(made), strict=True):
                        put(f"{key}.png", frame)
                        lines += [(key, split, str(nth), _json(record)) for nth, record in enumerate(records)]
                splits[split] = [put.described()]
            about = {
                "observation": name,
                "kind": row.kind,
                "level": level,
                "place": number,
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


def _frames(
    steps: Steps, seed: int, level: str, samples: Sequence[tuple[str, bytes]]
) -> list[tuple[bytes, list[cctv.Record]]]:
    """The frame of each of some samples, as PNG, and what was drawn for it."""
    images = ((key, np.asarray(decode(data))) for key, data in samples)
    made = (cctv.degrade(image, steps, seed, level, key, 0) for key, image in images)
    return [(encode_png(frame), records) for frame, records in made]


def _json(record: cctv.Record) -> str:
    return json.dumps(record, sort_keys=True)
