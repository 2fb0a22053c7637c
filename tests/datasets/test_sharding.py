"""Shards that are cut from fetched images."""

import json
import resource
import tarfile
from pathlib import Path

import numpy as np
import pictures
import pytest
from fetching import pixels, row, samples, sharded, table
from PIL import Image

from afterimage.core import images, outputs, shards
from afterimage.core.errors import ShardError, SpaceError
from afterimage.datasets import sharding, sources


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of 24 images of 12 people, 5 samples a shard."""
    return sharded(pictures.people(tmp_path_factory.mktemp("people") / "in"), shard_samples=5)


def test_index_table_and_tars_agree(people: Path) -> None:
    index = json.loads((people / "index.json").read_text())
    assert (index["dataset"], index["size"], sorted(index["splits"])) == ("mine", 32, ["test", "train", "val"])
    listed = iter(table(people / "samples.csv"))
    manifest = {line["key"]: line for line in table(people.parent / "raw" / "manifest.csv")}
    tars = set()
    for split in sources.SPLITS:
        entry = index["splits"][split]
        assert entry["samples"] == sum(shard["samples"] for shard in entry["shards"]) > 0
        for number, shard in enumerate(entry["shards"]):
            path = people / shard["name"]
            tars.add(path.name)
            assert shard["name"] == f"{split}-{number:06d}.tar"
            assert shard["samples"] <= 5
            assert (shard["bytes"], shard["sha256"]) == (path.stat().st_size, outputs.sha256(path))
            with tarfile.open(path) as tar:
                assert {(m.mtime, m.uname, m.gname, m.uid, m.mode) for m in tar} == {
                    (0, "afterimage", "afterimage", 0, 0o444)
                }
                for name in tar.getnames():
                    line = next(listed)
                    source = manifest[line["image"]]
                    assert f"{line['key']}.png" == name
                    assert (line["split"], line["shard"], line["image"]) == (split, path.name, line["key"])
                    assert (line["group"], source["split"]) == (source["group"], split)
    assert next(listed, None) is None
    assert {path.name for path in people.iterdir()} == tars | {
        *("index.json", "samples.csv", "rejected.csv", "train.npy", "val.npy", "test.npy")
    }


def test_bytes_are_the_same_whatever_the_number_of_jobs(people: Path) -> None:
    mine = row(path=str(people.parent / "in"), shard_samples=5)
    for jobs in (1, 2):
        out = people.parent / f"jobs{jobs}"
        sharding.write(mine, "mine", people.parent / "raw", out, jobs)
        assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in people.iterdir())
        for path in people.iterdir():
            assert (out / path.name).read_bytes() == path.read_bytes(), path.name


def test_without_a_tile_the_centre_square_is_resized(tmp_path: Path) -> None:
    folder = pictures.people(tmp_path / "in", width=50, height=40)
    found, extension = samples(sharded(folder, size=20))["person03--1"]
    image = Image.open(folder / "person03" / "1.png")
    expected = image.crop((5, 0, 45, 40)).resize((20, 20), Image.Resampling.LANCZOS)
    assert extension == "png"
    assert (pixels(found) == np.asarray(expected)).all()


def test_the_shorter_side_is_brought_down_first(tmp_path: Path) -> None:
    folder = pictures.people(tmp_path / "in", width=90, height=60)
    small = pictures.png(30, 28, seed=1)
    pictures.folder(folder, {"person03/small.png": small})
    found = samples(sharded(folder, size=20, tile=20, shorter_side=30))
    image = Image.open(folder / "person03" / "1.png").resize((45, 30), Image.Resampling.LANCZOS)
    tiles = [key for key in found if key.startswith("person03--1_")]
    assert tiles == ["person03--1_y0000_x0000", "person03--1_y0000_x0020"]
    assert (pixels(found[tiles[-1]][0]) == np.asarray(image.crop((20, 0, 40, 20)))).all()
    assert (pixels(found["person03--small_y0000_x0000"][0]) == pixels(small)[:20, :20]).all()


def test_training_tiles_overlap_and_others_do_not(tmp_path: Path) -> None:
    names = [f"{split}/{n}.png" for n, split in enumerate(("train", "val", "test"))]
    folder = pictures.folder(tmp_path / "in", {name: pictures.png(64, 56, seed=n) for n, name in enumerate(names)})
    found = samples(sharded(folder, size=16, tile=24, stride=12))
    corners = {
        split: sorted(tuple(map(int, (key[-9:-6], key[-3:]))) for key in found if key.startswith(split))
        for split in ("train", "val", "test")
    }
    assert corners["train"] == [(y, x) for y in (0, 12, 24) for x in (0, 12, 24, 36)]
    assert corners["val"] == corners["test"] == [(y, x) for y in (0, 24) for x in (0, 24)]
    image = Image.open(folder / "train" / "0.png")
    tile = image.crop((36, 12, 60, 36)).resize((16, 16), Image.Resampling.LANCZOS)
    assert (pixels(found["train--0_y0012_x0036"][0]) == np.asarray(tile)).all()


def test_an_image_is_cut_the_way_it_is_seen(tmp_path: Path) -> None:
    upright = pictures.noise(64, 24)
    folder = pictures.people(tmp_path / "in", width=64, height=24)
    turned = pictures.oriented(upright.transpose(Image.Transpose.ROTATE_90), 6)
    pictures.folder(folder, {"person03/turned.png": turned})
    found = samples(sharded(folder, size=24, tile=24, stride=24))
    assert (pixels(found["person03--turned_y0000_x0024"][0]) == np.asarray(upright)[:, 24:48]).all()


def test_original_bytes_are_kept_where_nothing_changes_them(tmp_path: Path) -> None:
    same = {
        "kept.jpg": pictures.jpeg(32, 32),
        "kept too.png": pictures.png(32, 32),
        "turned.jpg": pictures.oriented(pictures.noise(32, 32), 6, "JPEG"),
        "grey.jpg": pictures.encoded(pictures.noise(32, 32).convert("L"), "JPEG"),
        "small.webp": pictures.encoded(pictures.noise(32, 32), "WEBP"),
        "large.jpg": pictures.jpeg(33, 33),
    }
    folder = pictures.folder(pictures.people(tmp_path / "in"), {f"person03/{name}": same[name] for name in same})
    found = samples(sharded(folder))
    assert found["person03--kept"] == (same["kept.jpg"], "jpg")
    assert found["person03--kept=20too"] == (same["kept too.png"], "png")
    for key in ("turned", "grey", "small", "large"):
        data, extension = found[f"person03--{key}"]
        assert extension == "png"
        assert pixels(data).shape == (32, 32, 3)
    assert (pixels(found["person03--turned"][0]) == np.asarray(images.decode(same["turned.jpg"]))).all()


def test_original_bytes_are_kept_where_the_tile_is_the_whole_image(tmp_path: Path) -> None:
    folder = pictures.folder(pictures.people(tmp_path / "in"), {"person03/a.jpg": pictures.jpeg(32, 32)})
    found = samples(sharded(folder, tile=32, shorter_side=32))
    assert found["person03--a_y0000_x0000"] == (pictures.jpeg(32, 32), "jpg")


def test_what_does_not_decode_or_fit_is_set_aside(tmp_path: Path) -> None:
    broken = {
        "person03/cut.jpg": pictures.truncated(),
        "person04/small.png": pictures.png(31, 80),
        "person05/words.jpg": b"words",
    }
    folder = pictures.folder(pictures.people(tmp_path / "in"), broken)
    out = sharded(folder, max_rejected=0.2)
    reasons = {line["origin"]: line["reason"] for line in table(out / "rejected.csv")}
    assert list(reasons) == sorted(broken)
    assert reasons["person03/cut.jpg"].startswith("damaged image: ")
    assert reasons["person04/small.png"] == "31 x 80 px, smaller than 32 x 32 px"
    assert reasons["person05/words.jpg"] == "not an image in a known format"
    assert len(samples(out)) == len(table(out / "samples.csv")) == 24
    assert sum(split["samples"] for split in shards.load_index(out)["splits"].values()) == 24


def test_an_image_that_two_shards_share_is_set_aside_once(tmp_path: Path) -> None:
    files = {f"{split}/{n}.png": pictures.png(64, 64, seed=n) for n, split in enumerate(("train", "val", "test"))}
    files["train/1.jpg"] = pictures.truncated()
    folder = pictures.folder(tmp_path / "in", files)
    out = sharded(folder, tile=32, shard_samples=3, max_rejected=0.25, jobs=2)
    assert [line["origin"] for line in table(out / "rejected.csv")] == ["train/1.jpg"]
    train = shards.load_index(out)["splits"]["train"]["shards"]
    assert [(shard["name"], shard["samples"]) for shard in train] == [("train-000000.tar", 3), ("train-000001.tar", 1)]
    assert not (out / "train-000002.tar").exists()  # it would have held the broken image alone


@pytest.mark.parametrize(("allowed", "passes"), [(0.03, False), (0.05, True)])
def test_max_rejected_counts_both_stages(tmp_path: Path, allowed: float, passes: bool) -> None:
    folder = pictures.people(tmp_path / "in", count=38, images=1)
    pictures.folder(folder, {"person01/cut.jpg": pictures.truncated(), "person01/empty.jpg": b""})  # 2 of 40
    if passes:
        assert len(table(sharded(folder, max_rejected=allowed) / "rejected.csv")) == 2
        return
    with pytest.raises(ShardError, match=r"mine: 2 of 40 images were set aside, .* the first is person01/cut.jpg"):
        sharded(folder, max_rejected=allowed)
    assert not (tmp_path / "shards").exists()


def test_a_split_that_stays_empty_is_named(tmp_path: Path) -> None:
    files = {f"{split}/{n}.png": pictures.png(seed=n) for n, split in enumerate(("train", "val", "test"))}
    files["val/1.png"] = pictures.png(20, 20)
    folder = pictures.folder(tmp_path / "in", files)
    with pytest.raises(ShardError, match="mine: val would have no samples"):
        sharded(folder, max_rejected=0.5)
    assert not (tmp_path / "shards").exists()


def test_a_fault_leaves_the_former_shards_alone(people: Path) -> None:
    raw = people.parent / "raw"
    before = (people / "index.json").read_bytes()
    with pytest.raises(ShardError, match="set aside"):
        sharding.write(row(path=str(people.parent / "in"), size=500), "mine", raw, people)
    assert (people / "index.json").read_bytes() == before
    assert not list(people.parent.glob(".*partial"))


def test_a_disk_that_is_too_small_is_named_before_anything_is_written(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = outputs.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(outputs.shutil, "disk_usage", lambda _: usage._replace(free=40_000))
    with pytest.raises(SpaceError) as caught:
        sharding.write(row(path=str(people.parent / "in")), "mine", people.parent / "raw", tmp_path / "out")
    assert "shards of mine, 24 samples: this needs 4.42e-05 GB, 4e-05 GB are free in" in str(caught.value)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_disk_without_room_leaves_nothing_half_written(tmp_path: Path, jobs: int) -> None:
    folder = pictures.people(tmp_path / "in")
    mine = row(path=str(folder))
    sources.fetch(mine, "mine", tmp_path / "raw")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # as near to a full disk as a test can come
    try:
        with pytest.raises((OSError, SpaceError), match="File too large"):
            sharding.write(mine, "mine", tmp_path / "raw", tmp_path / "shards", jobs)
        with pytest.raises((OSError, SpaceError), match="File too large"):
            sources.fetch(mine, "mine", tmp_path / "raw again")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name for path in tmp_path.iterdir()} == {"in", "raw"}


def test_raw_data_that_is_not_whole(people: Path, tmp_path: Path) -> None:
    mine = row(path=str(people.parent / "in"))
    with pytest.raises(ShardError, match=r"images.tar: there is no such archive; run the stage fetch"):
        sharding.write(mine, "mine", tmp_path, tmp_path / "out")
    for name in ("manifest.csv", "rejected.csv", "images.tar"):
        (tmp_path / name).write_bytes((people.parent / "raw" / name).read_bytes())
    text = (tmp_path / "manifest.csv").read_text().splitlines(keepends=True)
    (tmp_path / "manifest.csv").write_text("".join(text[:3] + text[4:]))
    with pytest.raises(ShardError, match=r"images.tar: found person01--0 .* expected person01--1"):
        sharding.write(mine, "mine", tmp_path, tmp_path / "out")
    (tmp_path / "manifest.csv").write_text("".join([*text, text[-1].replace("person", "zerson")]))
    with pytest.raises(ShardError, match=r"images.tar: ends before zerson"):
        sharding.write(mine, "mine", tmp_path, tmp_path / "out")
