"""Groups, splits and pairs follow from names."""

import hashlib
from pathlib import Path

import pictures
import pytest
from fetching import by_key, fetch

from afterimage.core.errors import SourceError
from afterimage.datasets import sources


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


def test_a_person_in_two_official_splits_is_one_group(tmp_path: Path) -> None:
    names = [f"{split}/ann/{n}.png" for n, split in enumerate(("train", "val", "test"))]
    folder = pictures.folder(tmp_path / "in", {name: pictures.png(seed=n) for n, name in enumerate(names)})
    assert {line["group"] for line in fetch(folder)[0]} == {"ann"}


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
