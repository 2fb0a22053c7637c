"""The gate of image shards lets good data pass, the same every time, and names the culprit in bad data."""

import json
from pathlib import Path

import numpy as np
import pytest
from gates import SIZE, Project, Sample, Samples, by_sentence, pick, reindex, tiny

from afterimage.core.images import encode_png
from afterimage.core.outputs import sha256
from afterimage.validation import checks


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


def mirrored(samples: Samples) -> tuple[Sample, Sample]:
    """A training image that lies among the test images, mirrored and a little brighter."""
    known, copied = pick(samples, "train", 5), pick(samples, "test", 2)
    copied.pixels = (known.pixels[:, ::-1] * 0.9 + 20).astype(known.pixels.dtype)
    return known, copied


def test_a_copy_across_splits_is_named(project: Project) -> None:
    samples = tiny()
    known, copied = mirrored(samples)
    project.write_images(samples)
    text = project.refused(project.gate, "is a copy of one in a split before it", f"key {copied.image}")
    assert f"copy_of {known.image} (train, mirrored)" in text
    assert "7 of 8 images pass" in text


def test_as_many_copies_as_allowed_pass(project: Project) -> None:
    samples = tiny()
    mirrored(samples)
    project.write_images(samples)
    project.refused(lambda: project.gate(max_copies=0.12), "max_copies")
    project.gate(max_copies=0.125)


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
