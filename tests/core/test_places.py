"""The index of where samples lie: what it gives, how it finds keys, and what it says when it is damaged or stale."""

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from afterimage.core import places, shards
from afterimage.core.errors import ShardError

KEYS = [f"k{number:03d}" for number in range(40)]


def written(folder: Path, keys: list[str] = KEYS, a_shard: int = 16, part: str | None = "input", **data: bytes) -> Path:
    """Shards of tiny samples: the bytes of each are its key's, or `data` of that key."""
    entries = []
    for number, start in enumerate(range(0, len(keys), a_shard)):
        with shards.writer(folder / f"train-{number:06d}.tar") as put:
            for key in keys[start : start + a_shard]:
                put(f"{key}.png", data.get(key, key.encode()))
                if part is not None:
                    put(f"{key}.{part}.jpg", b"<" + data.get(key, key.encode()))
        entries.append(put.described())
    shards.write_index(folder, {"dataset": "mine"}, {"train": entries, "val": []})
    return folder


def headers_read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The tars whose headers are read from now on."""
    found: list[Path] = []
    members = shards.members
    monkeypatch.setattr(shards, "members", lambda path: (found.append(path), members(path))[1])
    return found


@pytest.mark.parametrize("part", ["", "input"])
def test_a_table_from_the_index_is_one_from_the_headers(
    tmp_path: Path, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(tmp_path, k001=b"", k007=bytes(511), k020=bytes(512), k021=bytes(5000))
    read = headers_read(monkeypatch)
    mapped = shards.Table(folder, "train", part)
    assert not read
    for path in folder.glob("*.npy"):
        path.unlink()
    scanned = shards.Table(folder, "train", part)
    assert len(read) == 3
    assert mapped.keys == scanned.keys == KEYS
    assert [mapped.bytes(place) for place in range(40)] == [scanned.bytes(place) for place in range(40)]
    assert [mapped.bytes(place) for place in range(40)] == [data for _, data, _ in shards.read(folder, "train", part)]
    assert mapped.bytes(-1) == mapped.of("k039") == (b"<k039" if part else b"k039")
    with pytest.raises(IndexError):
        mapped.bytes(40)


def test_the_index_is_the_same_whoever_described_the_tars(tmp_path: Path) -> None:
    folder = written(tmp_path)
    names = ["train.npy", "train.input.npy", "index.json"]
    known = [(folder / name).read_bytes() for name in names]
    described = [shards.describe(path) for path in sorted(folder.glob("*.tar"))]
    shards.write_index(folder, {"dataset": "mine"}, {"train": described, "val": []})
    assert [(folder / name).read_bytes() for name in names] == known
    assert set(json.loads(known[2])["splits"]["train"]["shards"][0]) == {"name", "samples", "bytes", "sha256"}


def test_numpy_maps_the_rows(tmp_path: Path) -> None:
    rows = np.load(written(tmp_path) / "train.npy", mmap_mode="r")
    assert rows.dtype.names == ("key", "extension", "offset", "size")
    assert rows["key"].tolist() == [key.encode() for key in KEYS]
    assert rows[17].item() == (b"k017", b"png", 3 * 512 + 1024, 4)


def test_a_part_that_some_samples_lack_has_no_index(tmp_path: Path) -> None:
    with shards.writer(tmp_path / "train-000000.tar") as put:
        put("a.png", b"a")
        put("b.png", b"b")
        put("b.input.png", b"c")
    shards.write_index(tmp_path, {}, {"train": [put.described()]})
    assert {path.name for path in tmp_path.iterdir()} == {"train-000000.tar", "train.npy", "index.json"}
    with pytest.raises(ShardError, match=r"train-000000.tar: 1 samples with input, expected 2 by index.json"):
        shards.Table(tmp_path, "train", "input")


def test_an_empty_split_and_an_empty_shard(tmp_path: Path) -> None:
    assert len(shards.Table(written(tmp_path), "val")) == 0
    (tmp_path / "more").mkdir()
    with shards.writer(tmp_path / "more/train-000000.tar") as put:
        pass
    shards.write_index(tmp_path / "more", {}, {"train": [put.described()]})
    opened = shards.Table(tmp_path / "more", "train")
    assert opened.keys == []
    assert "a" not in opened.keys


def test_keys_are_found_whatever_their_order(tmp_path: Path) -> None:
    keys = ["b", "a-b", "a", "ab", "a_y0096_x0048", "A", "=d0=b6" * 120]
    opened = shards.Table(written(tmp_path, keys, 3, None), "train")
    assert [opened.keys.place(key) for key in keys] == list(range(len(keys)))
    assert [opened.keys[place] for place in range(len(keys))] == list(opened.keys) == opened.keys[:] == keys
    assert opened.keys[2:4] == ["a", "ab"]
    assert [opened.of(key) for key in keys] == [key.encode() for key in keys]
    for absent in ("", "c", "a\0", "=d0=b6" * 121, "é"):
        assert absent not in opened.keys
    assert 3 not in opened.keys
    with pytest.raises(ShardError, match=r": has no sample `c` in train"):
        opened.of("c")


def test_keys_are_compared_without_becoming_text(tmp_path: Path) -> None:
    for name in ("one", "two", "other"):
        (tmp_path / name).mkdir()
    one, two = (shards.Table(written(tmp_path / name), "train").keys for name in ("one", "two"))
    other = shards.Table(written(tmp_path / "other", [*KEYS[:-1], "long-key-at-the-end"]), "train").keys
    assert one == two
    assert one != other
    assert one != KEYS[:-1]
    assert one != [*KEYS[:-1], "x"]
    assert one != "k000"
    assert "".join(one) == "".join(KEYS)


def test_a_mapped_table_pickles_as_its_name(tmp_path: Path) -> None:
    opened = shards.Table(written(tmp_path), "train", "input")
    opened.bytes(3)
    pickled = pickle.dumps(opened)
    assert len(pickled) < 500
    assert pickle.loads(pickled).bytes(3) == b"<k003"


def refused(folder: Path) -> str:
    """What both readers say when they open the shards, in one line."""
    said = []
    for read in (shards.Table, lambda *names: list(shards.read(*names))):
        with pytest.raises(ShardError) as error:
            read(folder, "train")
        said.append(str(error.value))
    assert said[0] == said[1]
    assert "\n" not in said[0]
    return said[0]


@pytest.mark.parametrize("left", [0, 7, 100, 500, -1])
def test_a_truncated_index(tmp_path: Path, left: int) -> None:
    path = written(tmp_path) / "train.npy"
    path.write_bytes(path.read_bytes()[:left])
    assert refused(tmp_path).startswith(f"{path}: not an index of samples: ")


def test_an_index_that_is_too_long(tmp_path: Path) -> None:
    path = written(tmp_path) / "train.npy"
    path.write_bytes(path.read_bytes() + b"x")
    assert refused(tmp_path) == f"{path}: not an index of samples: more than two arrays"


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(40),
        np.zeros((5, 8), dtype=[("key", "S4"), ("extension", "S3"), ("offset", "<u8"), ("size", "<u8")]),
        np.zeros(40, dtype=[("key", "<u8"), ("extension", "S3"), ("offset", "<u8"), ("size", "<u8")]),
        np.array([{}], dtype=object),
    ],
)
def test_another_array_than_an_index(tmp_path: Path, array: Any) -> None:
    path = written(tmp_path) / "train.npy"
    np.save(path, array)
    assert refused(tmp_path).startswith(f"{path}: not an index of samples: ")


def test_the_index_of_other_shards(tmp_path: Path) -> None:
    for name in ("mine", "other"):
        (tmp_path / name).mkdir()
    other = written(tmp_path / "other", k001=b"another")
    mine = written(tmp_path / "mine")
    (other / "train.npy").replace(mine / "train.npy")
    expected = f"{mine / 'train.npy'}: is of another train-000000.tar than index.json lists; {places.RESTORED}"
    assert refused(mine) == expected
    (mine / "train.npy").unlink()  # then the headers are read
    assert shards.Table(mine, "train").of("k001") == b"k001"


def test_no_flipped_byte_gives_other_bytes(tmp_path: Path) -> None:
    path = written(tmp_path, KEYS[:6], 3, None) / "train.npy"
    whole = path.read_bytes()
    expected = {key: key.encode() for key in KEYS[:6]}
    named = 0
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 0x41
        path.write_bytes(damaged)
        try:
            found = {key: data for key, data, _ in shards.read(tmp_path, "train")}
            opened = shards.Table(tmp_path, "train")
            by_place = {key: opened.bytes(place) for place, key in enumerate(opened.keys)}
        except ShardError as error:
            named += 1
            assert str(tmp_path) in str(error)
        else:
            assert found == by_place == expected
    assert named > len(whole) / 3  # the rest is padding of headers, and names of types


def test_a_tar_that_was_replaced_by_one_of_its_size(tmp_path: Path) -> None:
    folder = written(tmp_path)
    opened = shards.Table(folder, "train")
    path = folder / "train-000001.tar"
    data = path.read_bytes()
    path.write_bytes(data.replace(b"k016", b"q016").replace(b"k017", b"k017"))
    assert opened.bytes(15) == b"k015"
    with pytest.raises(ShardError, match=r"train-000001.tar: k016.png is not where it should be; run dvc checkout"):
        opened.bytes(16)
    with pytest.raises(ShardError, match=r"train-000001.tar: "):
        list(shards.read(folder, "train"))


def test_a_tar_that_became_shorter_while_it_was_open(tmp_path: Path) -> None:
    folder = written(tmp_path, k039=bytes(9000))
    opened = shards.Table(folder, "train")
    opened.bytes(39)
    os.truncate(folder / "train-000002.tar", int(np.load(folder / "train.npy")["offset"][39]) + 100)
    with pytest.raises(ShardError, match=r"train-000002.tar: ends within k039: 100 of 9000 bytes"):
        opened.bytes(39)
