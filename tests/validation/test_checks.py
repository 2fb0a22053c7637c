"""The gates let good data pass, the same every time, and name the culprit in bad data."""

import csv
import io
import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from afterimage.core.errors import CheckError, ShardError
from afterimage.core.images import encode_png
from afterimage.core.outputs import sha256
from afterimage.datasets import checks

SIZE = 8
SHAPE = [4, 2, 2]


class Sample:
    """A sample of a tiny data set, to be altered before it is written."""

    def __init__(self, split: str, shard: int, number: int):
        self.split = split
        self.shard = f"{split}-{shard:06d}.tar"
        self.image = f"{split}_photo{number}"
        self.key = f"{self.image}_y0000_x0000"
        self.group = f"{split}-person{number // 2}"
        self.pixels = np.random.default_rng([len(split), number]).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        features = np.random.default_rng([len(split), number]).normal(size=SHAPE)
        self.features = features.astype(np.float16)

    @property
    def png(self) -> bytes:
        return encode_png(self.pixels)

    @property
    def npy(self) -> bytes:
        stream = io.BytesIO()
        np.save(stream, self.features)
        return stream.getvalue()


Samples = list[Sample]


def tiny() -> Samples:
    """Two training shards of four, a shard of four for validation and for test."""
    shards = [("train", 0), ("train", 1), ("val", 0), ("test", 0)]
    return [Sample(split, shard, 4 * shard + n) for split, shard in shards for n in range(4)]


def pick(samples: Samples, split: str, number: int = 0) -> Sample:
    return [sample for sample in samples if sample.split == split][number]


def write_shards(folder: Path, samples: Samples, extension: str, head: dict[str, Any]) -> None:
    folder.mkdir(parents=True)
    splits: dict[str, Any] = {split: {"samples": 0, "shards": []} for split in ("train", "val", "test")}
    for name in dict.fromkeys(sample.shard for sample in samples):
        members = [sample for sample in samples if sample.shard == name]
        with tarfile.open(folder / name, "w") as tar:
            for sample in members:
                data = sample.png if extension == "png" else sample.npy
                entry = tarfile.TarInfo(f"{sample.key}.{extension}")
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
        split = splits[name.split("-")[0]]
        split["samples"] += len(members)
        split["shards"].append({"name": name, "samples": len(members)})
    write_index(folder, {**head, "splits": splits})


def write_index(folder: Path, index: dict[str, Any]) -> None:
    """Write the index with the sizes and hashes of the tars as they are now."""
    for split in index["splits"].values():
        for shard in split["shards"]:
            path = folder / shard["name"]
            shard |= {"bytes": path.stat().st_size, "sha256": sha256(path)}
    (folder / "index.json").write_text(json.dumps(index, sort_keys=True))  # test before train, as in the real one


def reindex(folder: Path) -> None:
    write_index(folder, json.loads((folder / "index.json").read_text()))


def write_table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([columns, *rows])


class Project:
    """A tiny data set and a layer of features on disk, and the two gates over them."""

    def __init__(self, root: Path):
        self.raw, self.shards, self.features = root / "raw", root / "shards", root / "features"
        self.result = root / "reports" / "result.json"

    def write_images(self, samples: Samples, manifest: Samples | None = None, rejected: int = 0) -> None:
        write_shards(self.shards, samples, "png", {"dataset": "photos", "size": SIZE})
        write_table(
            self.shards / "samples.csv",
            ["key", "split", "shard", "image", "group"],
            [(s.key, s.split, s.shard, s.image, s.group) for s in samples],
        )
        refused = [(f"bad{n}.jpg", "empty", "the file is empty") for n in range(rejected)]
        write_table(self.shards / "rejected.csv", ["origin", "kind", "reason"], refused)
        self.raw.mkdir()
        write_table(
            self.raw / "manifest.csv",
            ["key", "origin", "group", "split"],
            [(s.image, f"{s.image}.jpg", s.group, s.split) for s in manifest or samples],
        )

    def write_features(self, samples: Samples, **head: Any) -> None:
        index = {
            "encoder": "vgg16",
            "layer": "relu1_2",
            "node": "features.3",
            "dataset": "photos",
            "dtype": "float16",
            "shape": SHAPE,
            "images": sha256(self.shards / "index.json"),
            "weights": "0" * 64,
        }
        write_shards(self.features, samples, "npy", index | head)

    def gate(self, max_rejected: float = 0.0) -> None:
        checks.check_images("photos", self.shards, self.raw, max_rejected, self.result)

    def feature_gate(self) -> None:
        checks.check_features("vgg16", "relu1_2", self.features, self.shards, self.result)

    def refused(self, gate: Callable[[], None], *words: str) -> str:
        """The gate fails with one line that holds all the words, and leaves no older result that looks passed."""
        self.result.parent.mkdir(exist_ok=True)
        self.result.write_text("an older result")
        with pytest.raises((CheckError, ShardError)) as caught:
            gate()
        text = str(caught.value)
        assert "\n" not in text
        for word in words:
            assert word in text
        assert not self.result.exists()
        return text


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    return Project(Path())


