"""What is in an archive: images, videos in NumPy archives, boxes in tables, pairs."""

import gzip
import io
import os
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pictures
import pytest
from packing import KINDS, add, fetch, here, packed, people, row, sha256, table  # noqa: F401 - a fixture

from afterimage.core import images, params
from afterimage.core.errors import ParamsError, SourceError
from afterimage.datasets import sources


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_gives_what_its_folder_gives(tmp_path: Path, kind: str) -> None:
    files = people() | {"alone.JPG": pictures.jpeg(seed=900), "Ana María/été 1.v2.png": pictures.png(seed=901)}
    folder = pictures.folder(tmp_path / "in", files)
    sources.fetch(row(source="folder", path=str(folder)), "mine", Path("raw"))
    expected, data = table("manifest.csv"), (Path("raw") / "images.tar").read_bytes()
    shuffled = dict(sorted(files.items(), key=lambda file: sha256(file[0].encode())))
    manifest, rejected = fetch(packed(tmp_path / "packed", kind, shuffled))
    assert rejected == {}
    assert [{**line, "boxes": ""} for line in expected] == list(manifest.values())
    assert (Path("raw") / "images.tar").read_bytes() == data
    assert not list(Path().rglob(".afterimage/downloads/*"))


def test_the_folder_around_all_images_is_passed_over(tmp_path: Path) -> None:
    split = {f"photos/v1/{split}/{n}.png": pictures.png(seed=n) for n, split in enumerate(("train", "val", "test"))}
    manifest, _ = fetch(packed(tmp_path / "packed", "zip", split | {"README.md": b"", "__MACOSX/photos/._0.png": b""}))
    assert {key: line["split"] for key, line in manifest.items()} == {
        "train--0": "train",
        "val--1": "val",
        "test--2": "test",
    }
    manifest, _ = fetch(
        packed(tmp_path / "packed", "tar", {f"./photos/{n}.png": pictures.png(seed=n) for n in range(24)})
    )
    assert manifest["7"]["group"] == "7"


@pytest.mark.parametrize(
    ("name", "flag", "expected"),
    [
        ("Zoë/été.png", True, "Zo=c3=ab--=c3=a9t=c3=a9"),
        ("Zoë/été.png".encode().decode("cp437"), False, "Zo=c3=ab--=c3=a9t=c3=a9"),
        ("Zoë/été.png", False, "Zo=c3=ab--=c3=a9t=c3=a9"),
        (r"rooms\old.png", False, "rooms--old"),
    ],
)
def test_names_in_a_zip(tmp_path: Path, name: str, flag: bool, expected: str) -> None:
    class Entry(zipfile.ZipInfo):
        def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802 - zipfile would flag what is not ASCII
            return (name.encode(), 0x800) if flag else (name.encode("cp437"), 0)

    path = packed(tmp_path / "packed", "zip", people())
    with zipfile.ZipFile(path, "a") as archive:
        entry = Entry("x")
        entry.filename = name
        archive.writestr(entry, pictures.png(seed=77))
    assert expected in fetch(path)[0]


def test_names_in_a_tar_that_are_no_utf_8(tmp_path: Path) -> None:
    (tmp_path / "packed").mkdir()
    path = tmp_path / "packed" / "photos.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as tar:
        for name, data in people().items():
            add(tar, name, data)
        add(tar, "été.png", pictures.png(seed=78))
    assert fetch(path)[0]["=e9t=e9"]["origin"] == "\\xe9t\\xe9.png"


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("photos.zip", "tar", "a tar archive, although its name says zip; if it is the right file, rename it"),
        ("photos.TAR", "zip", "a zip archive, although its name says tar"),
        ("photos.tar", "tar.gz", "a gzip archive, although its name says tar"),
        ("photos.tgz", b"words and more words", "not an archive; expected a zip or a tar"),
        ("photos.zip", b"", "not an archive"),
        ("photos.zip", b"7z\xbc\xaf\x27\x1c" + bytes(1000), "a 7z archive; expected a zip or a tar"),
        ("photos.gz", gzip.compress(pictures.png()), "not a whole gzip archive"),
    ],
)
def test_wrong_endings(tmp_path: Path, name: str, data: str | bytes, expected: str) -> None:
    path = tmp_path / "packed" / name
    if isinstance(data, str):
        packed(tmp_path / "packed", data, people()).rename(path)
    else:
        path.parent.mkdir()
        path.write_bytes(data)
    with pytest.raises(SourceError, match=expected):
        fetch(path)


