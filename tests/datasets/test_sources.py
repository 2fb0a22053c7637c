import ast
import csv
import hashlib
import os
import re
import subprocess
import sys
import tarfile
import textwrap
from pathlib import Path
from typing import Any

import pictures
import pytest

from afterimage.core import images, params
from afterimage.core.errors import ParamsError, SourceError
from afterimage.datasets import sharding, sources
from afterimage.datasets.sources import quarantine

TABLE = Path(sources.__file__).with_name("bundled.csv")


def row(source: str = "folder", **values: Any) -> Any:
    data = {"source": source, "size": 32, **values}
    return sources.Dataset.kind(data).model_validate(data)


def fetch(folder: Path, **values: Any) -> tuple[list[dict[str, str]], dict[str, str]]:
    """The manifest and the rejected images of a folder."""
    out = folder.parent / f"{folder.name}-raw"
    sources.fetch(row(path=str(folder), **values), "mine", out)
    rejected = {line["origin"]: line["reason"] for line in table(out / "rejected.csv")}
    return table(out / "manifest.csv"), rejected


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def by_key(manifest: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    return {line["key"]: line for line in manifest}


# Rows


def problem(tmp_path: Path, text: str) -> str:
    path = tmp_path / "params.yaml"
    path.write_text(f"datasets:\n  mine: {{{text}}}\n")
    with pytest.raises(ParamsError) as caught:
        params.row(path, "datasets", "mine", sources.Dataset)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{path}: ")


def test_a_row_is_of_the_class_of_its_source(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("datasets:\n  mine: {source: folder, path: p, size: 64, tile: 96, stride: 48, group: image}\n")
    mine = params.row(path, "datasets", "mine", sources.Dataset)
    assert type(mine) is sources.module("folder").Row
    assert (mine.tile, mine.stride, mine.shorter_side, mine.split.seed) == (96, 48, None, 0)
    assert params.section(path, "datasets", sources.Dataset) == {"mine": mine}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("source: fodler, path: p, size: 8", "`datasets.mine.source`: 'fodler': no such source"),
        ("path: p, size: 8", "`datasets.mine.source`: this key is missing"),
        ("source: bundled, path: p, size: big", "`datasets.mine.size`: 'big': input should be a valid integer"),
        ("source: bundled, path: p, size: 8, group: image", "`datasets.mine.group`: unknown key; the keys are source"),
        ("source: folder, path: p, size: 8, grouo: image", "shard_samples, group"),
        ("source: folder, path: p, size: 64, tile: 32", "`datasets.mine.tile`: 32: smaller than `size` 64"),
        ("source: folder, path: p, size: 8, shorter_side: 6", "`datasets.mine.shorter_side`: 6: smaller than `size` 8"),
        ("source: folder, path: p, size: 8, tile: 9, shorter_side: 8", "8: smaller than `tile` 9"),
        ("source: folder, path: p, size: 8, stride: 4", "`datasets.mine.stride`: 4: a stride without a tile"),
        ("source: folder, path: p, size: 8, group: parents", "`datasets.mine.group`: 'parents': expected `parent`"),
        ("source: folder, path: p, size: 8, group: '('", "`datasets.mine.group`: '(': not a pattern"),
        ("source: folder, path: p, size: 8, split: {val: 0.5, test: 0.5}", "`datasets.mine.split.test`: 0.5: val and"),
        ("source: folder, path: p, size: 8, max_rejected: 2", "`datasets.mine.max_rejected`: 2"),
    ],
)
def test_faults_of_a_row_are_named(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in problem(tmp_path, text)


# Bundled


def test_the_bundled_photographs(tmp_path: Path) -> None:
    sources.fetch(row("bundled", path=str(TABLE)), "photos", tmp_path / "raw")
    manifest = by_key(table(tmp_path / "raw" / "manifest.csv"))
    splits = {split: {key for key, line in manifest.items() if line["split"] == split} for split in sources.SPLITS}
    assert splits["test"] == {"chelsea", "coffee", "rocket"}
    assert splits["val"] == {"flower", "grace_hopper"}
    assert len(splits["train"]) == 7
    assert {key for key, line in manifest.items() if line["group"] == "motorcycle"} == {
        "motorcycle_left",
        "motorcycle_right",
    }
    assert all(
        line["licence"] and line["attribution"] and line["page"].startswith("http") for line in manifest.values()
    )
    assert (manifest["chelsea"]["width"], manifest["chelsea"]["height"]) == ("451", "300")


def test_finding_the_photographs_imports_no_package(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from afterimage import sources\n"
        f"data = dict(source='bundled', path={str(TABLE)!r}, size=64)\n"
        f"sources.fetch(sources.Dataset.kind(data).model_validate(data), 'photos', Path({str(tmp_path / 'raw')!r}))\n"
        "print(sorted({'skimage', 'sklearn', 'matplotlib', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("88431cd9", "00000000", "skimage/data/astronaut.png: SHA-256 88431cd9.* expected 00000000"),
        ("skimage,data/astronaut", "skimage,data/cosmonaut", "the installed skimage has no data/cosmonaut.png"),
        ("astronaut,skimage", "astronaut,scikit_picture", "package scikit_picture, which is not installed"),
        ("astronaut,train", "astronaut,training", "astronaut has the split 'training'"),
        ("licence,", "license,", "the columns licence are missing"),
    ],
)
def test_a_table_that_does_not_fit_the_packages(tmp_path: Path, old: str, new: str, expected: str) -> None:
    text = TABLE.read_text(encoding="utf-8")
    assert old in text
    changed = tmp_path / "table.csv"
    changed.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(SourceError, match=expected):
        sources.fetch(row("bundled", path=str(changed)), "photos", tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


# Folders


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


def test_groups_by_parent_image_and_pattern(tmp_path: Path) -> None:
    folder = pictures.people(tmp_path / "in")
    (folder / "alone.png").write_bytes(pictures.png(seed=77))
    parent = by_key(fetch(folder)[0])
    assert parent["person03--1"]["group"] == "person03"
    assert parent["alone"]["group"] == "alone"
    assert by_key(fetch(folder, group="image")[0])["person03--1"]["group"] == "person03/1"
    (folder / "alone.png").unlink()
    assert by_key(fetch(folder, group=r"(\d/\d)")[0])["person03--1"]["group"] == "3/1"
    with pytest.raises(SourceError, match=r"person00/0.png: the pattern 'x\(y\)' of `group`"):
        fetch(folder, group="x(y)")


def test_no_group_is_in_two_splits_and_adding_images_moves_none(tmp_path: Path) -> None:
    folder = pictures.people(tmp_path / "in")
    before = by_key(fetch(folder)[0])
    splits: dict[str, set[str]] = {}
    for line in before.values():
        splits.setdefault(line["group"], set()).add(line["split"])
    assert all(len(found) == 1 for found in splits.values())
    assert {line["split"] for line in before.values()} == set(sources.SPLITS)
    pictures.people(folder, count=40, images=3)
    after = by_key(fetch(folder)[0])
    assert len(after) == 120
    assert {key: after[key]["split"] for key in before} == {key: line["split"] for key, line in before.items()}


def test_shares_and_seed_of_the_split() -> None:
    split = sources.Split(val=0.1, test=0.2)
    drawn = [sources.draw(f"group{n}", split) for n in range(4000)]
    assert abs(drawn.count("val") / 4000 - 0.1) < 0.02
    assert abs(drawn.count("test") / 4000 - 0.2) < 0.02
    other = [sources.draw(f"group{n}", sources.Split(val=0.1, test=0.2, seed=1)) for n in range(4000)]
    assert other != drawn
    place = int(hashlib.sha256(b"0:group0").hexdigest()[:16], 16) / 2**64
    assert drawn[0] == ("test" if place < 0.2 else "val" if place < 0.3 else "train")


def test_official_splits_are_respected(tmp_path: Path) -> None:
    names = [f"{split}/{n}.png" for split in ("train", "validation", "test") for n in range(3)]
    folder = pictures.folder(tmp_path / "in", {name: pictures.png(seed=n) for n, name in enumerate(names)})
    manifest, _ = fetch(folder)
    assert [line["split"] for line in manifest] == ["test"] * 3 + ["train"] * 3 + ["val"] * 3


def test_a_missing_official_split_is_dealt_out_of_train(tmp_path: Path) -> None:
    names = [f"train/person{n:02d}/a.png" for n in range(30)] + ["test/person90/a.png", "test/person91/a.png"]
    folder = pictures.folder(tmp_path / "in", {name: pictures.png(seed=n) for n, name in enumerate(names)})
    manifest, _ = fetch(folder)
    found = {split: {line["group"] for line in manifest if line["split"] == split} for split in sources.SPLITS}
    assert found["test"] == {"person90", "person91"}
    assert 1 <= len(found["val"]) < len(found["train"])


def test_only_some_of_a_folder(tmp_path: Path) -> None:
    folder = pictures.people(tmp_path / "in")
    manifest, _ = fetch(folder, only=r"/1\.png$")
    assert len(manifest) == 12
    assert all(line["origin"].endswith("/1.png") for line in manifest)
    with pytest.raises(SourceError, match=r"no images in this folder \(looked for .* and '/9.png'\)"):
        fetch(folder, only="/9.png")


def test_a_person_in_two_official_splits_is_one_group(tmp_path: Path) -> None:
    names = [f"{split}/ann/{n}.png" for n, split in enumerate(("train", "val", "test"))]
    folder = pictures.folder(tmp_path / "in", {name: pictures.png(seed=n) for n, name in enumerate(names)})
    assert {line["group"] for line in fetch(folder)[0]} == {"ann"}


# Pairs


def test_pairs_by_their_names(tmp_path: Path) -> None:
    manifest, rejected = fetch(pictures.pairs(tmp_path / "in"), pairs=pictures.PAIRS, group=r"(scene\d\d)_mean")
    assert rejected == {}
    lines = by_key(manifest)
    assert len(lines) == 48
    inputs = {key: line for key, line in lines.items() if line["target"]}
    assert sorted(line["target"] for line in inputs.values()) == sorted(lines.keys() - inputs.keys())
    for key, line in inputs.items():
        target = lines[line["target"]]
        assert key.removesuffix("_real") == target["key"].removesuffix("_mean")
        assert (line["group"], line["split"]) == (target["group"], target["split"])  # the pattern fits targets alone
        assert (line["width"], line["height"]) == (target["width"], target["height"])


def test_pairs_in_folders_of_their_own(tmp_path: Path) -> None:
    names = [f"{n}/{place}" for n in range(24) for place in ("occluded/occluded_bed", "original/bed")]
    folder = pictures.folder(tmp_path / "in", {f"{name}.jpg": pictures.jpeg(seed=n) for n, name in enumerate(names)})
    pairs = {"input": "(.*)/occluded/occluded_(.*)", "target": "(.*)/original/(.*)"}
    lines = by_key(fetch(folder, pairs=pairs, group=r"^(\d+)/")[0])
    assert lines["7--occluded--occluded_bed"]["target"] == "7--original--bed"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cam0/scene99_real.png", "cam0/scene99_real.png: this input has no partner"),
        ("cam0/scene99_mean.png", "cam0/scene99_mean.png: this target has no partner"),
        ("cam0/other.png", "cam0/other.png: neither pattern of `pairs` found in this path; `only` leaves out what"),
        ("cam0/a_real_mean.png", "cam0/a_real_mean.png: both patterns of `pairs` found in this path"),
        ("cam0/scene02_real2.png", "cam0/scene02_real.png and cam0/scene02_real2.png: each would be the input of one"),
    ],
)
def test_images_that_make_no_pair(tmp_path: Path, name: str, expected: str) -> None:
    folder = pictures.folder(pictures.pairs(tmp_path / "in"), {name: pictures.png()})
    with pytest.raises(SourceError) as caught:
        fetch(folder, pairs=pictures.PAIRS)
    assert expected in str(caught.value)
    assert len(fetch(folder, pairs=pictures.PAIRS, group="image", only=r"scene[0-2]\d_(real|mean)\.")[0]) == 48


