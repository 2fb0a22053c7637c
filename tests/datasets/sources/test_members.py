"""Hostile, damaged and truncated archives."""

import os
import stat
import struct
import tarfile
import zipfile
from pathlib import Path

import pictures
import pytest
from packing import KINDS, add, fetch, here, packed, people, row, sha256, table  # noqa: F401 - a fixture

from afterimage.core.errors import SourceError
from afterimage.datasets import sources
from afterimage.datasets.sources import members

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


def test_a_compressed_tar_is_read_in_any_order(tmp_path: Path) -> None:
    archive = members.Archive(packed(tmp_path / "packed", "tar.gz", people()), "photos")
    assert archive.read("person07/1.png") == pictures.png(seed=71)
    assert archive.read("person00/0.png") == pictures.png(seed=0)
    assert len(archive.members) == 24
