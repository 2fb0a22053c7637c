"""What visitors send is checked before anything else sees it, and the server is quiet."""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pictures
import pytest
import uvicorn
from click.testing import CliRunner
from PIL import Image

from afterimage.app import guard, safety, server
from afterimage.cli import main
from afterimage.core.errors import AfterimageError, ImageError


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("text.png", b"hello", "text.png: not a picture in a known format; expected JPEG, PNG, WebP, HEIC or GIF."),
        ("empty.jpg", b"", "empty.jpg: the file is empty."),
        ("cut.jpg", pictures.truncated(), "cut.jpg: damaged image: "),
        ("bomb.png", pictures.bomb(), "bomb.png: 30000 x 30000 px are too many; expected at most 12000 px a side"),
        ("long.png", pictures.png(12_001, 40), "long.png: 12001 x 40 px are too many"),
        ("tiny.png", pictures.png(31, 40), "tiny.png: 31 x 40 px are too few; expected at least 32 px a side."),
        ("other.tiff", pictures.encoded(pictures.noise(), "TIFF"), "other.tiff: not a picture in a known format"),
        ("../../etc/passwd", b"", "passwd: the file is empty."),
        ("a\nb`*[x](y)<b>.png", b"", "a_b___x_(y)_b_.png: the file is empty."),
    ],
)
def test_a_bad_file_is_one_sentence(name: str, data: bytes, sentence: str) -> None:
    with pytest.raises(ImageError) as caught:
        safety.picture(name, data)
    text = str(caught.value)
    assert text.startswith(sentence)
    assert "\n" not in text
    assert text.endswith(".")


def test_a_large_file_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safety, "MAX_MEGABYTES", 0)
    with pytest.raises(ImageError, match=r"a\.png: .* MB are more than the 0 MB allowed\."):
        safety.picture("a.png", pictures.png())


def test_pictures_of_all_kinds_are_read_upright_as_rgb() -> None:
    image = pictures.noise(60, 40)
    assert safety.picture("a.png", pictures.oriented(image, 6)).image.size == (40, 60)
    cmyk = safety.picture("c.jpg", pictures.encoded(image.convert("CMYK"), "JPEG"))
    assert (cmyk.image.mode, cmyk.image.size, cmyk.name) == ("RGB", (60, 40), "c")
    moving = safety.picture("m.gif", pictures.animation())
    assert moving.image.getpixel((0, 0)) == (255, 0, 0)
    assert moving.note == "m.gif is an animation; its first frame is used."
    assert safety.picture("w.webp", pictures.encoded(image, "WEBP")).note == ""


def test_heic_is_read() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
    try:
        data = pictures.encoded(pictures.noise(64, 48), "HEIF")
    except Exception as error:
        pytest.skip(f"this build of pillow-heif cannot write HEIC: {error}")
    found = safety.picture("IMG_0001.HEIC", data)
    assert (found.image.size, found.name) == ((64, 48), "IMG_0001")


def test_too_many_files_are_refused() -> None:
    safety.batch([("a.png", 1_000_000)] * safety.MAX_FILES)
    with pytest.raises(ImageError, match="50 files are too many at once; expected at most 24"):
        safety.batch([("a.png", 10)] * 50)
    with pytest.raises(ImageError, match="240 MB are too many at once; expected at most 200 MB"):
        safety.batch([("a.png", 24_000_000)] * 10)


def test_shapes_become_the_mask_that_was_drawn() -> None:
    box = {"kind": "box", "box": [30, 4, 10, 9]}
    mask = safety.mask_from_shapes([box], (40, 20))
    expected = np.zeros((20, 40), dtype=bool)
    expected[4:9, 10:30] = True
    assert (mask == expected).all()
    stroke = {"kind": "stroke", "width": 6, "points": [[5, 10], [35, 10]]}
    drawn = safety.mask_from_shapes([stroke], (40, 20))
    assert drawn[8:12, 5:35].all()
    assert not drawn[:5].any()
    assert drawn[10, 2:4].all()  # ends are round and reach beyond the points
    eraser = {**stroke, "erases": True, "points": [[10, 6], [20, 6]]}
    later = {"kind": "box", "box": [12, 4, 14, 6]}
    left = safety.mask_from_shapes([box, eraser, later], (40, 20))
    expected[4:9, 10:22] = False
    expected[4:6, 12:14] = True  # what is drawn after the eraser stays
    assert (left[:, :20] == expected[:, :20]).all() and (left[:, 24:] == expected[:, 24:]).all()
    dot = safety.mask_from_shapes([{"kind": "stroke", "width": 4, "points": [[20, 10]]}], (40, 20))
    assert 4 < dot.sum() < 40


