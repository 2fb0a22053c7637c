"""Reading shards, in order and at random, whole and damaged."""

import io
import json
import os
import pickle
import tarfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pictures
import pytest
from fetching import pixels, sharded

from afterimage.core import shards
from afterimage.core.errors import ShardError


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of 24 images of 12 people, 5 samples a shard."""
    return sharded(pictures.people(tmp_path_factory.mktemp("people") / "in"), shard_samples=5)


def test_webdataset_reads_the_shards(people: Path) -> None:
    import webdataset

    urls = [str(people / shard["name"]) for shard in shards.load_index(people)["splits"]["train"]["shards"]]
    assert len(urls) > 1
    dataset = webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8")
    found = {sample["__key__"]: sample["png"] for sample in dataset}
    expected = {key: data for key, data, _ in shards.read(people, "train")}
    assert list(found) == list(expected)
    assert all((found[key] == pixels(expected[key])).all() for key in found)


def test_long_keys_are_read_back(tmp_path: Path) -> None:
    import webdataset

    key = "=d0=b6" * 120
    with shards.writer(tmp_path / "train-000000.tar") as put:
        put(f"{key}.png", b"1")
        put("b.png", b"2")
    entry = shards.describe(tmp_path / "train-000000.tar", 2)
    shards.write_index(tmp_path, {}, {"train": [entry]})
    assert [name for name, *_ in shards.read(tmp_path, "train")] == [key, "b"]
    dataset = webdataset.WebDataset([str(tmp_path / entry["name"])], shardshuffle=False)
    assert [sample["__key__"] for sample in dataset] == [key, "b"]


@pytest.mark.parametrize("key", ["a", "k" * 96, "k" * 97, "k" * 300])
def test_tars_are_those_of_tarfile(key: str, tmp_path: Path) -> None:
    sizes = [0, 1, 511, 512, 513, 70_000]
    with shards.writer(tmp_path / "ours.tar") as put:
        for size in sizes:
            put(f"{key}.{size}.npy", b"a" * (size // 2), memoryview(np.full(size - size // 2, 97, np.uint8)))
    with tarfile.open(tmp_path / "theirs.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        for size in sizes:
            header = tarfile.TarInfo(f"{key}.{size}.npy")
            header.size, header.mode, header.uname, header.gname = size, 0o444, "afterimage", "afterimage"
            tar.addfile(header, io.BytesIO(b"a" * size))
    assert (tmp_path / "ours.tar").read_bytes() == (tmp_path / "theirs.tar").read_bytes()


def test_random_access_equals_reading_in_order(people: Path) -> None:
    in_order = list(shards.read(people, "train"))
    opened = shards.Table(people, "train")
    assert len(opened) == len(in_order) == shards.load_index(people)["splits"]["train"]["samples"]
    assert opened.keys == [key for key, *_ in in_order]
    assert opened.extensions == [extension for *_, extension in in_order]
    for position in np.random.default_rng(0).permutation(len(opened)):
        assert opened.bytes(position) == in_order[position][1]
    with pytest.raises(IndexError):
        opened.bytes(len(opened))


def test_a_table_holds_features_too(tmp_path: Path) -> None:
    arrays = {f"image{n}": np.random.default_rng(n).normal(size=(4, 3, 3)).astype(np.float16) for n in range(7)}
    keys = iter(arrays)
    entries = []
    for number in range(2):
        path = tmp_path / f"test-{number:06d}.tar"
        with shards.writer(path) as put:
            for _, key in zip(range(4 - number), keys, strict=False):
                stream = io.BytesIO()
                np.save(stream, arrays[key])
                put(f"{key}.npy", stream.getvalue())
        entries.append(shards.describe(path))
    shards.write_index(tmp_path, {"layer": "relu1_1"}, {"test": entries, "val": []})
    opened = shards.Table(tmp_path, "test")
    assert opened.index["layer"] == "relu1_1"
    assert opened.index["splits"]["test"]["samples"] == sum(entry["samples"] for entry in entries)
    for position, key in enumerate(opened.keys):
        assert (np.load(io.BytesIO(opened.bytes(position))) == arrays[key]).all()
    assert len(shards.Table(tmp_path, "val")) == 0


def test_a_table_pickles_and_crosses_threads_and_forks(people: Path) -> None:
    opened = shards.Table(people, "train")
    expected = [data for _, data, _ in shards.read(people, "train")]
    assert opened.bytes(0) == expected[0]  # opens a tar before it is pickled
    copy = pickle.loads(pickle.dumps(opened))
    assert [copy.bytes(position) for position in range(len(copy))] == expected

    wrong: list[int] = []

    def check(start: int) -> None:
        for step in range(200):
            position = (start + 7 * step) % len(opened)
            if opened.bytes(position) != expected[position]:
                wrong.append(position)

    threads = [threading.Thread(target=check, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    child = os.fork()
    if child == 0:
        check(3)
        os._exit(len(wrong))
    check(5)
    assert os.waitpid(child, 0)[1] == 0
    assert not wrong


def test_a_table_opens_no_more_tars_than_allowed(people: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards.Table, "MAX_OPEN", 1)
    opened = shards.Table(people, "train")
    assert [opened.bytes(position) for position in range(len(opened))] == [
        data for _, data, _ in shards.read(people, "train")
    ]
    assert len(opened._open) == 1


@pytest.fixture
def copied(people: Path, tmp_path: Path) -> Path:
    for path in people.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def refused(folder: Path, split: str = "train") -> str:
    """What both readers say, in one line."""
    with pytest.raises(ShardError) as first:
        shards.Table(folder, split)
    with pytest.raises(ShardError) as second:
        list(shards.read(folder, split))
    assert str(first.value) == str(second.value)
    assert "\n" not in str(first.value)
    return str(first.value)


def change_index(folder: Path, **fields: Any) -> None:
    index = json.loads((folder / "index.json").read_text())
    index["splits"]["train"]["shards"][1].update(fields)
    (folder / "index.json").write_text(json.dumps(index))


@pytest.mark.parametrize("left", [0, 100, 1500, -10240])
def test_a_truncated_tar(copied: Path, left: int) -> None:
    path = copied / "train-000001.tar"
    whole = path.read_bytes()
    path.write_bytes(whole[:left])
    length = len(whole[:left])
    expected = f"{path}: {length} bytes, expected {len(whole)} by index.json: truncated or replaced"
    assert refused(copied) == expected
    if left in (100, 1500):  # the tar itself gives it away where the index was made to agree
        change_index(copied, bytes=length)
        assert "train-000001.tar: " in refused(copied)


def test_a_missing_shard(copied: Path) -> None:
    (copied / "train-000001.tar").unlink()
    assert refused(copied) == f"{copied / 'train-000001.tar'}: this shard is missing, although index.json lists it"


def test_a_count_that_differs_from_the_index(copied: Path) -> None:
    change_index(copied, samples=4)
    assert refused(copied) == f"{copied / 'train-000001.tar'}: 5 samples, expected 4 by index.json"


def test_a_damaged_header(copied: Path) -> None:
    path = copied / "train-000001.tar"
    data = bytearray(path.read_bytes())
    data[:100] = b"x" * 100
    path.write_bytes(data)
    assert refused(copied).startswith(f"{path}: not a whole tar: ")


def test_an_unknown_split(copied: Path) -> None:
    assert refused(copied, "trial").endswith("index.json: no split `trial`; there are test, train, val")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "there is no such index"),
        ("{", "index.json: not JSON: "),
        ("[]", "index.json: expected an object, found list"),
        ("{}", "not an index of shards: KeyError: 'splits'"),
        ('{"splits": {"train": {"shards": []}}}', "not an index of shards: KeyError: 'samples'"),
        ('{"splits": {"train": {"samples": 1, "shards": [{"name": "a.tar"}]}}}', "KeyError: 'samples'"),
        (
            '{"splits": {"train": {"samples": 1, "shards": '
            '[{"name": "../a.tar", "samples": 1, "bytes": 1, "sha256": ""}]}}}',
            "not an entry of a shard",
        ),
    ],
)
def test_a_missing_or_garbled_index(tmp_path: Path, text: str | None, expected: str) -> None:
    if text is not None:
        (tmp_path / "index.json").write_text(text)
    assert expected in refused(tmp_path)


@pytest.mark.parametrize("name", ["a", "a.b.c.png", "a.B.png", "a b.png", "a/b.png", ".png", "é.png"])
def test_names_that_are_no_keys_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ShardError, match="is no name of a sample"), shards.writer(tmp_path / "a.tar") as put:
        put(name, b"")
    assert not list(tmp_path.iterdir())
