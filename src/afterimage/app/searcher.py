"""One search in a process of its own, which `searches` starts: a picture comes in, and each step goes out as a line.

python -m afterimage.app.searcher PROJECT ROW < picture.png
"""

import base64
import io
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from afterimage.core.errors import AfterimageError
from afterimage.core.images import encode_png

Put = Callable[[dict[str, object]], None]
SHOWN_EVERY = 0.3
"""Seconds between two pictures; the steps between them go untold."""
NICENESS = 5
"""The page goes on beside a search, and comes first."""


def main(project: Path, row: str) -> None:
    os.nice(NICENESS)
    os.environ["TQDM_DISABLE"] = "1"  # read when tqdm is imported; its bar is no line of the server's log
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no step
    image = Image.open(io.BytesIO(sys.stdin.buffer.read()))

    def put(line: dict[str, object]) -> None:
        out.write(json.dumps(line) + "\n")
        out.flush()

    try:
        _search(project, row, image, put)
    except AfterimageError as error:
        put({"fault": str(error)})


def _search(project: Path, row: str, image: Image.Image, put: Put) -> None:
    from afterimage import apply
    from afterimage.apply import searching

    last = 0.0

    def told(step: searching.Step) -> None:
        nonlocal last
        if step.number and not step.over and time.monotonic() - last < SHOWN_EVERY:
            return
        last = time.monotonic()
        shown = None if step.image is None else base64.b64encode(encode_png(step.image)).decode()
        put({**step._asdict(), "image": shown})

    searching.search(apply.load(project, row), image, told)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
