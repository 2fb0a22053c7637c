"""Peak memory at ten times the images: `python -m benchmarks memory`.

Fetch, shard, observe and train run on N images and on 10 N, each time in a process of its own:
`python -m benchmarks.memory observe FOLDER` in the project's root does one piece of work and prints the most memory it
ever held. The limit is 1: memory does not follow the number of images. What a process holds before the first image
(most of it is torch) is in both.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from afterimage.core import params, stage
from benchmarks.measuring import Line, folder_row, make_features, make_folder

IMAGES = 200
TIMES = 10
WORK = ("fetch", "shard", "observe", "train")


def measure(work: Path) -> Iterator[Line]:
    """A line a piece of work; `work` is an empty folder."""
    if not Path("/proc/self/status").exists():
        yield Line("peak memory", "", None, "", 1.1, note="needs Linux")
        return
    sizes = {IMAGES: work / "few", IMAGES * TIMES: work / "many"}
    for count, folder in sizes.items():
        make_folder(folder / "images", count, 96)
    for piece in WORK:
        few, many = (peak(piece, folder) for folder in sizes.values())
        note = f"{few:.0f} and {many:.0f} MB"
        yield Line(f"peak memory, {piece}", f"{IMAGES} images", many / few, f"at {IMAGES * TIMES}", 1.1, note=note)


def peak(piece: str, folder: Path) -> float:
    """Megabytes that a process for a piece of work held at most."""
    command = [sys.executable, "-m", "benchmarks.memory", piece, str(folder)]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()[-1])


def do(piece: str, root: Path) -> None:
    """Do a piece of work on what the pieces before it left in a folder."""
    from afterimage.datasets import sharding, sources

    row = folder_row(root / "images", shard_samples=64)
    if piece == "fetch":
        sources.fetch(row, "images", root / "raw")
    elif piece == "shard":
        sharding.write(row, "images", root / "raw", root / "shards")
    elif piece == "observe":
        make_features("vgg16", root / "shards", root / "features")
    elif piece == "train":
        from afterimage.observations.features.store import Stored
        from afterimage.reconstructors.decoder.learner import DecoderLearner
        from afterimage.reconstructors.decoder.row import DecoderRow
        from afterimage.training import models

        trained = params.row(stage.PARAMS, "reconstructors", "vgg16-relu3_3", DecoderRow)
        trained = trained.model_copy(update={"training": trained.training.model_copy(update={"epochs": 1})})
        stored = Stored(root / "features/relu3_3", root / "shards", trained.model_dump())
        models.train("relu3_3", trained, DecoderLearner, stored, root / "model", root / "state")


def most_held() -> float:
    """Megabytes; not `ru_maxrss`, which starts at what the parent held when it started this process."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status has no VmHWM")


if __name__ == "__main__":
    do(sys.argv[1], Path(sys.argv[2]))
    print(most_held())