def test_a_pair_of_two_sizes(tmp_path: Path) -> None:
    folder = pictures.folder(pictures.pairs(tmp_path / "in"), {"cam0/scene04_real.png": pictures.png(50, 40)})
    with pytest.raises(SourceError) as caught:
        fetch(folder, pairs=pictures.PAIRS, group="image")
    assert str(caught.value) == (
        "cam0/scene04_mean.png has 48 x 40 px and its partner cam0/scene04_real.png 50 x 40 px; expected one size"
    )


def test_a_pair_is_set_aside_together(tmp_path: Path) -> None:
    broken = {"cam0/scene04_real.png": b"words", "cam1/scene05_mean.png": b""}
    folder = pictures.folder(pictures.pairs(tmp_path / "in"), broken)
    manifest, rejected = fetch(folder, pairs=pictures.PAIRS, group="image", max_rejected=0.1)
    assert len(manifest) == 44
    assert rejected == {
        "cam0/scene04_real.png": "not an image in a known format",
        "cam0/scene04_mean.png": "its partner cam0/scene04_real.png: not an image in a known format",
        "cam1/scene05_mean.png": "the file is empty",
        "cam1/scene05_real.png": "its partner cam1/scene05_mean.png: the file is empty",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pairs: {input: '(.*)_a', target: b}", "`datasets.mine.pairs.target`: 'b': expected a pattern with brackets"),
        ("pairs: {input: '(.*)_(a)', target: (.*)}", "`input` and `target` need as many brackets as each other"),
        ("only: '['", "`datasets.mine.only`: '[': not a pattern"),
    ],
)
def test_faults_of_pairs(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in problem(tmp_path, f"source: folder, path: p, size: 8, {text}")


# What is set aside


def test_every_reason_has_its_kind() -> None:
    """Of all reasons that the code gives, with their values left out."""
    given = set()
    for path in (Path(sources.__file__).parent, Path(images.__file__), Path(sharding.__file__)):
        for file in sorted(path.glob("*.py")) if path.is_dir() else [path]:
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "ImageError":
                    given |= {"".join(_words(part)) for part in node.args}
    given |= {"absolute name", "encrypted", "sparse file", "a later file of the archive has this name"}
    said = {reason for reason in given if len(reason.split()) > 1 or reason in ("encrypted",)}
    assert len(said) > 25
    assert {reason: quarantine.kind(reason) for reason in said if quarantine.kind(reason) == "other"} == {}
    assert quarantine.kind("40 x 8 px, smaller than 64 x 64 px") == "too small"
    assert quarantine.kind("its partner a.png: the file is empty") == "partner"
    assert quarantine.kind("damaged image: the file is empty") == "damaged"
    assert quarantine.kind("something else") == "other"


def _words(node: ast.AST) -> list[str]:
    if isinstance(node, ast.JoinedStr):
        return [str(part.value) if isinstance(part, ast.Constant) else "7" for part in node.values]
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def test_the_rows_of_the_guide_are_rows(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[1] / "docs/data.md").read_text(encoding="utf-8")
    rows = "".join(re.findall(r"^```yaml\n(.*?)^```", guide, re.MULTILINE | re.DOTALL))
    (tmp_path / "params.yaml").write_text("datasets:\n" + textwrap.indent(rows, "  "))
    found = params.section(tmp_path / "params.yaml", "datasets", sources.Dataset)
    assert {row.source for row in found.values()} == {"folder", "archive", "huggingface", "kaggle", "video"}
    kinds = re.findall(r"`([^`]+)`", guide[guide.index("They are\n`partner`") :].partition(".")[0])
    assert kinds == [*quarantine.KINDS, "other"]