def by_sentence(path: Path) -> dict[str, dict[str, Any]]:
    return {check["check"]: check for check in json.loads(path.read_text())["checks"]}


# Images


def test_good_images_pass_with_the_same_bytes_every_time(project: Project) -> None:
    project.write_images(tiny(), rejected=1)
    project.gate(max_rejected=0.1)
    first = project.result.read_bytes()
    project.gate(max_rejected=0.1)
    assert project.result.read_bytes() == first
    result = json.loads(first)
    assert (result["name"], result["passed"]) == ("photos", True)
    assert all(check["passed"] for check in result["checks"])
    train = {"samples": 8, "shards": 2, "groups": 4, "images": 8, "distinct_samples": 8}
    assert result["counts"]["splits"]["train"] == train
    assert result["counts"]["rejected"] == 1
    groups = by_sentence(project.result)["no group is in two splits"]
    assert groups["expectation"] == "expect_column_values_to_be_between"
    assert groups["observed"] == "8 of 8"
    aside = by_sentence(project.result)["no more files were set aside than the row's max_rejected allows"]
    assert aside["examples"] == [{"origin": "bad0.jpg", "reason": "the file is empty"}]


def test_a_truncated_shard_is_named(project: Project) -> None:
    project.write_images(tiny())
    shard = project.shards / "train-000001.tar"
    shard.write_bytes(shard.read_bytes()[:1500])
    project.refused(project.gate, "train-000001.tar", "bytes that its index says")


def test_a_truncated_shard_is_named_even_where_the_index_agrees(project: Project) -> None:
    project.write_images(tiny())
    shard = project.shards / "train-000001.tar"
    shard.write_bytes(shard.read_bytes()[:1500])
    reindex(project.shards)
    project.refused(project.gate, "train-000001.tar")


def test_a_shard_with_more_samples_than_its_index_says_is_named(project: Project) -> None:
    project.write_images(tiny())
    index = json.loads((project.shards / "index.json").read_text())
    index["splits"]["test"]["shards"][0]["samples"] = 3
    (project.shards / "index.json").write_text(json.dumps(index))
    project.refused(project.gate, "test-000000.tar", "4 samples, expected 3")


def test_one_altered_byte_is_found(project: Project) -> None:
    project.write_images(tiny())
    shard = project.shards / "val-000000.tar"
    data = bytearray(shard.read_bytes())
    data[700] ^= 1
    shard.write_bytes(data)
    project.refused(project.gate, "val-000000.tar", sha256(shard))


def test_missing_and_stray_shards_are_named(project: Project) -> None:
    project.write_images(tiny())
    (project.shards / "val-000000.tar").rename(project.shards / "val-000007.tar")
    project.refused(project.gate, "val-000000.tar", "no file")
    full = json.loads((checks.FAILURES / "photos.json").read_text())
    names = {Path(example["shard"]).name for check in full["checks"] for example in check["examples"]}
    assert names == {"val-000000.tar", "val-000007.tar"}


def test_a_leaked_group_is_named(project: Project) -> None:
    samples = tiny()
    for split in ("train", "test"):
        pick(samples, split).group = "bob"
    project.write_images(samples)
    project.refused(
        project.gate,
        "no group is in two splits",
        "group bob",
        "splits 2 (expected at most 1)",
        pick(samples, "train").key,
        pick(samples, "test").key,
    )


def test_a_duplicate_across_splits_is_named(project: Project) -> None:
    samples = tiny()
    pick(samples, "test", 2).pixels = pick(samples, "train", 5).pixels
    project.write_images(samples)
    project.refused(project.gate, "pixel for pixel", pick(samples, "test", 2).key, pick(samples, "train", 5).key)


def test_a_duplicate_within_a_split_is_allowed(project: Project) -> None:
    samples = tiny()
    pick(samples, "train", 1).pixels = pick(samples, "train", 5).pixels
    project.write_images(samples)
    project.gate()
    assert json.loads(project.result.read_text())["counts"]["splits"]["train"]["distinct_samples"] == 7


def test_a_wrong_size_is_named(project: Project) -> None:
    samples = tiny()
    pick(samples, "val", 3).pixels = np.zeros((SIZE, SIZE + 1, 3), np.uint8)
    project.write_images(samples)
    project.refused(project.gate, pick(samples, "val", 3).key, "9 x 8", "expected 8 x 8")