def test_an_ending_of_its_own_is_fine(tmp_path: Path) -> None:
    path = packed(tmp_path / "packed", "tar.gz", people()).rename(tmp_path / "packed" / "photos")
    assert len(fetch(path)[0]) == 24


def test_archives_that_are_not_there_or_empty(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere\.zip: there is no such archive"):
        fetch(tmp_path / "nowhere.zip")
    with pytest.raises(SourceError, match="not an archive"):
        fetch(tmp_path)
    path = packed(tmp_path / "packed", "zip", {"words.txt": b"words"})
    with pytest.raises(SourceError, match=r"photos.zip: no images in this archive \(looked for .avif, "):
        fetch(path)
    with pytest.raises(SourceError, match="its sha256 is .*, expected 0000"):
        fetch(path, sha256="0" * 64)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("url: 'http://x/y.zip'", "a `url` needs the `sha256` of its file"),
        ("sha256: abc", "`datasets.mine.sha256`: 'abc': expected 64 lower-case hexadecimal digits"),
        ("boxes: {table: a, image: b, corners: [[x, y]]}", "expected left, top, right and bottom"),
        ("arrays: {}, pairs: {input: (a), target: (b)}", "`arrays` goes with neither"),
    ],
)
def test_faults_of_a_row(tmp_path: Path, text: str, expected: str) -> None:
    Path("params.yaml").write_text(f"datasets:\n  mine: {{source: archive, path: p, size: 8, {text}}}\n")
    with pytest.raises(ParamsError) as caught:
        params.row(Path("params.yaml"), "datasets", "mine", sources.Dataset)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def npz(compressed: bool = True, **arrays: Any) -> bytes:
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, **arrays)
    return stream.getvalue()


def faces(seed: int, frames: int = 3) -> np.ndarray:
    return np.stack([np.asarray(pictures.noise(seed=seed + n)) for n in range(frames)], axis=-1)


def test_videos_in_numpy_archives(tmp_path: Path) -> None:
    corners = np.zeros((4, 2, 3))
    corners[:, 0, :], corners[:, 1, :] = [[2.2], [30.5], [2.2], [30.5]], [[4], [4], [20], [20]]
    held = {
        f"yt/Person_{n:02d}_{i}.npz": npz(colorImages=faces(100 * n + 10 * i), boundingBox=corners, landmarks2D=corners)
        for n in range(12)
        for i in range(2)
    }
    held["yt/Frames_First_0.npz"] = npz(
        False, colorImages=np.asfortranarray(np.moveaxis(faces(3), 3, 0)), boundingBox=corners
    )
    held["yt/faces.csv"] = b"videoID,personName\n"
    path = packed(tmp_path / "packed", "zip", held)
    manifest, rejected = fetch(path, arrays={"boxes": "boundingBox", "every": 2}, group=r"(.*)_\d+\.npz$")
    assert rejected == {}
    assert len(manifest) == 25 * 2
    line = manifest["Person_03_1--000002"]
    assert (line["group"], line["origin"], line["boxes"]) == ("Person_03", "Person_03_1.npz frame 2", "2 4 31 20")
    assert (line["width"], line["height"]) == ("48", "40")
    with tarfile.open("raw/images.tar") as tar:
        stored = tar.extractfile("Person_03_1--000002")
        other = tar.extractfile("Frames_First_0--000000")
        assert stored is not None and other is not None
        assert stored.read() == images.encode_png(pictures.noise(seed=312))
        assert other.read() == images.encode_png(pictures.noise(seed=3))


def test_numpy_archives_that_are_not_videos(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.mkdir, ("raw/evil",)

    good = {f"{n:02d}.npz": npz(colorImages=faces(n * 10)) for n in range(24)}
    claims = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        claims, {"descr": "|u1", "fortran_order": False, "shape": (1 << 20, 1 << 20, 3, 9)}
    )
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w") as archive:
        archive.writestr("colorImages.npy", claims.getvalue())
    bad = {
        "empty.npz": (b"", "not a whole .npz file"),
        "pickle.npz": (npz(colorImages=np.array([Evil()], dtype=object)), "claims to be object"),
        "claims.npz": (bomb.getvalue(), "claims to be uint8 [1048576, 1048576, 3, 9], which the file does not hold"),
        "grey.npz": (
            npz(colorImages=faces(1)[:, :, 0]),
            "`colorImages` is uint8 [40, 48, 3], expected uint8 [H, W, 3, T]",
        ),
        "float.npz": (npz(colorImages=faces(1).astype("float32")), "`colorImages` is float32"),
        "other.npz": (npz(images=faces(1)), "no array `colorImages` in this .npz file; it has images"),
        "none.npz": (npz(colorImages=faces(1)[..., :0]), "holds 0 frames"),
    }
    path = packed(tmp_path / "packed", "zip", good | {name: data for name, (data, _) in bad.items()})
    manifest, rejected = fetch(path, arrays={}, max_rejected=0.5)
    assert len(manifest) == 72
    assert {name: bad[name][1] in reason for name, reason in rejected.items()} == dict.fromkeys(bad, True)
    with pytest.raises(SourceError, match="99 of 171 images were set aside"):
        fetch(packed(tmp_path / "packed", "zip", good | {f"b{n}.npz": b"" for n in range(99)}), arrays={})


