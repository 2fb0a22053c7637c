import csv
import io
import struct
import tarfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pictures
import pytest
from PIL import Image

from afterimage.core import images, params
from afterimage.core.errors import ParamsError, SourceError
from afterimage.datasets import sources


def clip(path: Path, colours: list[tuple[int, int, int]], fps: int = 10, codec: str = "ffv1", **options: Any) -> Path:
    """A clip with a frame of each colour; ffv1 keeps them without loss."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        track = container.add_stream(codec, rate=fps)
        track.width, track.height = options.get("size", (48, 40))
        track.pix_fmt = options.get("pix_fmt", "bgr0" if codec == "ffv1" else "yuv420p")
        for colour in colours:
            pixels = np.full((track.height, track.width, 3), colour, dtype=np.uint8)
            pixels[:10, :10] = 255  # a corner, to tell how it is turned
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    return path


def grey(count: int, first: int = 0) -> list[tuple[int, int, int]]:
    return [(first + n, 0, 0) for n in range(count)]


def fetch(path: Path, **values: Any) -> tuple[dict[str, dict[str, str]], dict[str, str], dict[str, bytes]]:
    """The manifest by key, the rejected by origin, and the images by key."""
    data = {"source": "video", "size": 32, "path": str(path), "rate": 5.0, **values}
    row = sources.Dataset.kind_of(data).model_validate(data)
    raw = path.parent / "raw"
    sources.fetch(row, "mine", raw)
    kept = {}
    with tarfile.open(raw / "images.tar") as tar:
        for member in tar:
            stream = tar.extractfile(member)
            assert stream is not None
            kept[member.name] = stream.read()
    rejected = {line["origin"]: line["reason"] for line in table(raw / "rejected.csv")}
    return {line["key"]: line for line in table(raw / "manifest.csv")}, rejected, kept


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def colour(data: bytes) -> tuple[int, int, int]:
    pixel = images.decode(data).getpixel((30, 30))
    assert isinstance(pixel, tuple)
    return pixel  # type: ignore[return-value]


def clips(root: Path, count: int = 24) -> Path:
    """Clips of three frames at 10 a second, enough for three splits."""
    for n in range(count):
        clip(root / f"person{n // 2:02d}" / f"{n % 2}.mkv", grey(3, 10 * n))
    return root


def test_frames_at_a_rate(tmp_path: Path) -> None:
    manifest, rejected, kept = fetch(clips(tmp_path / "in"))
    assert rejected == {}
    assert len(manifest) == 24 * 2
    line = manifest["person01--1--000001"]
    assert (line["origin"], line["clip"], line["seconds"]) == ("person01/1.mkv at 0.200 s", "person01/1.mkv", "0.200")
    assert (line["group"], line["width"], line["height"]) == ("person01/1", "48", "40")
    assert [colour(kept[f"person01--1--{n:06d}"]) for n in range(2)] == [(30, 0, 0), (32, 0, 0)]


def test_a_clip_is_in_one_split_and_a_person_if_asked(tmp_path: Path) -> None:
    manifest, _, _ = fetch(clips(tmp_path / "in"), group="parent")
    splits: dict[str, set[str]] = {}
    for line in manifest.values():
        splits.setdefault(line["group"], set()).add(line["split"])
    assert len(splits) == 12
    assert all(len(found) == 1 for found in splits.values())
    assert {line["split"] for line in manifest.values()} == set(sources.SPLITS)


def test_official_splits(tmp_path: Path) -> None:
    for n, split in enumerate(("train", "val", "test")):
        clip(tmp_path / "in" / split / "a.mkv", grey(1, n))
    manifest, _, _ = fetch(tmp_path / "in")
    assert {key: line["split"] for key, line in manifest.items()} == {
        f"{split}--a--000000": split for split in ("train", "val", "test")
    }


@pytest.mark.parametrize(("fps", "rate", "steps"), [(10, 4.0, [0, 1, 2, 3]), (3, 5.0, [0, 1, 3]), (30, 29.97, [0, 1])])
def test_rates_that_do_not_divide(tmp_path: Path, fps: int, rate: float, steps: list[int]) -> None:
    root = clips(tmp_path / "in")
    clip(root / "long.mkv", grey(2 if fps == 30 else fps), fps=fps)
    manifest, _, kept = fetch(root, rate=rate)
    assert [int(key[-6:]) for key in manifest if key.startswith("long--")] == steps
    times = [float(manifest[f"long--{step:06d}"]["seconds"]) for step in steps]
    assert all(time >= step / rate - 0.001 for time, step in zip(times, steps, strict=True))
    assert [colour(kept[f"long--{step:06d}"])[0] for step in steps] == [round(time * fps) for time in times]


def test_the_same_bytes_each_time(tmp_path: Path) -> None:
    root = clips(tmp_path / "in")
    clip(root / "lossy.mp4", grey(20), codec="mpeg4")
    assert fetch(root) == fetch(root)


@pytest.mark.parametrize(("space", "fits"), [(1, True), (5, False)])
def test_the_colour_space_of_the_clip(tmp_path: Path, space: int, fits: bool) -> None:
    """Red by BT.709 (Y 63, Cb 102, Cr 240) is another colour where the clip says BT.601."""
    root = clips(tmp_path / "in")
    with av.open(str(root / "red.mkv"), "w") as container:
        track = container.add_stream("ffv1", rate=1)
        track.width, track.height, track.pix_fmt = 48, 40, "yuv444p"
        track.codec_context.colorspace = space
        planes = np.stack([np.full((40, 48), value, dtype=np.uint8) for value in (63, 102, 240)])
        frame = av.VideoFrame.from_ndarray(planes, "yuv444p")
        frame.colorspace = space
        container.mux([*track.encode(frame), *track.encode(None)])
    found = colour(fetch(root)[2]["red--000000"])
    assert (max(abs(a - b) for a, b in zip(found, (255, 0, 0), strict=True)) <= 3) is fits


@pytest.mark.parametrize(
    ("matrix", "corner"), [((0, 1, -1, 0), (1, 0)), ((0, -1, 1, 0), (0, 1)), ((-1, 0, 0, -1), (1, 1))]
)
def test_a_clip_that_was_filmed_sideways(tmp_path: Path, matrix: tuple[int, ...], corner: tuple[int, int]) -> None:
    path = clip(clips(tmp_path / "in") / "phone.mp4", [(0, 0, 0)] * 3, codec="mpeg4")
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in matrix)
    data[start : start + 36] = struct.pack(">9l", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    manifest, _, kept = fetch(tmp_path / "in")
    picture = images.decode(kept["phone--000000"])
    assert picture.size == ((48, 40) if matrix[0] else (40, 48))
    assert (manifest["phone--000000"]["width"], manifest["phone--000000"]["height"]) == tuple(map(str, picture.size))
    place = tuple(3 if far == 0 else length - 4 for far, length in zip(corner, picture.size, strict=True))
    bright = np.asarray(picture).sum(axis=2) > 300
    assert bright[place[1], place[0]]
    assert bright.sum() < 200


def test_what_is_no_clip_is_set_aside(tmp_path: Path) -> None:
    root = clips(tmp_path / "in")
    secret = clip(tmp_path / "secret.mkv", grey(3))
    pictures.folder(
        root,
        {
            "empty.mp4": b"",
            "words.mp4": b"these are words",
            "list.mp4": b"ffconcat version 1.0\nfile person00/0.mkv\n",
            "stream.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{secret}\n#EXT-X-ENDLIST\n".encode(),
            "notes.txt": b"no clip",
        },
    )
    (root / "out.mkv").symlink_to(secret)
    manifest, rejected, _ = fetch(root, max_rejected=0.2)
    assert len(manifest) == 48
    assert rejected.pop("out.mkv") == "link that leads out of the folder"
    assert sorted(rejected) == ["empty.mp4", "list.mp4", "stream.mp4", "words.mp4"]
    assert all(reason.startswith("damaged clip: ") for reason in rejected.values()), rejected


def test_sound_alone_is_no_clip(tmp_path: Path) -> None:
    root = clips(tmp_path / "in")
    with av.open(str(root / "sound.mkv"), "w") as container:
        track = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), dtype=np.int16), "s16", "mono")
        frame.sample_rate, frame.time_base, frame.pts = 8000, Fraction(1, 8000), 0
        container.mux([*track.encode(frame), *track.encode(None)])
    assert fetch(root)[1] == {"sound.mkv": "no video in this file"}


def test_the_rest_of_a_damaged_clip_is_set_aside(tmp_path: Path) -> None:
    root = clips(tmp_path / "in")
    path = clip(root / "long.avi", grey(40), fps=10)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = np.random.default_rng(0).bytes(3000)
    path.write_bytes(data)
    manifest, rejected, _ = fetch(root, max_rejected=0.5)
    frames = [key for key in manifest if key.startswith("long--")]
    assert 1 <= len(frames) < 20
    assert [origin.partition(" after ")[0] for origin in rejected] == ["long.avi"]


def test_frames_that_are_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = clips(tmp_path / "in")
    clip(root / "large.mkv", grey(1), size=(200, 100))
    monkeypatch.setattr(images, "MAX_PIXELS", 10_000)
    assert fetch(root)[1] == {"large.mkv": "200 x 100 px are more than the 10000 px allowed"}


def test_one_clip(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mkv", grey(10))
    with pytest.raises(SourceError, match=r"no image of .*a.mkv falls into .* \(images: "):
        fetch(path)


def test_folders_without_clips(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nowhere: there is no such clip or folder"):
        fetch(tmp_path / "nowhere")
    (tmp_path / "in").mkdir()
    with pytest.raises(SourceError, match=r"in: no clips in this folder \(looked for .avi, "):
        fetch(tmp_path / "in")


def test_clips_whose_frames_would_be_mixed(tmp_path: Path) -> None:
    clip(tmp_path / "in" / "a.mkv", grey(1))
    clip(tmp_path / "in" / "a" / "000000.mkv", grey(1))
    with pytest.raises(SourceError, match=r"a.mkv.*: the keys of their frames would be mixed"):
        fetch(tmp_path / "in")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rate: 0.0", "`datasets.mine.rate`: 0.0: input should be greater than 0"),
        ("group: image", "`datasets.mine.rate`: this key"),
    ],
)
def test_faults_of_a_row(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"datasets:\n  mine: {{source: video, path: p, size: 8, {text}}}\n")
    with pytest.raises(ParamsError) as caught:
        params.row(path, "datasets", "mine", sources.Dataset)
    assert expected in str(caught.value)


def test_frames_are_png(tmp_path: Path) -> None:
    kept = fetch(clips(tmp_path / "in"))[2]
    with Image.open(io.BytesIO(kept["person00--0--000000"])) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