def test_a_grey_image_is_named(project: Project) -> None:
    samples = tiny()
    pick(samples, "val", 1).pixels = np.zeros((SIZE, SIZE), np.uint8)
    project.write_images(samples)
    project.refused(project.gate, pick(samples, "val", 1).key, "stored PNG L", "8-bit RGB")


def test_an_unreadable_image_is_named(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = tiny()
    monkeypatch.setattr(Sample, "png", property(lambda self: encode_png(self.pixels)[: 90 if self is bad else None]))
    bad = pick(samples, "test", 1)
    project.write_images(samples)
    project.refused(project.gate, bad.key, "damaged", "can be decoded")


def test_an_empty_split_is_named(project: Project) -> None:
    project.write_images([sample for sample in tiny() if sample.split != "val"])
    project.refused(project.gate, "no split is empty", "split val")


def test_a_key_with_a_dot_is_named(project: Project) -> None:
    samples = tiny()
    pick(samples, "train", 2).key = "photo.v2"
    project.write_images(samples)
    project.refused(project.gate, "photo")


def test_a_key_with_a_forbidden_sign_is_named(project: Project) -> None:
    samples = tiny()
    pick(samples, "train", 3).key = "train_photo~3"
    project.write_images(samples)
    project.refused(project.gate, "train_photo~3")


def test_a_key_used_twice_is_named(project: Project) -> None:
    samples = tiny()
    pick(samples, "train", 7).key = pick(samples, "train", 0).key
    project.write_images(samples)
    project.refused(project.gate, pick(samples, "train", 0).key)


def test_unsorted_keys_are_named(project: Project) -> None:
    samples = tiny()
    samples[8], samples[9] = samples[9], samples[8]
    project.write_images(samples)
    project.refused(project.gate, "sorted", "val-000000.tar", "val_photo0_y0000_x0000 after val_photo1_y0000_x0000")


def test_a_table_in_another_order_than_the_shards_is_refused(project: Project) -> None:
    samples = tiny()
    project.write_images(samples)
    table = project.shards / "samples.csv"
    lines = table.read_text().splitlines()
    lines[2], lines[3] = lines[3], lines[2]
    table.write_text("\n".join(lines))
    project.refused(project.gate, pick(samples, "train", 1).key, "the same order")


def test_a_sample_missing_from_the_table_is_named(project: Project) -> None:
    samples = tiny()
    project.write_images(samples)
    table = project.shards / "samples.csv"
    table.write_text("\n".join(table.read_text().splitlines()[:-1]))
    project.refused(project.gate, "split test", "samples_in_table 3")
    full = json.loads((checks.FAILURES / "photos.json").read_text())
    order = next(check for check in full["checks"] if check["check"].endswith("in the same order"))
    assert order["examples"][0]["found"] == f"test-000000.tar/{samples[-1].key}"
    assert order["examples"][0]["listed"] == "nothing"


def test_a_sample_that_the_table_puts_into_another_shard_is_named(project: Project) -> None:
    project.write_images(tiny())
    table = project.shards / "samples.csv"
    table.write_text(
        table.read_text().replace("_photo3_y0000_x0000,train,train-000000", "_photo3_y0000_x0000,train,train-000001")
    )
    project.refused(project.gate, "found train-000000.tar/train_photo3", "listed train-000001.tar/train_photo3")


@pytest.mark.parametrize(
    ("field", "word"), [("split", "in the split"), ("group", "in the group"), ("image", "in the manifest")]
)
def test_a_sample_that_the_manifest_contradicts_is_named(project: Project, field: str, word: str) -> None:
    samples, manifest = tiny(), tiny()
    setattr(pick(manifest, "val", 2), field, "elsewhere")
    project.write_images(samples, manifest)
    project.refused(project.gate, word, pick(samples, "val", 2).key)


def test_exactly_as_many_rejected_files_as_allowed_pass(project: Project) -> None:
    project.write_images(tiny(), rejected=8)
    project.gate(max_rejected=1 / 3)


def test_too_many_rejected_files_stop_the_gate(project: Project) -> None:
    project.write_images(tiny(), rejected=4)
    text = project.refused(lambda: project.gate(max_rejected=0.19), "max_rejected", "bad0.jpg", "the file is empty")
    assert "16 of 20" in text
    full = checks.FAILURES / "photos.json"
    assert str(full) in text
    assert json.loads(full.read_text())["passed"] is False
    project.gate(max_rejected=0.2)
    assert not full.exists()


def test_two_images_with_one_key_in_the_manifest_are_named(project: Project) -> None:
    samples = tiny()
    project.write_images(samples, [*samples, pick(samples, "test", 3)])
    project.refused(project.gate, "share a key", samples[-1].image)


def test_a_table_without_its_columns_is_named(project: Project) -> None:
    project.write_images(tiny())
    (project.raw / "manifest.csv").write_text("key,origin\n")
    project.refused(project.gate, "raw/manifest.csv", "group, split")


# Features


def test_good_features_pass_with_the_same_bytes_every_time(project: Project) -> None:
    project.write_images(tiny())
    project.write_features(tiny())
    project.feature_gate()
    first = project.result.read_bytes()
    project.feature_gate()
    assert project.result.read_bytes() == first
    result = json.loads(first)
    assert (result["name"], result["passed"]) == ("features/vgg16/relu1_2", True)
    assert result["counts"]["shape"] == SHAPE
    assert result["counts"]["splits"]["train"]["samples"] == 8


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_named(project: Project, value: float) -> None:
    samples = tiny()
    pick(samples, "train", 6).features[1, 0, 1] = value
    project.write_images(tiny())
    project.write_features(samples)
    project.refused(project.feature_gate, "finite", pick(samples, "train", 6).key, "train-000001.tar", "not_finite 1")


def test_features_out_of_order_are_named(project: Project) -> None:
    samples = tiny()
    samples[1], samples[2] = samples[2], samples[1]
    project.write_images(tiny())
    project.write_features(samples)
    project.refused(project.feature_gate, "same order", samples[1].key, samples[2].key)


def test_a_missing_row_is_named(project: Project) -> None:
    samples = tiny()
    project.write_images(samples)
    project.write_features([sample for sample in samples if sample is not pick(samples, "test", 3)])
    project.refused(project.feature_gate, "test-000000.tar", "samples 3", "image_samples 4")


def test_a_missing_feature_shard_is_named(project: Project) -> None:
    samples = tiny()
    project.write_images(samples)
    project.write_features([sample for sample in samples if sample.shard != "train-000001.tar"])
    project.refused(project.feature_gate, "train-000001.tar", "samples 0")


def test_a_truncated_feature_shard_is_named(project: Project) -> None:
    project.write_images(tiny())
    project.write_features(tiny())
    shard = project.features / "val-000000.tar"
    shard.write_bytes(shard.read_bytes()[:1500])
    project.refused(project.feature_gate, "features/val-000000.tar")


def test_a_wrong_shape_is_named(project: Project) -> None:
    samples = tiny()
    pick(samples, "val", 1).features = np.ones((4, 2, 3), np.float16)
    project.write_images(tiny())
    project.write_features(samples)
    project.refused(project.feature_gate, pick(samples, "val", 1).key, "4 x 2 x 3", "expected 4 x 2 x 2")


def test_a_wrong_number_type_is_named(project: Project) -> None:
    samples = tiny()
    pick(samples, "val", 1).features = pick(samples, "val", 1).features.astype(np.float32)
    project.write_images(tiny())
    project.write_features(samples)
    project.refused(project.feature_gate, pick(samples, "val", 1).key, "float32", "expected float16")


def test_bytes_that_are_no_array_are_named(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = tiny()
    bad = pick(samples, "val", 2)
    whole = Sample.npy.fget
    assert whole
    monkeypatch.setattr(Sample, "npy", property(lambda self: whole(self)[: 140 if self is bad else None]))
    project.write_images(tiny())
    project.write_features(samples)
    project.refused(project.feature_gate, bad.key, "every array can be read")


def test_a_dead_layer_is_named(project: Project) -> None:
    samples = tiny()
    for sample in samples:
        if sample.split == "test":
            sample.features = np.zeros(SHAPE, np.float16)
    project.write_images(tiny())
    project.write_features(samples)
    project.refused(project.feature_gate, "constant", "split test")


def test_a_layer_that_ignores_the_image_is_named(project: Project) -> None:
    samples = tiny()
    for sample in samples:
        if sample.split == "test":
            sample.features = pick(samples, "test").features
    project.write_images(tiny())
    project.write_features(samples)
    project.refused(project.feature_gate, "the same features", "split test", "distinct 1")


def test_features_of_another_version_of_the_shards_are_refused(project: Project) -> None:
    project.write_images(tiny())
    project.write_features(tiny(), images="f" * 64)
    project.refused(
        project.feature_gate, "version of the image shards", "f" * 64, sha256(project.shards / "index.json")
    )


def test_features_of_another_layer_are_refused(project: Project) -> None:
    project.write_images(tiny())
    project.write_features(tiny(), layer="relu2_2")
    project.refused(project.feature_gate, "field layer", "relu2_2", "relu1_2")