def test_boxes_of_images(tmp_path: Path) -> None:
    files = {f"train/{n}.png": pictures.png(seed=n) for n in range(24)}
    text = "file,x1,y1,x2,y2,w\n" + "".join(f"{n}.png,{n},1,20.0,2,5\n" for n in range(1, 24))
    path = packed(tmp_path / "packed", "zip", files | {"boxes.csv": text.encode()})
    boxes = {"table": "boxes.csv", "image": "file", "corners": [["x1", "y1", "+w", "+7"], ["x2", "y2", "+8", "+8"]]}
    manifest, _ = fetch(path, boxes=boxes, group="image")
    assert manifest["train--3"]["boxes"] == "3 1 8 8; 20 2 28 10"
    assert manifest["train--0"]["boxes"] == ""
    by_line = packed(
        tmp_path / "packed", "zip", files | {"b/boxes.csv": b"id,a,b,c,d\n7,0,0,4,4\ntrain/7.png,5,5,9,9\n"}
    )
    boxes = {"table": "boxes.csv", "image": "id", "corners": [["a", "b", "c", "d"]]}
    assert fetch(by_line, boxes=boxes, group="image")[0]["train--7"]["boxes"] == "0 0 4 4; 5 5 9 9"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id,a,b,c,d\n7,0,0,4,x\n", "line 2: could not convert string to float: 'x'"),
        ("id,a,b,c,d\n7,0,0,4,4.5\n", "line 2: d is 4.5, expected whole pixels"),
        ("id,a,b,c,d\n7,0,0,4\n", "line 2: 4 cells, expected 5"),
        ("id,a,b,c,d\n7,5,0,4,4\n", "line 2: 5 0 4 4 is no box"),
        ("id,a,b,c,e\n7,0,0,4,4\n", "no column d; there are id, a, b, c, e"),
        ("id,a,b,c,d\n99,0,0,4,4\n", "the column id names none of the images, such as test/1.png"),
        ("id,a,b,c,d\n1,0,0,4,4\n", "line 2: 1 may be one of several images"),
        ("id,a,b,c,d\n\xff,0,0,4,4\n", "not a table that can be read"),
    ],
)
def test_tables_of_boxes_that_do_not_fit(tmp_path: Path, text: str, expected: str) -> None:
    files = {f"train/{n}.png": pictures.png(seed=n) for n in range(24)} | {"test/1.png": pictures.png(seed=99)}
    path = packed(tmp_path / "packed", "zip", files | {"boxes.csv": text.encode("latin-1")})
    boxes = {"table": "boxes.csv", "image": "id", "corners": [["a", "b", "c", "d"]]}
    with pytest.raises(SourceError, match="photos.zip: boxes.csv[:,] ") as caught:
        fetch(path, boxes=boxes, group="image")
    assert expected in str(caught.value)


def test_pairs_in_an_archive(tmp_path: Path) -> None:
    held = {
        f"train/{folder}/{start}bed_{n}.jpg": pictures.jpeg(seed=n + extra)
        for n in range(24)
        for folder, start, extra in (("occluded_images", "occluded_", 100), ("original_images", "", 0))
    }
    held["../occluded_bed.jpg"] = b""
    path = packed(tmp_path / "packed", "tar", held)
    pairs = {"input": "occluded_images/occluded_(.*)", "target": "original_images/(.*)"}
    manifest, rejected = fetch(path, pairs=pairs, group="image")
    assert rejected == {"../occluded_bed.jpg": "name that leads out of the archive"}
    assert len(manifest) == 48
    line = manifest["train--occluded_images--occluded_bed_7"]
    target = manifest["train--original_images--bed_7"]
    assert (line["target"], target["target"]) == (target["key"], "")
    assert (line["group"], line["split"]) == (target["group"], target["split"])
