"""Storing the fixed masks of validation and test images, behind a gate."""

from functools import partial
from itertools import repeat
from pathlib import Path

from PIL import Image

from afterimage.core import engine, images, layout, outputs, shards
from afterimage.core.errors import AfterimageError
from afterimage.observations.holes import masks
from afterimage.observations.holes.row import Row, draw
from afterimage.observations.holes.store import is_paired, of_pair
from afterimage.validation import checks

FIXED = ("val", "test")
"""The splits whose masks are stored."""


def write(row: Row, name: str, shards_dir: Path, out_dir: Path) -> None:
    """Store the fixed masks of the validation and test samples of image shards, in tars of the same names.

    Args:
        name: of the row.

    Raises:
        ShardError: the image shards are not whole.
        HoleError: as for `draw`.
        CheckError: a stored mask does not fit its image; nothing is left at `out_dir`.
    """
    index = shards.load_index(shards_dir)
    size = index["size"]
    written: dict[str, list[shards.Shard]] = {}
    with outputs.folder(out_dir) as folder:
        files = engine.Files(
            common=[path for path in [Path(row.path)] if path.is_file()],
            reads=lambda tar: [engine.Piece(tar[0])],
            writes=lambda tar: [folder / tar[0].name],
        )
        for split in FIXED:
            tars = shards.tars(shards_dir, split)
            job = partial(_masks, row, size, is_paired(row, index, shards_dir), folder)
            made = engine.map(job, tars, jobs=1, label=f"{name} {split}", total=len(tars), files=files)
            written[split] = list(made)
        about = {
            "observation": name,
            "kind": row.kind,
            "row": row.model_dump(),
            "dataset": index["dataset"],
            "size": size,
            "missing": "white",
            "images": outputs.sha256(shards_dir / "index.json"),
            **({"file": outputs.sha256(Path(row.path))} if Path(row.path).is_file() else {}),
        }
        shards.write_index(folder, about, written)
        gate = checks.check_fixed(f"holes/{name}", folder, shards_dir, FIXED, _fault)
        outputs.write_json(folder / layout.GATES, {"gates": [gate]})


def _masks(row: Row, size: int, paired: bool, folder: Path, tar: tuple[Path, shards.Shard]) -> shards.Shard:
    """Write the masks of the samples of a tar, to one of the same name."""
    samples = shards.read_tar(*tar)
    inputs = shards.read_tar(*tar, shards.INPUT) if paired else repeat((None, None, None))
    with shards.writer(folder / tar[0].name) as put:
        for (key, data, _), (_, cover, _) in zip(samples, inputs, strict=False):
            mask = draw(row, key, None, size, size) if cover is None else of_pair(cover, data, key)
            put(f"{key}.png", images.encode_png(Image.fromarray(mask)))
    return put.described()


def _fault(stored: bytes, image: bytes) -> str | None:
    """What is wrong with a stored mask; None: nothing."""
    width, height = images.open_header(image).size
    try:
        masks.check(masks.read(stored, "mask", missing="white"), height, width, "mask")
    except AfterimageError as error:
        return str(error)
    return None
