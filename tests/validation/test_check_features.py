"""The gate of features lets good ones pass, the same every time, and names the culprit in bad ones."""

import json

import numpy as np
import pytest
from gates import SHAPE, Project, Sample, pick, tiny

from afterimage.core.outputs import sha256


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
