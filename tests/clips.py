"""Small clips for tests."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pictures

from afterimage.core.images import Uint8


def scene(count: int, width: int = 64, height: int = 48) -> list[Uint8]:
    """A square that crosses a still picture with a little noise."""
    random = np.random.default_rng(0)
    ground = np.asarray(pictures.noise(width, height), dtype=np.int16) // 2 + 40
    frames = []
    for number in range(count):
        frame = np.clip(ground + random.normal(0, 6, ground.shape), 0, 255).astype(np.uint8)
        left = number * 2 % (width - 12)
        frame[18:30, left : left + 12] = (250, 30, 30)
        frames.append(frame)
    return frames


def clip(
    path: Path,
    frames: Iterable[Uint8],
    times: Iterable[int] | None = None,
    sound: str | None = None,
    codec: str = "libx264",
    **options: Any,
) -> Path:
    """A clip at 25 frames a second, or at times in milliseconds, with or without a second of sound."""
    frames = list(frames)
    with av.open(str(path), "w", format=options.get("form")) as container:
        track = container.add_stream(codec, rate=25, options={"crf": "4"} if codec == "libx264" else {})
        track.height, track.width, _ = frames[0].shape
        track.pix_fmt = options.get("pix_fmt", "yuv444p")
        track.codec_context.time_base = Fraction(1, 1000)
        audio = container.add_stream(sound, rate=16000) if sound else None
        for pixels, when in zip(frames, times or range(0, 40 * len(frames), 40), strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            frame.pts, frame.time_base = when, Fraction(1, 1000)
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
        if audio is not None:
            wave = (8000 * np.sin(np.arange(16000) / 7)).astype(np.int16)[None]
            tone = av.AudioFrame.from_ndarray(wave, "s16", "mono")
            tone.sample_rate = 16000
            container.mux([*audio.encode(tone), *audio.encode(None)])
    return path


def decoded(path: Path) -> tuple[list[float], Uint8]:
    """Times in seconds and frames."""
    with av.open(str(path)) as container:
        found = [(float(frame.time), frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    return [when for when, _ in found], np.stack([pixels for _, pixels in found])
