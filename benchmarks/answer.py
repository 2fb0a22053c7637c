"""How long `afterimage restore` takes to answer: `python -m benchmarks answer`.

A new process of the command on one photograph of 640 x 480 px, by a row of the zoo, against a new process that imports
torch, loads the same network and restores the same pixels, whole.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.measuring import Line, in_turn, make_folder, ratio

ROW = "zoo/real-blind"
SIZE = (640, 480)
ROUNDS = 5
BARE = """
import sys
import numpy as np, torch
from PIL import Image
from afterimage import apply
from afterimage.core import images
from pathlib import Path
network = apply.load(Path(), sys.argv[1]).reconstructor.network
pixels = images.to_tensor(np.asarray(Image.open(sys.argv[2])))[None].contiguous(memory_format=torch.channels_last)
with torch.inference_mode():
    images.to_uint8(network(pixels))
"""


def measure(work: Path) -> Iterator[Line]:
    """One line; `work` is an empty folder."""
    make_folder(work / "images", 1, 256)
    picture = Image.open(next((work / "images").rglob("*.jpg"))).resize(SIZE, Image.Resampling.LANCZOS)
    photo = work / "photo.png"
    picture.save(photo)
    command = [Path(sys.executable).parent / "afterimage", "restore", ROW, photo, "-o", work / "out.png", "--overwrite"]

    def ours() -> None:
        subprocess.run(command, check=True, capture_output=True)

    def bare() -> None:
        subprocess.run([sys.executable, "-c", BARE, ROW, photo], check=True, capture_output=True)

    pairs = in_turn(ours, bare, ROUNDS)
    note = f"{np.median([mine for mine, _ in pairs]):.1f} s"
    limit = "torch, loading, bare pass"
    yield Line("first answer of afterimage restore", limit, ratio(pairs), "of its time", 1.2, note=note)
