"""Folders of images, as people have them."""

import hashlib
import os
import re
import tarfile
from pathlib import Path

import pictures
import pytest
from fetching import by_key, fetch, row

from afterimage.core.errors import SourceError
from afterimage.datasets import sources


def test_the_manifest_describes_the_original_bytes(tmp_path: Path) -> None:
    folder = pictures.people(tmp_path / "in")
    turned = pictures.oriented(pictures.noise(48, 40), 6, "JPEG")
    (folder / "person00" / "turned.JPG").write_bytes(turned)
    manifest, rejected = fetch(folder)
    assert not rejected
    assert [line["key"] for line in manifest] == sorted(line["key"] for line in manifest)
    line = by_key(manifest)["person00--turned"]
    assert line["origin"] == "person00/turned.JPG"
    assert (line["width"], line["height"], line["mode"]) == ("40", "48", "RGB")
    assert line["sha256"] == hashlib.sha256(turned).hexdigest()
    with tarfile.open(tmp_path / "in-raw" / "images.tar") as tar:
        members = {member.name: tar.extractfile(member).read() for member in tar.getmembers()}  # type: ignore[union-attr]
        assert {(member.mtime, member.uname, member.mode) for member in tar.getmembers()} == {(0, "afterimage", 0o444)}
    assert list(members) == [line["key"] for line in manifest]
    assert members["person00--turned"] == turned
    assert all(hashlib.sha256(members[line["key"]]).hexdigest() == line["sha256"] for line in manifest)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_sizes_are_those_of_the_upright_image(tmp_path: Path, form: str, orientation: int) -> None:
    folder = pictures.people(tmp_path / "in")
    data = pictures.oriented(pictures.noise(48, 40), orientation, form)
    (folder / "person00" / f"turned.{form.lower()}").write_bytes(data)
    line = by_key(fetch(folder)[0])["person00--turned"]
    expected = ("40", "48") if orientation in (6, 8) else ("48", "40")
    assert (line["width"], line["height"]) == expected


def test_fetching_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = pictures.people(tmp_path / "in")
    for name in ("a", "b"):
        sources.fetch(row(path=str(folder)), "mine", tmp_path / name)
        os.utime(folder / "person00" / "0.png", (1, 1))
    for name in ("manifest.csv", "rejected.csv", "images.tar"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_names_with_spaces_and_unicode(tmp_path: Path) -> None:
    folder = pictures.people(tmp_path / "in")
    long = "ж" * 120 + ".png"
    pictures.folder(folder, {"Ana María/été 1.v2.png": pictures.png(), long: pictures.png(seed=5)})
    lines = by_key(fetch(folder)[0])
    line = lines["Ana=20Mar=c3=ada--=c3=a9t=c3=a9=201=2ev2"]
    assert (line["origin"], line["group"]) == ("Ana María/été 1.v2.png", "Ana María")
    assert lines["=d0=b6" * 120]["origin"] == long
    assert all(re.fullmatch(r"[A-Za-z0-9_=-]+", key) for key in lines)


def test_names_that_are_not_utf_8(tmp_path: Path) -> None:
    folder = pictures.people(tmp_path / "in")
    try:
        Path(os.fsdecode(os.fsencode(folder) + b"/x\xe9.png")).write_bytes(pictures.png())
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    line = by_key(fetch(folder)[0])["x=e9"]
    assert line["origin"] == "x\\xe9.png"


@pytest.mark.parametrize("names", [("a/b.png", "a--b.png"), ("x.jpg", "x.png"), ("x.PNG", "x.png")])
def test_two_files_with_one_key_are_both_named(tmp_path: Path, names: tuple[str, str]) -> None:
    folder = pictures.folder(pictures.people(tmp_path / "in"), {name: pictures.png() for name in names})
    with pytest.raises(SourceError, match="have one key") as caught:
        fetch(folder)
    assert all(name in str(caught.value) for name in names)
    assert not (tmp_path / "in-raw").exists()


def test_what_is_no_image_is_set_aside_with_its_reason(tmp_path: Path) -> None:
    broken = {
        "empty.jpg": b"",
        "words.jpg": b"these are words",
        "bomb.png": pictures.bomb(),
        "notes.txt": b"no image, and no image's extension",
        ".hidden.jpg": b"",
        "__MACOSX/a.jpg": b"",
    }
    folder = pictures.folder(pictures.people(tmp_path / "in"), broken)
    os.mkfifo(folder / "pipe.png")
    manifest, rejected = fetch(folder, max_rejected=0.2)
    assert len(manifest) == 24
    assert rejected == {
        "bomb.png": "30000 x 30000 px are more than the 100000000 px allowed",
        "empty.jpg": "the file is empty",
        "pipe.png": "not a regular file",
        "words.jpg": "not an image in a known format",
    }


def test_links_that_lead_out_are_set_aside(tmp_path: Path) -> None:
    folder = pictures.people(tmp_path / "in")
    outside = pictures.folder(tmp_path / "outside", {"secret.png": pictures.png(seed=99)})
    (folder / "out.png").symlink_to(outside / "secret.png")
    (folder / "lost.png").symlink_to(folder / "nothing.png")
    (folder / "within.png").symlink_to(folder / "person00" / "0.png")
    (folder / "album").symlink_to(outside)
    (folder / "again").symlink_to(folder / "person00")
    manifest, rejected = fetch(folder, max_rejected=0.2)
    assert rejected == {
        "out.png": "link that leads out of the folder",
        "album/": "link that leads out of the folder",
        "lost.png": "link that leads nowhere",
    }
    assert len(manifest) == 25
    assert "within" in by_key(manifest)


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    pictures.people(tmp_path / "in")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    assert len(fetch(tmp_path / "link")[0]) == 24


@pytest.mark.parametrize(("allowed", "passes"), [(0.07, False), (0.08, True)])
def test_max_rejected_is_respected(tmp_path: Path, allowed: float, passes: bool) -> None:
    folder = pictures.people(tmp_path / "in", count=23, images=1)
    pictures.folder(folder, {"b.jpg": b"words", "a.jpg": b""})  # 2 of 25 are 0.08
    if passes:
        assert len(fetch(folder, max_rejected=allowed)[1]) == 2
        return
    with pytest.raises(SourceError) as caught:
        fetch(folder, max_rejected=allowed)
    assert str(caught.value) == (
        "mine: 2 of 25 images were set aside, more than max_rejected 0.07 allows: 1 x the file is empty, "
        "1 x not an image in a known format; the first is a.jpg"
    )
    assert not (tmp_path / "in-raw").exists()


def test_folders_without_images(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nowhere: there is no such folder"):
        fetch(tmp_path / "nowhere")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("words")
    with pytest.raises(SourceError, match="in: no images in this folder"):
        fetch(tmp_path / "in")
    with pytest.raises(SourceError, match=r"notes.txt: not a folder"):
        fetch(tmp_path / "in" / "notes.txt")


def test_one_image_cannot_fill_three_splits(tmp_path: Path) -> None:
    folder = pictures.folder(tmp_path / "in", {"a.png": pictures.png()})
    with pytest.raises(
        SourceError, match=r"no image of .* falls into (train|val|test) and (train|val|test) \(images: "
    ):
        fetch(folder)


def test_only_some_of_a_folder(tmp_path: Path) -> None:
    folder = pictures.people(tmp_path / "in")
    manifest, _ = fetch(folder, only=r"/1\.png$")
    assert len(manifest) == 12
    assert all(line["origin"].endswith("/1.png") for line in manifest)
    with pytest.raises(SourceError, match=r"no images in this folder \(looked for .* and '/9.png'\)"):
        fetch(folder, only="/9.png")