@pytest.mark.parametrize(
    "shapes",
    [
        "text",
        [1],
        [{}],
        [{"kind": "box"}],
        [{"kind": "box", "box": [1, 2, 3]}],
        [{"kind": "box", "box": [0, 0, float("nan"), 5]}],
        [{"kind": "stroke", "width": "x", "points": [[1, 2]]}],
        [{"kind": "stroke", "width": 3, "points": [[1, 2, 3]]}],
        [{"kind": "box", "box": [0, 0, 1, 1]}] * (safety.MAX_SHAPES + 1),
        [{"kind": "stroke", "width": 3, "points": [[1, 2]] * (safety.MAX_POINTS + 1)}],
    ],
)
def test_a_drawing_that_no_browser_of_ours_sent_is_refused(shapes: Any) -> None:
    with pytest.raises(ImageError, match=r"^The drawing (has too many strokes|could not be read); clear it"):
        safety.mask_from_shapes(shapes, (40, 20))


def test_shapes_cannot_reach_outside() -> None:
    far = [{"kind": "box", "box": [-1e300, -5, 1e300, 1e9]}, {"kind": "stroke", "width": 1e12, "points": [[1e300, 0]]}]
    assert safety.mask_from_shapes(far, (40, 20)).all()


def test_a_mask_file_fits_the_picture_or_says_why_not() -> None:
    hole = Image.new("L", (40, 40))
    hole.paste(255, (5, 5, 15, 25))
    mask = safety.mask_from_file("m.png", pictures.encoded(hole), (40, 40), "auto")
    assert mask.sum() == 200
    for data, size, words in (
        (pictures.encoded(hole), (50, 40), "m.png: the mask is 40 x 40 px, expected the image's 50 x 40 px"),
        (b"no", (40, 40), "m.png: not a picture in a known format"),
        (pictures.png(40, 40), (40, 40), "m.png: a mask is black and white"),
    ):
        with pytest.raises(AfterimageError, match=re.escape(words)):
            safety.mask_from_file("m.png", data, size, "auto")


# The server


def test_the_server_is_quiet_and_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: dict[str, Any] = {}
    started: list[uvicorn.Config] = []
    monkeypatch.setattr(server, "page", lambda options: chosen.update(options))
    monkeypatch.setattr(uvicorn.Server, "run", lambda self: started.append(self.config))
    monkeypatch.setenv("AFTERIMAGE_PROJECT", "elsewhere")
    done = CliRunner().invoke(main, ["app", "--port", "9000", "--host", "faces.example.org"])
    assert done.exit_code == 0, done.output
    (config,) = started
    assert (config.host, config.port, config.http) == ("127.0.0.1", 9000, guard.Protocol)
    assert isinstance(config.app, guard.Guard)
    assert config.app.hosts == {"faces.example.org"}
    assert config.ws_max_size == server.MAX_STATE_MEGABYTES * 1_000_000
    assert not config.ws_per_message_deflate  # a small message must not become a large one
    expected = {
        "browser.gatherUsageStats": False,
        "server.enableCORS": True,
        "server.enableXsrfProtection": True,
        "server.enableStaticServing": False,
        "server.maxUploadSize": safety.MAX_MEGABYTES,
        "client.allowedOrigins": [],
    }
    assert expected.items() <= chosen.items()  # whatever a config.toml of Streamlit says
    assert os.environ["AFTERIMAGE_PROJECT"] == str(Path.cwd())
    assert done.output == (
        "The page is at http://127.0.0.1:9000; it answers to faces.example.org, localhost and addresses.\n"
    )


def test_names_of_the_page_come_from_the_environment_of_a_container_too(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = []
    monkeypatch.setattr(server, "serve", lambda project, address, port, hosts: found.append(hosts))
    monkeypatch.setenv("AFTERIMAGE_HOSTS", "me-faces.hf.space faces.example.org")
    assert CliRunner().invoke(main, ["app"]).exit_code == 0
    assert found == [("me-faces.hf.space", "faces.example.org")]
