"""Restoring a clip: decoded, restored, steadied and encoded at once, each in its own thread, in bounded memory.

The restored clip is made in pieces of `PIECE` frames, which lie in the work folder until all are there. Beside them
lies the state that the next piece goes on from, so that an interrupted run ends with the frames of one that was not.
"""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from afterimage.core import engine, outputs
from afterimage.core.errors import VideoError
from afterimage.video import Outcome, Restore, Settings, reading, regions, steady, work, writing
from afterimage.video.faces import Face, Faces
from afterimage.video.live import Feed
from afterimage.video.reading import Clip, Frame

TOGETHER = 4
"""Frames that are restored together."""
PIECE = 32
"""Frames of a piece; a multiple of `TOGETHER`, so that an interrupted run takes the same frames together."""
AHEAD = 2 * TOGETHER
"""Frames by which decoding, and restoring, may be ahead of what follows."""
STATE = "state.npz"

Thing = TypeVar("Thing")


class Progress(NamedTuple):
    """What is finished, and what the next frame needs."""

    starts: tuple[int, ...] = ()
    """The time of the first frame of each finished piece."""
    frames: int = 0
    faceless: int = 0
    """Frames in which no face was found."""
    state: steady.State | None = None
    faces: Faces | None = None
    """Those that are followed; None before the first search."""


class Restored(NamedTuple):
    """A frame to write, and where things stand after it."""

    frame: Frame
    after: Progress


def restore(path: Path, out: Path, restorer: Restore, about: dict[str, Any], settings: Settings) -> Outcome:
    """Restore a clip; `about` tells the restorer from others.

    Raises:
        VideoError: it is no clip, or `out` cannot hold what comes of it.
    """
    clip = reading.probe(path)
    form = writing.form_of(out)
    writing.check(clip, out)
    faults: list[str] = []
    job = {"input": work.described(path), "restorer": about, "settings": settings._asdict()}
    with work.folder(out, job) as folder:
        progress = _load(folder / STATE)
        sources = _ahead(reading.frames(clip, faults, progress.frames))
        restored = _ahead(_restored(sources, clip, restorer, settings, progress))
        shown = engine.progress(restored, f"restore {path.name}", clip.frames, "frame", progress.frames)
        width = clip.width * (2 if settings.side_by_side else 1)
        for first in shown:
            target = _piece(folder, len(progress.starts))
            with outputs.file(target) as partial, writing.piece(partial, clip, width, clip.height) as encode:
                for each in chain([first], islice(shown, PIECE - 1)):
                    encode(each.frame)
            progress = each.after._replace(starts=(*progress.starts, first.frame.time))
            _save(folder / STATE, progress)
        if not progress.frames:
            raise VideoError(f"{path}: no frames in this file")
        with outputs.file(out) as partial:
            pieces = [(_piece(folder, number), start) for number, start in enumerate(progress.starts)]
            faults += writing.join(pieces, clip, partial, form)
    return Outcome(progress.frames, _words(progress, settings), faults)


def stream(feed: Feed, out: Path, restorer: Restore, settings: Settings, count: int | None) -> Outcome:
    """Restore what a camera sends until the feed ends, or so many frames; whatever ends it, the clip is whole.

    Raises:
        VideoError: nothing came, or `out` cannot hold what comes of it.
    """
    form = writing.form_of(out)
    progress = Progress()
    try:
        clip = feed.connect()
        width = clip.width * (2 if settings.side_by_side else 1)
        restored = _ahead(_restored(_ahead(feed.frames(clip, count)), clip, restorer, settings, progress))
        with outputs.file(out) as partial, writing.piece(partial, clip, width, clip.height, form) as encode:
            for each in engine.progress(restored, f"restore {feed.name}", count, "frame"):
                encode(each.frame)
                progress = each.after
            if not progress.frames:
                raise VideoError(f"{feed.name}: stopped before its first frame")
    finally:
        feed.stop()  # or those who wait for a frame would wait on
    words = [_words(progress, settings)] if progress.frames > 1 else []
    if feed.dropped:
        words.append(f"{feed.dropped} frames dropped: the camera is faster")
    return Outcome(progress.frames, "; ".join(words), [feed.fault] if feed.fault else [])


def _restored(
    frames: Iterator[Frame], clip: Clip, restorer: Restore, settings: Settings, done: Progress
) -> Generator[Restored, None, None]:
    for together, looked in _ahead(_looked(frames, clip, restorer, settings, done.faces), 2):
        done = done._replace(faces=looked.faces)
        for (time, source), result in zip(together, looked.frames, strict=True):
            state = steady.follow(done.state, source, result, settings.smooth, settings.faces)
            done = done._replace(frames=done.frames + 1, faceless=done.faceless + (not looked.found), state=state)
            picture = np.hstack([source, state.result]) if settings.side_by_side else state.result
            yield Restored(Frame(time, picture), done)


def _looked(
    frames: Iterator[Frame], clip: Clip, restorer: Restore, settings: Settings, faces: Faces | None
) -> Generator[tuple[list[Frame], regions.Looked], None, None]:
    while together := list(islice(frames, TOGETHER)):
        try:
            looked = regions.apply(restorer, np.stack([frame.pixels for frame in together]), settings, faces)
        except VideoError as error:
            seconds = float(together[0].time * clip.time_base)
            raise VideoError(f"{clip.path}: at {seconds:.3f} s: {error}") from None
        faces = looked.faces
        yield together, looked


def _ahead(items: Generator[Thing, None, None], count: int = AHEAD) -> Iterator[Thing]:
    """Draw items in a thread of their own, a few before they are taken; what it raises is raised here."""

    def draw() -> list[Thing]:
        return list(islice(items, 1))

    pool = ThreadPoolExecutor(1)
    try:
        waiting = deque(pool.submit(draw) for _ in range(count))
        while drawn := waiting.popleft().result():
            waiting.append(pool.submit(draw))
            yield drawn[0]
    finally:
        pool.shutdown(cancel_futures=True)
        items.close()


def _piece(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.mp4"


def _save(path: Path, progress: Progress) -> None:
    state = progress.state
    assert state is not None, "a piece has frames"
    numbers = [progress.frames, progress.faceless, *state.sums]
    with outputs.file(path) as partial, partial.open("wb") as stream:
        np.savez(
            stream,
            numbers=np.array(numbers, dtype=np.int64),
            starts=np.array(progress.starts, dtype=np.int64),
            source=state.source,
            result=state.result,
            faces=np.array(progress.faces or (), dtype=np.float64).reshape(-1, len(Face._fields)),
        )


def _load(path: Path) -> Progress:
    if not path.exists():
        return Progress()
    with np.load(path, allow_pickle=False) as kept:
        frames, faceless, *sums = kept["numbers"].tolist()
        state = steady.State(kept["source"], kept["result"], steady.Sums(*sums))
        faces = tuple(Face(*line) for line in kept["faces"].tolist())
        return Progress(tuple(kept["starts"].tolist()), frames, faceless, state, faces)


def _words(progress: Progress, settings: Settings) -> str:
    words = []
    sums = progress.state.sums if progress.state else steady.Sums()
    if flicker := sums.flicker():
        before, after = flicker
        share = sums.agreeing / sums.pixels
        words.append(f"flicker {before:.2f} -> {after:.2f} levels along motion ({share:.0%} of the picture)")
    if progress.faceless:
        fate = {"whole": "restored whole", "keep": "kept as they are"}[settings.no_face]
        words.append(f"no face found in {progress.faceless} of {progress.frames} frames: {fate}")
    return "; ".join(words)
