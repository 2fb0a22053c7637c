"""Restoring a clip against the bare network: `python -m benchmarks video`.

Ours: `video.restore` from a file to a file: decoding, tiles, flow, mixing, encoding, joining. The limit: the network of
the same row on the same frames, decoded and in memory, whole and one at a time, which is fastest without a GPU. It
needs the rows to be trained. `python -m benchmarks.flicker CLIP` measures what mixing does.

Peak memory is that of a process for a short clip and for one ten times as long: `python -m benchmarks.video FRAMES
FOLDER`. Its restorer is a filter, so that no network hides what the clip takes.
"""

import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from afterimage.core import images, params, stage
from afterimage.datasets import sources
from benchmarks.measuring import Line, in_turn, ratio
from benchmarks.memory import most_held

ROWS = ("photos-nafnet", "photos-seed")
SIZE = (640, 360)
FRAMES = 48
ROUNDS = 5
SHORT = 100
TIMES = 10


def measure(work: Path) -> Iterator[Line]:
    """A line a row for speed, and one for memory; `work` is an empty folder."""

    clip = make_clip(work / "in.mp4", FRAMES, SIZE)
    for name in ROWS:
        yield speed(name, clip, work / f"{name}.mp4")
    if not Path("/proc/self/status").exists():
        yield Line("peak memory, restore", "", None, "", 1.1, note="needs Linux")
        return
    few, many = (peak(count, work) for count in (SHORT, SHORT * TIMES))
    note = f"{few:.0f} and {many:.0f} MB"
    yield Line("peak memory, restore", f"{SHORT} frames", many / few, f"at {SHORT * TIMES}", 1.1, note=note)


def speed(name: str, clip: Path, out: Path) -> Line:
    """What part of the bare network's frames a second is left."""
    import torch

    from afterimage import apply, video
    from afterimage.core.errors import WeightsError
    from afterimage.video import reading

    what = f"restore a clip, {name}"
    try:
        row = apply.load(Path(), name)
    except WeightsError as error:
        return Line(what, "the bare network", None, "of its frames/s", 0.9, False, str(error))
    restoring = row.reconstructor
    frames = np.stack([frame.pixels for frame in reading.frames(reading.probe(clip), [])])

    def ours() -> None:
        video.restore(clip, out, row.frames, {"row": name}, video.Settings(), overwrite=True)

    def bare() -> None:
        with torch.inference_mode():
            for frame in frames:
                batch = images.to_tensor(frame[None]).to(restoring.device)
                images.to_uint8(restoring.network(batch.contiguous(memory_format=torch.channels_last)))

    pairs = in_turn(bare, ours, ROUNDS)
    found = ratio(pairs)
    rate = FRAMES * len(pairs) / sum(mine for _, mine in pairs)
    note = f"{rate:.3g} frames/s"
    return Line(what, "the bare network", found, "of its frames/s", 0.9, False, note)


def make_clip(path: Path, count: int, size: tuple[int, int]) -> Path:
    """A clip that pans over a bundled photograph."""
    from afterimage.video import reading, writing

    row = params.row(stage.PARAMS, "datasets", "photos", sources.Dataset)
    photograph = next(iter(sources.module("bundled").items(row)))
    picture = np.asarray(images.decode(sources.read(photograph.open)))
    width, height = size
    times = (-(-(height + 16) // picture.shape[0]), -(-(width + 16) // picture.shape[1]), 1)
    picture = np.tile(picture, times)
    clip = reading.Clip(path, width, height, Fraction(25), Fraction(1, 25), None, None, Fraction(1), 2, 2, 2)
    with writing.piece(path, clip, width, height) as encode:
        for number in range(count):
            left = abs(number % 32 - 16)
            encode(reading.Frame(number, np.ascontiguousarray(picture[left : left + height, left : left + width])))
    return path


def peak(count: int, work: Path) -> float:
    """Megabytes that a process held at most while it restored a clip of so many frames."""
    command = [sys.executable, "-m", "benchmarks.video", str(count), str(work)]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()[-1])


def do(count: int, work: Path) -> None:
    """Restore a clip of so many frames."""
    import cv2

    from afterimage import video

    def blurred(frames: images.Uint8) -> images.Uint8:
        return np.stack([cv2.blur(frame, (3, 3)) for frame in frames])

    clip = make_clip(work / f"{count}.mp4", count, SIZE)
    video.restore(clip, work / f"{count}-blurred.mp4", blurred, {}, video.Settings(smooth=0.5))


if __name__ == "__main__":
    do(int(sys.argv[1]), Path(sys.argv[2]))
    print(most_held())
