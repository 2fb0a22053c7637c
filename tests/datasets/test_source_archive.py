import csv
import gzip
import hashlib
import io
import os
import stat
import struct
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pictures
import pytest
import servers

from afterimage.core import images, params
from afterimage.core.errors import ParamsError, SourceError
from afterimage.datasets import sources
from afterimage.datasets.sources import downloads, members

KINDS = ("zip", "tar", "tar.gz", "tar.bz2", "tar.xz")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run in a folder of its own, and leave nothing in it or above but what the test and the pipeline name."""
    monkeypatch.setattr(downloads, "WAIT", 0)
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    yield
    assert {path.name for path in tmp_path.iterdir()} <= {"run", "in", "packed"}
    assert {path.name for path in (tmp_path / "run").iterdir()} <= {"raw", ".afterimage", "params.yaml"}


def row(**values: Any) -> Any:
    data = {"source": "archive", "size": 32, "path": "nothing", **values}
    return sources.Dataset.kind(data).model_validate(data)


def fetch(path: Path | str, **values: Any) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """The manifest by key, and the reasons of what was set aside by origin."""
    sources.fetch(row(path=str(path), **values), "mine", Path("raw"))
    rejected = {line["origin"]: line["reason"] for line in table("rejected.csv")}
    return {line["key"]: line for line in table("manifest.csv")}, rejected


def table(name: str) -> list[dict[str, str]]:
    with (Path("raw") / name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def people(count: int = 12) -> dict[str, bytes]:
    return {f"person{n:02d}/{i}.png": pictures.png(seed=10 * n + i) for n in range(count) for i in range(2)}


def packed(root: Path, kind: str, files: dict[str, bytes]) -> Path:
    root.mkdir(exist_ok=True)
    path = root / f"photos.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return path
    with tarfile.open(path, f"w:{kind.partition('.')[2]}") as tar:
        for name, data in files.items():
            add(tar, name, data)
    return path


def add(tar: tarfile.TarFile, name: str, data: bytes = b"", **fields: Any) -> None:
    header = tarfile.TarInfo(name)
    header.size = len(data)
    for field, value in fields.items():
        setattr(header, field, value)
    tar.addfile(header, io.BytesIO(data))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# What is in an archive


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


# Hostile archives


HOSTILE = {
    "../../outside.png": "name that leads out of the archive",
    "a/../../outside.png": "name that leads out of the archive",
    "/tmp/outside.png": "absolute name",
    "C:/outside.png": "absolute name",
}


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_names_that_lead_out_are_set_aside(tmp_path: Path, kind: str) -> None:
    path = packed(tmp_path / "packed", kind, people() | {name: pictures.png() for name in HOSTILE})
    manifest, rejected = fetch(path, max_rejected=0.2)
    assert len(manifest) == 24
    assert rejected == HOSTILE
    assert not (tmp_path / "outside.png").exists()


def test_a_backslash_does_not_lead_out_either(tmp_path: Path) -> None:
    path = packed(tmp_path / "packed", "zip", people() | {"..\\..\\outside.png": pictures.png()})
    assert fetch(path, max_rejected=0.2)[1] == {"../../outside.png": "name that leads out of the archive"}


def test_links_and_devices_in_a_tar(tmp_path: Path) -> None:
    path = packed(tmp_path / "packed", "tar", people())
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "secret.png").write_bytes(pictures.png(seed=99))
    with tarfile.open(path, "a") as tar:
        add(tar, "within.png", type=tarfile.SYMTYPE, linkname="person00/0.png")
        add(tar, "person01/up.png", type=tarfile.SYMTYPE, linkname="../person00/1.png")
        add(tar, "hard.png", type=tarfile.LNKTYPE, linkname="./person00/0.png")
        add(tar, "out.png", type=tarfile.SYMTYPE, linkname=str(tmp_path / "in" / "secret.png"))
        add(tar, "up.png", type=tarfile.SYMTYPE, linkname="../in/secret.png")
        add(tar, "hardout.png", type=tarfile.LNKTYPE, linkname="/etc/passwd")
        add(tar, "lost.png", type=tarfile.SYMTYPE, linkname="nothing.png")
        add(tar, "loop.png", type=tarfile.SYMTYPE, linkname="loop.png")
        add(tar, "null.png", type=tarfile.CHRTYPE, devmajor=1, devminor=3)
        add(tar, "disk.png", type=tarfile.BLKTYPE)
        add(tar, "pipe.png", type=tarfile.FIFOTYPE)
    manifest, rejected = fetch(path, max_rejected=0.5)
    assert rejected == {
        **dict.fromkeys(["out.png", "up.png", "hardout.png"], "link that leads out of the archive"),
        **dict.fromkeys(["lost.png", "loop.png"], "link that leads nowhere"),
        **dict.fromkeys(["null.png", "disk.png", "pipe.png"], "not a regular file"),
    }
    assert manifest["within"]["sha256"] == manifest["hard"]["sha256"] == manifest["person00--0"]["sha256"]
    assert manifest["person01--up"]["sha256"] == manifest["person00--1"]["sha256"]
    assert len(manifest) == 27


def test_links_in_a_zip(tmp_path: Path) -> None:
    path = packed(tmp_path / "packed", "zip", people())
    with zipfile.ZipFile(path, "a") as archive:
        for name, target in {"within.png": "person00/0.png", "out.png": "/etc/passwd", "up.png": "../x.png"}.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(entry, target)
    manifest, rejected = fetch(path, max_rejected=0.5)
    assert rejected == dict.fromkeys(["out.png", "up.png"], "link that leads out of the archive")
    assert manifest["within"]["sha256"] == manifest["person00--0"]["sha256"]


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_one_name_the_last_counts(tmp_path: Path, kind: str) -> None:
    path = packed(tmp_path / "packed", kind, people())
    for seed in (501, 502):
        again = pictures.png(seed=seed)
        if kind == "zip":
            with zipfile.ZipFile(path, "a") as archive:
                archive.writestr("person03/1.png", again)
        else:
            with tarfile.open(path, "a") as tar:
                add(tar, "./person03/1.png", again)
    manifest, rejected = fetch(path, max_rejected=0.2)
    assert manifest["person03--1"]["sha256"] == sha256(pictures.png(seed=502))
    assert rejected == {f"person03/1 (replaced {n}).png": "a later file of the archive has this name" for n in (1, 2)}


def test_an_encrypted_and_a_damaged_image_in_a_zip(tmp_path: Path) -> None:
    path = packed(tmp_path / "packed", "zip", people())
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        first, second = archive.getinfo("person00/0.png"), archive.getinfo("person00/1.png")
    directory = data.index(b"PK\1\2")
    data[directory + 8] |= 1
    data[second.header_offset + 30 + len(second.filename) + 60] ^= 0xFF
    path.write_bytes(data)
    rejected = fetch(path, max_rejected=0.2)[1]
    assert rejected.pop(first.filename) == "encrypted"
    assert rejected.pop(second.filename).startswith("damaged in the archive: ")
    assert rejected == {}


def test_a_file_larger_than_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_BYTES", 20_000)
    opened: list[str] = []
    inflated = members.Archive._inflated
    monkeypatch.setattr(
        members.Archive,
        "_inflated",
        lambda archive, entry, size: opened.append(entry.filename) or inflated(archive, entry, size),
    )
    files = people() | {"large.png": pictures.png() + os.urandom(20_000)}
    for kind in ("zip", "tar"):
        rejected = fetch(packed(tmp_path / "packed", kind, files), max_rejected=0.2)[1]
        assert rejected == {"large.png": "larger than the 20000 bytes allowed"}
    assert "large.png" not in opened


def test_a_file_that_is_larger_than_it_says(tmp_path: Path) -> None:
    path = packed(tmp_path / "packed", "zip", people() | {"zeros.png": bytes(1_000_000)})
    data = path.read_bytes()
    said, less = struct.pack("<L", 1_000_000), struct.pack("<L", 1000)
    assert data.count(said) == 2
    path.write_bytes(data.replace(said, less))
    assert fetch(path, max_rejected=0.2)[1]["zeros.png"].startswith("damaged in the archive: ")


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.xz"])
def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(sources, "MAX_BYTES", 1_000_000)
    path = packed(tmp_path / "packed", kind, {f"{n}.bmp": bytes(900_000) for n in range(20)})
    with pytest.raises(SourceError, match="200 times its own size: refused as a bomb"):
        fetch(path)
    assert not Path("raw").exists()
    assert not list(Path().rglob(".afterimage/downloads/*"))


def test_a_bomb_of_overlapping_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_BYTES", 1_000_000)
    path = packed(tmp_path / "packed", "zip", {"0.bmp": bytes(500_000)})
    data = path.read_bytes()
    directory, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    entry = data[directory:end]
    entries = b"".join(entry[:-5] + f"{n}.bmp".encode() for n in range(10))  # all of them are the one file
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 10, 10, len(entries), directory, 0)
    path.write_bytes(data[:directory] + entries + tail)
    assert len(zipfile.ZipFile(path).infolist()) == 10
    with pytest.raises(SourceError, match="refused as a bomb"):
        fetch(path)


def test_an_image_bomb_in_an_archive(tmp_path: Path) -> None:
    path = packed(tmp_path / "packed", "zip", people() | {"bomb.png": pictures.bomb()})
    assert fetch(path, max_rejected=0.1)[1] == {"bomb.png": "30000 x 30000 px are more than the 100000000 px allowed"}


def test_a_tar_header_that_asks_for_gigabytes(tmp_path: Path) -> None:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 4 << 30
    (tmp_path / "packed").mkdir()
    path = tmp_path / "packed" / "photos.tar"
    path.write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))
    with pytest.raises(SourceError, match="not a whole tar archive: a header of 4294967296 bytes"):
        fetch(path)


def test_a_tar_that_goes_round_in_circles(tmp_path: Path) -> None:
    header = tarfile.TarInfo("a.png")
    block = bytearray(header.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = b"\xff" * 10 + struct.pack(">h", -1024)
    block[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(block))[0]
    (tmp_path / "packed").mkdir()
    path = tmp_path / "packed" / "photos.tar"
    path.write_bytes(tarfile.TarInfo("b.txt").tobuf() * 2 + bytes(block) + bytes(10_240))
    with pytest.raises(SourceError, match="not a whole tar archive: a.png has -1024 bytes"):
        fetch(path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [0.3, 0.8])
def test_a_truncated_archive(tmp_path: Path, kind: str, kept: float) -> None:
    path = packed(tmp_path / "packed", kind, people())
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(SourceError, match=r"photos\.\S+: not a whole (zip|tar|gzip|bzip2|xz) archive: "):
        fetch(path)


def test_a_tar_with_a_damaged_header_does_not_just_end_there(tmp_path: Path) -> None:
    path = packed(tmp_path / "packed", "tar", people())
    with tarfile.open(path) as tar:
        offset = tar.getmembers()[20].offset
    data = bytearray(path.read_bytes())
    data[offset + 100] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(SourceError, match=f"not a whole tar archive: damaged header at byte {offset}"):
        fetch(path)
    path.write_bytes(data[:offset])
    with pytest.raises(SourceError, match="not a whole tar archive: its end is missing"):
        fetch(path)


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


# From elsewhere


def web(data: bytes) -> Any:
    return servers.serving(servers.files({"/sets/photos.zip": data}))


@pytest.fixture
def data(tmp_path: Path) -> bytes:
    return packed(tmp_path / "packed", "zip", people()).read_bytes()


def test_a_download_is_kept(data: bytes) -> None:
    with web(data) as server:
        url = f"{server.url}/sets/photos.zip?signature=secret"
        assert len(fetch("x", url=url, sha256=sha256(data))[0]) == 24
        count = len(server.requests)
        fetch("x", url=url, sha256=sha256(data))
        assert len(server.requests) == count
    assert [path.name.partition("-")[2] for path in downloads.FOLDER.iterdir()] == ["photos.zip"]


def test_a_broken_download_goes_on_where_it_stopped(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "BLOCK", 10_000)
    with web(data) as server:
        url = f"{server.url}/sets/photos.zip"
        server.breaks = [10_000, 10_000, *[100] * downloads.TRIES]
        with pytest.raises(
            SourceError, match="run it again to go on where it stopped, or place the file at "
        ) as caught:
            fetch("x", url=url, sha256=sha256(data))
        assert "\n" not in str(caught.value)
        server.breaks = [100]  # and once more, now with a try left
        before = len(server.requests)
        assert len(fetch("x", url=url, sha256=sha256(data))[0]) == 24
        ranges = [request.headers["range"] for request in server.requests[before:] if request.method == "GET"]
    assert ranges[:3] == ["bytes=20000-29999", "bytes=20000-29999", "bytes=30000-39999"]


@pytest.mark.parametrize("sized", [True, False])
def test_a_server_that_cannot_begin_in_the_middle(data: bytes, monkeypatch: pytest.MonkeyPatch, sized: bool) -> None:
    monkeypatch.setattr(downloads, "BLOCK", 10_000)
    with web(data) as server:
        server.ranges, server.sized, server.breaks = False, sized, [15_000] if sized else []
        manifest, _ = fetch("x", url=f"{server.url}/sets/photos.zip", sha256=sha256(data))
    assert len(manifest) == 24


def test_another_file_than_the_row_says(data: bytes) -> None:
    with web(data) as server:
        url = f"{server.url}/sets/photos.zip"
        with pytest.raises(
            SourceError, match=f"its sha256 is {sha256(data)}, expected 0.*; correct `sha256`, or remove"
        ):
            fetch("x", url=url, sha256="0" * 64)
        count = len(server.requests)
        assert len(fetch("x", url=url, sha256=sha256(data))[0]) == 24
        assert len(server.requests) == count


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (404, r"there is no such file \(any more\); find"),
        (403, r"access denied \(403\)"),
        (500, "cannot be downloaded"),
    ],
)
def test_a_file_that_is_not_to_be_had(status: int, expected: str) -> None:
    with servers.serving(lambda request: servers.Answer(status=status)) as server:
        url = server.url.replace("//", "//ann:secret@") + "/photos.zip?token=secret"
        with pytest.raises(SourceError, match=expected) as caught:
            fetch("x", url=url, sha256="0" * 64)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_network(data: bytes) -> None:
    with web(data) as server:
        url = f"{server.url}/sets/photos.zip"
    with pytest.raises(SourceError, match="cannot be downloaded: .*Connect.*, or place the file at (.*)$") as caught:
        fetch("x", url=url, sha256=sha256(data))
    place = Path(str(caught.value).rpartition(" ")[2])
    place.write_bytes(data)
    assert len(fetch("x", url=url, sha256=sha256(data))[0]) == 24


def test_other_kinds_of_url(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "packed" / "photos.zip"
    assert len(fetch("x", url=f"file://{path}", sha256=sha256(data))[0]) == 24
    with pytest.raises(SourceError, match="nothing://x/y.zip: cannot be opened: .*nothing"):
        fetch("x", url="nothing://x/y.zip", sha256="0" * 64)


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


# Videos in NumPy archives, boxes in tables


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
        ("id,a,b,c,d\n7,0,0,4\n", "line 2: "),
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
    with pytest.raises(SourceError, match="photos.zip: boxes.csv: ") as caught:
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


def test_a_compressed_tar_is_read_in_any_order(tmp_path: Path) -> None:
    archive = members.Archive(packed(tmp_path / "packed", "tar.gz", people()), "photos")
    assert archive.read("person07/1.png") == pictures.png(seed=71)
    assert archive.read("person00/0.png") == pictures.png(seed=0)
    assert len(archive.members) == 24
