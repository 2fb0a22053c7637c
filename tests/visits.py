"""What a visitor does on a page, without a browser."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from afterimage.app import widgets
from afterimage.core.images import Uint8


def page(name: str, monkeypatch: pytest.MonkeyPatch, project: Path) -> AppTest:
    monkeypatch.setenv("AFTERIMAGE_PROJECT", str(project))
    script = f"from afterimage.app import frame\nframe.page({name!r})"
    return AppTest.from_string(script, default_timeout=60).run()


def said(boxes: Any) -> list[str]:
    """The texts of boxes, without the backslashes that keep them from being markup."""
    return [re.sub(r"\\(.)", r"\1", box.value) for box in boxes]


def upload(test: AppTest, name: str, data: bytes) -> AppTest:
    test.segmented_control(key="source").set_value("Upload").run()
    return test.file_uploader(key="upload").set_value((name, data, "image/png")).run()


def numbers(test: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in test.metric}


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch, gallery: str) -> Iterator[dict[str, Image.Image]]:
    """The pictures that a gallery shows, by their titles."""
    shown: dict[str, Image.Image] = {}
    real = widgets.gallery

    def spy(cells: list[widgets.Cell], key: str, **options: Any) -> str:
        if key == gallery:
            shown.update({cell.title: cell.image for cell in cells})
        return real(cells, key, **options)

    with monkeypatch.context() as patch:
        patch.setattr(widgets, "gallery", spy)
        yield shown


def movie(frames: Uint8, rate: int = 25, times: list[int] | None = None, form: str = "mp4") -> bytes:
    """Frames `[N, H, W, 3]` as a clip, at a rate or at times in milliseconds."""
    stream = io.BytesIO()
    with av.open(stream, "w", format=form) as container:
        track = container.add_stream("libx264", rate=rate, options={"crf": "4"})
        track.height, track.width, _ = frames[0].shape
        track.pix_fmt = "yuv444p"
        track.codec_context.time_base = Fraction(1, 1000)
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            frame.pts = times[number] if times else round(number * 1000 / rate)
            frame.time_base = Fraction(1, 1000)
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    return stream.getvalue()
